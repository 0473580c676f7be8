"""What depends on the sparsity level: accuracy, the loss rise, density per layer, how far the cut goes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from app.cuts import Exact
from app.drawing import Drawing, Panel, words
from app.figures import palette
from app.language import marked, text
from app.scale import Scale, span
from app.wording import number, percent, points

# name -> (as it is written, look, dash); over the chosen instances but for `rise`, which is over the whole pool
RISES = {
    "rise": (marked("rise, whole pool"), "dense thin", ""),
    "rise_of_chosen": (marked("true rise"), "dense", ""),
    "path_integral": (marked("path integral"), "green", "dash"),
    "taylor": (marked("Taylor, one HVP"), "warm", "dot-dash"),
    "curvature_term": (marked("½ d'Hd alone"), "pruned", "dash"),
    "output_bound": (marked("output bound"), "pink", "dot-dash"),
    "lambda_bound": (marked("λ bound"), "purple", "dotted"),
}
LEVEL_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)


def squeeze(levels: Sequence[float] | np.ndarray) -> np.ndarray:
    """Levels to 1 / density, where even steps on a log axis are even factors of weights."""
    return 1.0 / np.clip(1.0 - np.asarray(levels, dtype=float), 1e-6, None)


def level_axis(levels: np.ndarray) -> tuple[Scale, list[float]]:
    """The scale of squeezed levels, and where its ticks are."""
    widest = float(squeeze(levels).max())
    return Scale(1.0, max(2.0, widest), log=True), [float(t) for t in squeeze(LEVEL_TICKS) if t <= widest * 1.001]


def level_name(value: float) -> str:
    """A squeezed level as its percentage."""
    return f"{100 * (1 - 1 / value):.3g}"


def accuracy(
    frame: pd.DataFrame,
    index: int,
    target: float,
    chance: Sequence[float],
    *,
    tasks: int | None = None,
    beside: tuple[str, str, pd.DataFrame] | None = None,
    exact: Sequence[Exact] = (),
    width: float = 520,
    height: float = 310,
    small: bool = False,
) -> Drawing:
    """Accuracy on each task seen against the level; rows of `frame` are levels, columns tasks.

    `tasks`: of the whole run, in whose order they have their hues; as many as were seen where none are given.
    `beside`: (written, method, the same frame of another run), drawn as its mean over tasks. `exact`: cuts that were
    evaluated exactly, as marks of their own.
    """
    levels = frame.index.to_numpy(dtype=float)
    scale, ticks = level_axis(levels)
    low = min(float(np.nanmin(frame.to_numpy())), *(float(c) for c in chance)) if len(chance) else 0.0
    panel = Panel(
        scale,
        Scale(max(0.0, low - 0.03), 1.01),
        text("weights removed, %"),
        text("accuracy, one line a task"),
        alt="",
        width=width,
        height=height,
        right=52 if small else 70,
        top=30 if beside is None else 48,  # room for a key: within the panel a name would lie on lines
        x_ticks=ticks[::2] if small else ticks,
        x_format=level_name,
        y_format=lambda v: percent(v, 0),
    )
    xs, seen = squeeze(levels), frame.shape[1]
    tasks = tasks or seen
    panel.rule(x=float(squeeze([target])[0]), look="axis dotted")
    if beside is not None:
        name, method, other = beside
        look = f"{palette.look(method)} {palette.dash(method) or 'dash'}"
        panel.line(squeeze(other.index.to_numpy(dtype=float)), other.mean(axis=1).to_numpy(), look)
        panel.marks.append({"tag": "path", "at": {"d": "M0 31 L26 31", "class": f"line {look}"}})
        panel.marks.append(words(32, 35, name, f"label {palette.look(method)}"))
    panel.rule(x=float(xs[index]), look="cursor", frames=xs)
    ends = []
    for task in range(seen):
        values, tone = frame.iloc[:, task].to_numpy(dtype=float), palette.hue(task, tasks)
        panel.line(xs, values, "ordered", hue=tone)
        name = text("task %(task)d", task=task + 1)
        tips = [_at(name, s, percent(v)) for s, v in zip(levels, values)]
        panel.follow(xs, values, "ordered", index, tips=tips, hue=tone)
        ends.append((float(values[-1]), name, "ordered", tone))
    panel.labels(ends)
    _exact_marks(panel, exact, tasks)
    panel.alt = text(
        "Accuracy of %(tasks)d tasks over the sparsity; at %(level)s it is %(found)s.",
        tasks=seen, level=percent(levels[index]), found=_row(frame.iloc[index]),
    )  # fmt: skip
    return panel.drawing()


def _at(name: str, level: float, value: str) -> str:
    return text("%(name)s at %(level)s: %(value)s", name=name, level=percent(level), value=value)


def _exact_marks(panel: Panel, exact: Sequence[Exact], tasks: int) -> None:
    for one in exact:
        for task, (value, n) in enumerate(zip(one.accuracy, one.examples)):
            tip = text(
                "exactly at %(level)s, task %(task)d: %(value)s of %(n)d images",
                level=percent(one.level, 2), task=task + 1, value=percent(float(value)), n=int(n),
            )  # fmt: skip
            tone = palette.hue(task, tasks)
            x = float(squeeze([one.level])[0])
            panel.point(x, float(value), "open ordered", shape="diamond", hue=tone, size=4.5, tip=tip)


def rise(
    frame: pd.DataFrame,
    index: int,
    target: float,
    *,
    exact: Sequence[Exact] = (),
    width: float = 520,
    height: float = 310,
) -> Drawing:
    """The loss rise of the cut in every way the run recorded, on a log axis; rises below zero are left out of it."""
    drawn = {name: looks for name, looks in RISES.items() if name in frame}
    levels = frame["level"].to_numpy(dtype=float)
    scale, ticks = level_axis(levels)
    smallest = 10 ** np.floor(np.log10(max(1e-7, float(np.nanmax(frame["rise"])) * 1e-6)))
    y = span(*(frame[name].where(frame[name] > smallest) for name in drawn), log=True)
    panel = Panel(
        scale, y, text("weights removed, %"), text("rise of the loss by the cut, nats (log)"), alt="", width=width,
        height=height, right=118, x_ticks=ticks, x_format=level_name,
    )  # fmt: skip
    xs = squeeze(levels)
    panel.rule(x=float(squeeze([target])[0]), look="axis dotted")
    panel.rule(x=float(xs[index]), look="cursor", frames=xs)
    ends, said = [], []
    for name, (english, look, dash) in drawn.items():
        values, written = frame[name].to_numpy(dtype=float), text(english)
        panel.line(xs, values, f"{look} {dash}")
        panel.follow(xs, values, look, index, tips=[_at(written, s, number(v)) for s, v in zip(levels, values)])
        said.append(f"{written} {number(values[index])}")
        shown = values[np.isfinite(values) & (values > 0)]
        ends.append((float(shown[-1]) if len(shown) else None, written, look, None))
    panel.labels(ends)
    for one in exact:
        tip = text("exactly at %(level)s: %(rise)s on %(n)d images", level=percent(one.level, 2), rise=number(one.rise),
                   n=one.n)  # fmt: skip
        panel.point(float(squeeze([one.level])[0]), one.rise, "open dense", shape="diamond", size=4.5, tip=tip)
    panel.alt = text("Loss rise at %(level)s: %(said)s.", level=percent(levels[index]), said=", ".join(said))
    return panel.drawing()


def layers(frame: pd.DataFrame, index: int, *, width: float = 520, height: float = 250) -> Drawing:
    """Kept fraction of each layer at the level, as bars that move; rows of `frame` are levels, columns layers."""
    names, count = list(frame.columns), frame.shape[1]
    lowest = max(1e-4, float(frame.where(frame > 0).min().min()))
    panel = Panel(
        Scale(10 ** np.floor(np.log10(lowest)), 1.0, log=True),
        Scale(0, count),
        text("weights kept (log)"),
        text("density of each layer"),
        alt="",
        width=width,
        height=min(height, 90 + 44 * count),
        left=118,
        right=64,
        y_ticks=(),
        x_format=lambda v: percent(v, 0 if v >= 0.01 else 2),
    )
    start = panel.left
    for row, name in enumerate(names):
        values = frame[name].to_numpy(dtype=float)
        ends = [start if panel.at_x(v) is None else max(start, float(panel.at_x(v) or start)) for v in values]
        top, foot = panel.at_y(count - row - 0.22), panel.at_y(count - row - 0.78)
        if top is None or foot is None:
            continue
        wide = [round(end - start, 2) for end in ends]
        tips = [text("%(layer)s: %(share)s kept", layer=name, share=percent(v, 2)) for v in values]
        panel.marks.append(
            {
                "tag": "rect",
                "at": {"x": start, "y": top, "width": wide[index], "height": foot - top, "class": "bar pruned"},
                "frames": {"width": wide, "tip": tips},
                "tip": tips[index],
            }
        )
        middle = (top + foot) / 2 + 4
        panel.marks.append(
            {"tag": "text", "at": {"x": start - 8, "y": middle, "text-anchor": "end"}, "text": short(name)}
        )
        texts = [percent(v, 1 if v >= 0.1 else 2) for v in values]
        panel.marks.append(
            {
                "tag": "text",
                "at": {"x": ends[index] + 6, "y": middle, "class": "tick"},
                "text": texts[index],
                "frames": {"x": [end + 6 for end in ends], "text": texts},
            }
        )
    found = ", ".join(f"{n} {percent(frame[n].iloc[index])}" for n in names)
    panel.alt = text("Density per layer: %(found)s.", found=found)
    return panel.drawing()


def how_far(frame: pd.DataFrame, index: int, *, width: float = 520, height: float = 280) -> Drawing:
    """Each level as one point: how far the cut moves the weights, |d|, and how much the loss rises."""
    positive = frame["rise"].where(frame["rise"] > 0)
    panel = Panel(
        span(frame["displacement_norm"], include=(0.0,)),
        span(positive, log=True),
        text("|d|, how far the cut moves the weights"),
        text("rise of the loss, whole pool, nats (log)"),
        alt="",
        width=width,
        height=height,
    )
    xs, ys = frame["displacement_norm"].to_numpy(dtype=float), frame["rise"].to_numpy(dtype=float)
    panel.line(xs, ys, "pruned thin")
    found = [{"level": percent(s), "d": number(x), "rise": number(y)} for s, x, y in zip(frame["level"], xs, ys)]
    for x, y, told in zip(xs, ys, found):
        panel.point(x, y, "open pruned", tip=text("%(level)s: |d| %(d)s, rise %(rise)s", **told), size=3.5)
    panel.follow(xs, ys, "pruned", index)
    panel.alt = text("Displacement against loss rise; at %(level)s: |d| %(d)s, rise %(rise)s.", **found[index])
    return panel.drawing()


def short(name: str) -> str:
    """A parameter's name without the word that all of them share."""
    return name.removesuffix(".weight")


def facts(frame: pd.DataFrame, accuracies: pd.DataFrame) -> list[Mapping[str, object]]:
    """The big numbers above the figures, one value a level."""
    mean = accuracies.mean(axis=1)
    lost = mean.iloc[0] - mean  # as every cost of a cut: a loss is positive
    found = {
        text("mean accuracy, tasks seen so far"): [percent(v) for v in mean],
        text("points lost to the cut"): [points(v) for v in lost],
        text("rise of the loss, whole pool, nats"): [number(v) for v in frame["rise"]],
        text("|d|, how far the weights move"): [number(v) for v in frame["displacement_norm"]],
        text("share of |θ|² removed"): [percent(v, 2 if v < 0.1 else 1) for v in frame["removed_share"]],
    }
    return [{"label": label, "values": values} for label, values in found.items()]


def _row(values: pd.Series) -> str:
    return ", ".join(percent(float(v)) for v in values)
