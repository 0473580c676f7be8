"""What happens while a run trains: the loss, and how the weights that will be cut are emptied."""

import pandas as pd

from app.drawing import Drawing, Panel
from app.figures import palette
from app.frames import thinned
from app.language import text
from app.scale import Scale, span
from app.wording import number, percent

CHEAP = 0.01  # of |theta|^2, at most, in weights that a cut takes and the loss hardly misses
_NAMES = 17  # pixels for the names of the tasks, between title and curves


def loss(
    frame: pd.DataFrame, tasks: int, *, total_steps: float | None = None, width: float = 580, height: float = 250
) -> Drawing:
    """Training loss over all steps, on a log axis, tasks told apart by hue and by the lines between them."""
    frame = thinned(frame)
    highest = total_steps or _last_step(frame)
    panel = Panel(
        Scale(0, highest),
        span(frame["loss"], log=True),
        text("optimiser step"),
        text("training loss, mean since the point before (log)"),
        alt="",
        basis=640,
        width=width,
        height=height + _NAMES,
        top=30 + _NAMES,
    )
    _tasks(panel, frame, "loss", tasks)
    last = number(float(frame["loss"].iloc[-1])) if len(frame) else text("not known yet")
    panel.alt = text(
        "Training loss over %(steps)s steps; the last value is %(last)s.", steps=number(highest), last=last
    )
    return panel.drawing()


def doomed(
    frame: pd.DataFrame, tasks: int, *, total_steps: float | None = None, width: float = 580, height: float = 220
) -> Drawing | None:
    """Share of theta^2 in the weights that a cut would take now; None where the run never has a cut in view."""
    frame = frame[frame["doomed_share"] > 0]  # after a cut there is nothing left to take
    if frame.empty:
        return None
    ends, frame = frame.groupby("task")["doomed_share"].last(), thinned(frame)
    panel = Panel(
        Scale(0, total_steps or _last_step(frame)),
        Scale(span(frame["doomed_share"].clip(lower=1e-6), log=True).low, 1.0, log=True),
        text("optimiser step"),
        text("share of |θ|² that the cut would take (log)"),
        alt="",
        basis=640,
        width=width,
        height=height + _NAMES,
        top=30 + _NAMES,
        y_format=lambda value: percent(value, 0 if value >= 0.01 else 2 if value >= 1e-4 else 4),
    )
    _tasks(panel, frame, "doomed_share", tasks)
    said = ", ".join(percent(float(value), 2) for value in ends)
    panel.caption = held_at_last(said, cheap=bool((frame["ramp"] > 0).any() and ends.max() < CHEAP))
    panel.alt = text(
        "Share of the squared weights that the cut would take, right before the cut of each task: %(found)s.",
        found=said,
    )
    return panel.drawing()


def held_at_last(shares: str, *, cheap: bool) -> str:
    """What the weights to be cut held by then; `cheap`: they were pulled, and it is little."""
    if cheap:
        return text(
            "At the last look before a cut, the weights to go held %(found)s of |θ|²: so little makes the cut cheap.",
            found=shares,
        )
    return text("At the last look before a cut, the weights to go held %(found)s of |θ|².", found=shares)


def gate(
    frame: pd.DataFrame, tasks: int, opens_below: float, *, width: float = 580, height: float = 240
) -> Drawing | None:
    """The ratio that opens the gate of IDS in training: below the line IDS chooses, above it chance does."""
    known = frame.dropna(subset=["selection_ratio"])
    if known.empty:
        return None
    panel = Panel(
        Scale(0, _last_step(frame)),
        span(known["selection_ratio"], include=(0.0, 1.0)),
        text("optimiser step"),
        text("second moment of IDS over that of random choice"),
        alt="",
        basis=640,
        width=width,
        height=height + _NAMES,
        top=30 + _NAMES,
    )
    gate_rule(panel, opens_below)
    _tasks(panel, known, "selection_ratio", tasks)
    panel.alt = text(
        "Ratio of second moments, IDS against random choice, while training; its mean is %(mean)s. The gate opens "
        "below %(ratio)s.",
        mean=number(float(known["selection_ratio"].mean())),
        ratio=number(opens_below),
    )
    return panel.drawing()


def gate_rule(panel: Panel, opens_below: float) -> None:
    """The ratio at which the gate of IDS decides, named under its left end: a gate is shut at first."""
    panel.rule(y=opens_below, look="axis dotted")
    said = text("the gate opens below %(ratio)s", ratio=number(opens_below))
    panel.text(panel.x.low, opens_below, said, "note", dx=6, dy=15)


def _tasks(panel: Panel, frame: pd.DataFrame, column: str, tasks: int) -> None:
    for task in sorted(set(frame["task"])):
        part = frame[frame["task"] == task]
        panel.line(part["step"], part[column], "ordered thin", hue=palette.hue(int(task), tasks))
        start = float(part["step"].iloc[0])
        if task > 0:
            panel.rule(x=start)
        if tasks <= 10:
            panel.text(start, panel.y.high, text("task %(task)d", task=int(task) + 1), dx=0 if task == 0 else 4, dy=-5)


def _last_step(frame: pd.DataFrame) -> float:
    return float(frame["step"].max()) if len(frame) else 1.0
