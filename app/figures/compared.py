"""Methods beside each other: accuracy against a cost with its Pareto front, and accuracy over the tasks."""

import math
from collections.abc import Callable, Sequence

import pandas as pd

from app.drawing import Drawing, Panel, apart, in_two, marker, wide, words
from app.figures import palette
from app.frames import rows
from app.language import marked, text
from app.literature import Reference, source_line
from app.scale import Scale, span
from app.wording import distinct, number, percent, size

FORMS: dict[str, tuple[Callable[[float, int], str], int]] = {  # how a cost is written, and with how many digits
    "flops": (number, 3),
    "published": (number, 3),
    "memory": (size, 3),
    "sparsity": (percent, 1),
}
MOST = 320  # pixels of a name in the legend, which is to be read on a phone
TITLES = {
    "flops": marked("FLOPs of training, counted →"),
    "published": marked("FLOPs of training as published tables bill them →"),
    "memory": marked("bytes kept between tasks: weights, masks, anchors, buffer →"),
    "sparsity": marked("smallest sparsity over the tasks →"),
}


def tradeoff(
    frame: pd.DataFrame,
    axis: str,
    published: Sequence[Reference] = (),
    *,
    width: int | None = None,
    height: int = 370,
) -> Drawing:
    """One mark a group, ± sd; a step line through the front, rings on it; hollow marks for the literature.

    These have a `source`, which is drawn below the figure where it is saved as a picture.
    """
    x, ticks = _costs(frame["x"], frame["x_sd"].fillna(0), share=axis == "sparsity")
    spread = frame["y_sd"].fillna(0)
    y = span(frame["y"] - spread, frame["y"] + spread, include=[r.accuracy for r in published], pad=0.09)
    y = Scale(max(0.0, y.low), min(y.high, 1.005) if y.high > 1 else y.high)
    panel = Panel(
        x, y, text(TITLES[axis]), text("average accuracy at the end"), alt="",
        width=width or (700 if published else 620), height=height, left=60,
        right=190 if published else 30, x_ticks=ticks, x_format=_tick(axis, ticks), y_format=_percent_of(y),
    )  # fmt: skip
    _front(panel, frame, left_is_better=axis != "sparsity")
    for r in rows(frame):
        values = {"name": _name(r), "accuracy": _spread(r.y, r.y_sd), "cost": _cost(axis, r.x), "n": r.n}
        tip = text("%(name)s: %(accuracy)s at %(cost)s, n = %(n)d", **values)
        _bars(panel, r)
        if r.front:
            at = {"cx": panel.at_x(r.x), "cy": panel.at_y(r.y), "r": 12, "class": f"frame {palette.look(r.method)}"}
            panel.marks.append({"tag": "circle", "at": at, "tip": tip})
            tip += "\n" + text("on the Pareto front")
        panel.point(r.x, r.y, palette.look(r.method), shape=palette.shape(r.method), tip=tip, size=6.5)
        if r.tag:
            panel.text(r.x, r.y, r.tag, f"label {palette.look(r.method)}", dx=14 if r.front else 10, dy=-6)
    _published(panel, published)
    found = [
        text("%(name)s %(accuracy)s at %(cost)s", name=_name(r), accuracy=percent(r.y), cost=_cost(axis, r.x))
        for r in rows(frame)
    ]
    panel.alt = text(
        "Average accuracy against %(cost)s: %(found)s. On the Pareto front: %(front)s.",
        cost=text(TITLES[axis]).rstrip(" →"),
        found="; ".join(found),
        front=", ".join(frame.loc[frame["front"], "label"]),
    )
    if not published:
        return panel.drawing()
    hollow = "; ".join(f"{r.written} {percent(r.accuracy)}" for r in published)
    panel.alt += " " + text("Published, beside the axes: %(found)s.", found=hollow)
    return {**panel.drawing(), "source": _source(source_line(published))}


def _source(said: str) -> Drawing:
    """A line for the saved picture; on the page a caption says more."""
    return {"width": wide(said, 6.3), "height": 16, "alt": said, "marks": [words(0, 12, said, "tick")]}


def _front(panel: Panel, frame: pd.DataFrame, *, left_is_better: bool) -> None:
    """From the cheapest point on: what the best accuracy is for that much and no more."""
    best = frame[frame["front"]].sort_values("x", ascending=left_is_better).drop_duplicates(["x", "y"])
    if best.empty:
        return
    xs, ys = best["x"].tolist(), best["y"].tolist()
    steps = [(xs[0], ys[0])]
    for before, x, y in zip(ys, xs[1:], ys[1:]):
        steps += [(x, before), (x, y)]
    steps.append((panel.x.high if left_is_better else panel.x.low, ys[-1]))
    panel.line([x for x, _ in steps], [y for _, y in steps], "thin")


def _bars(panel: Panel, r: object) -> None:
    x, y, x_sd, y_sd, method = (getattr(r, name) for name in ("x", "y", "x_sd", "y_sd", "method"))
    look = f"thin {palette.look(method)}"
    if y_sd > 0:
        low, high = max(y - y_sd, panel.y.low), min(y + y_sd, panel.y.high, 1.0)
        panel.line([x, x], [low, high], look)
    if x_sd > 0 and (x - x_sd > 0 or not panel.x.log):
        panel.line([max(x - x_sd, panel.x.low), min(x + x_sd, panel.x.high)], [y, y], look)


def _published(panel: Panel, published: Sequence[Reference]) -> None:
    """Hollow marks beside the axes: what was published has an accuracy, and no cost by this counter."""
    if not published:
        return
    edge = panel.width - panel.right + 22
    panel.marks.append(words(edge - 8, 14, text("published, dense"), "title"))
    placed = sorted(published, key=lambda r: -r.accuracy)
    heights = [panel.at_y(r.accuracy) or 0.0 for r in placed]
    before, aside = -math.inf, False
    for r, at, beside in zip(placed, heights, apart(heights, 15.0, panel.top + 4, panel.height - panel.bottom)):
        aside = at - before < 11 and not aside  # marks that would cover each other stand side by side
        before = at
        tip = f"{r.written}: {percent(r.accuracy, 2)}\n{r.source}"
        look = f"open {palette.look(r.method)}"
        panel.marks.append({**marker(edge + 14 * aside, at, look, palette.shape(r.method), 5), "tip": tip})
        panel.marks.append({**words(edge + 28, beside + 4, r.written, "tick"), "tip": tip})


def legend(frame: pd.DataFrame) -> Drawing:
    """Who is who: colour, shape and dash of each group, once for all figures of the page."""
    known = frame.drop_duplicates(["label", "tag"])
    names = [_name(r) for r in rows(known)]
    broken = [in_two(name, MOST) for name in names]
    width = max([wide(line) for lines in broken for line in lines], default=58) + 70
    marks, y, step, second = [], 12.0, 23, 17
    for r, lines in zip(rows(known), broken):
        look = palette.look(r.method)
        marks.append({"tag": "path", "at": {"d": f"M4 {y} L46 {y}", "class": f"line {look} {palette.dash(r.method)}"}})
        marks.append(marker(25, y, look, palette.shape(r.method), 5.5))
        marks += [words(58, y + 4.5 + second * place, line) for place, line in enumerate(lines)]
        y += step + second * (len(lines) - 1)
    alt = text("Key: %(names)s.", names=", ".join(names))
    return {"width": width, "height": y - 8, "alt": alt, "basis": width, "caption": "", "marks": marks}


def so_far(frame: pd.DataFrame, tasks: int) -> Drawing:
    """Average accuracy over the tasks learned so far, a line a group, a band of ± sd."""
    panel = _over_tasks(frame, tasks, text("average accuracy, tasks so far"), text("after learning task"))
    _lines(panel, frame, "after")
    last = frame[frame["after"] == tasks - 1]
    ends = ", ".join(f"{_name(r)} {percent(r.value)}" for r in rows(last))
    panel.alt = text(
        "Average accuracy over the tasks learned so far; after the last: %(ends)s.", ends=ends or text("not known")
    )
    return panel.drawing()


def at_the_end(frame: pd.DataFrame, tasks: int) -> Drawing:
    """Accuracy on each task after the last one was learned."""
    end = frame[frame["after"] == tasks - 1]
    panel = _over_tasks(end, tasks, text("accuracy at the end"), text("on task"))
    _lines(panel, end, "on")
    found = "; ".join(
        f"{part['label'].iloc[0]} {', '.join(percent(v) for v in part['value'])}"
        for _, part in end.groupby(["label", "tag"], sort=False)
    )
    panel.alt = text("Accuracy on each task at the end: %(found)s", found=found)
    return panel.drawing()


def each_task(frame: pd.DataFrame, tasks: int) -> list[Drawing]:
    """Accuracy on each task over the tasks learned since, a small panel a task, on one scale."""
    made = []
    for task in range(tasks):
        of_task = frame[frame["on"] == task]
        title, below = text("task %(task)d", task=task + 1), text("after task") if task == 0 else ""
        panel = _over_tasks(frame, tasks, title, below, width=330, height=205)
        _lines(panel, of_task, "after", size=4.2)
        last = of_task.groupby(["label", "tag"], sort=False).tail(1)
        said = ", ".join(f"{_name(r)} {percent(r.value)}" for r in rows(last))
        panel.alt = text(
            "Accuracy on task %(task)d over the sequence; last known: %(found)s.",
            task=task + 1,
            found=said or text("nothing yet"),
        )
        made.append(panel.drawing())
    return made


def _over_tasks(
    frame: pd.DataFrame, tasks: int, title: str, below: str, *, width: float = 540, height: float = 310
) -> Panel:
    spread = frame["sd"].fillna(0)
    y = span(frame["value"] - spread, frame["value"] + spread, pad=0.07)
    y = Scale(max(0.0, y.low), min(y.high, 1.005) if y.high > 1 else y.high)
    every = max(1, math.ceil(tasks / (10 if width > 400 else 5)))
    return Panel(
        Scale(1, max(2, tasks)), y, below, title, alt="", width=width, height=height, left=60, right=30,
        x_ticks=range(1, tasks + 1, every), x_format=lambda v: f"{v:.0f}", y_format=_percent_of(y),
    )  # fmt: skip


def _lines(panel: Panel, frame: pd.DataFrame, along: str, *, size: float = 5) -> None:
    ends: list[tuple[float | None, str, str, float | None]] = []
    for _, part in frame.groupby(["label", "tag"], sort=False):
        _line(panel, part, along, size)
        last = rows(part)[-1]
        if last.tag:
            ends.append((last.value, last.tag, palette.look(last.method), None))
    panel.labels(ends)


def _line(panel: Panel, part: pd.DataFrame, along: str, size: float) -> None:
    method, xs = str(part["method"].iloc[0]), part[along] + 1
    look = palette.look(method)
    known = part[part["sd"].notna()]
    if len(known) > 1:
        low, high = known["value"] - known["sd"], known["value"] + known["sd"]
        panel.area(known[along] + 1, low.clip(lower=0.0), high.clip(upper=1.0), look)  # no accuracy is beyond
    panel.line(xs, part["value"], f"{look} {palette.dash(method)}")
    for r in rows(part):
        values = {"name": _name(r), "task": getattr(r, along) + 1, "accuracy": _spread(r.value, r.sd)}
        tip = (
            text("%(name)s, on task %(task)d: %(accuracy)s", **values)
            if along == "on"
            else text("%(name)s, after task %(task)d: %(accuracy)s", **values)
        )
        panel.point(getattr(r, along) + 1, r.value, look, shape=palette.shape(method), tip=tip, size=size)


def _costs(values: pd.Series, sd: pd.Series, *, share: bool) -> tuple[Scale, list[float]]:
    """A scale for costs, logarithmic where they lie far apart, and its ticks."""
    known = values[values > 0]
    if share or known.empty or known.max() < 6 * known.min():
        scale = span(values - sd, values + sd, pad=0.12)
        low = max(0.0, scale.low)
        scale = Scale(low, min(scale.high, 1.0) if share else scale.high)
        return scale, scale.ticks()
    scale = Scale(float(known.min()) / 1.5, float(known.max()) * 1.5, log=True)
    powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    steps = (1, 2, 5) if math.log10(scale.high / scale.low) < 2.2 else (1,)
    return scale, [n * 10.0**p for p in powers for n in steps if scale.low <= n * 10.0**p <= scale.high]


def _percent_of(y: Scale) -> Callable[[float], str]:
    return distinct(percent, y.ticks())


def _tick(axis: str, ticks: Sequence[float]) -> Callable[[float], str]:
    form, digits = FORMS[axis]
    return distinct(form, ticks, 0 if axis == "sparsity" else digits)


def _cost(axis: str, value: float) -> str:
    form, digits = FORMS[axis]
    return form(value, digits)


def _spread(value: float, sd: float) -> str:
    return percent(value, 2) if math.isnan(sd) else f"{percent(value, 2)} ± {100 * sd:.2f}"


def _name(r: object) -> str:
    label, tag = str(getattr(r, "label", "")), str(getattr(r, "tag", ""))
    return f"{tag}: {label}" if tag else label
