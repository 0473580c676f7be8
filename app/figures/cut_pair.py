"""Two networks cut at the same level: their accuracy, their loss, and the loss along the way of each cut."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.drawing import Drawing, Panel, words
from app.figures import palette
from app.figures.sparsity import level_axis, level_name, squeeze
from app.language import text
from app.scale import Scale, span
from app.wording import number, percent, points


@dataclass(frozen=True)
class Cut:
    """One network, and what a cut at each level would do to it."""

    name: str
    method: str
    curve: pd.DataFrame  # of `frames.sparsity`: one row a level
    way: tuple[np.ndarray, np.ndarray] | None = None  # along the run's own cut: 0 dense, 1 pruned; the loss there

    @property
    def levels(self) -> np.ndarray:
        """The levels of the curve."""
        return self.curve["level"].to_numpy(dtype=float)

    def at(self, level: float) -> pd.Series:
        """The row of the level nearest to `level`."""
        return self.curve.iloc[int(np.argmin(np.abs(self.levels - level)))]

    def dropped(self, level: float) -> float:
        """Mean accuracy lost to the cut at a level."""
        return float(self.curve["accuracy"].iloc[0] - self.at(level)["accuracy"])

    def falls(self, by: float) -> float | None:
        """The first level at which so much accuracy is lost; None where there is none."""
        lost = self.curve["accuracy"].iloc[0] - self.curve["accuracy"]
        found = self.levels[lost.to_numpy(dtype=float) >= by - 1e-9]
        return float(found[0]) if len(found) else None

    @property
    def half_way(self) -> float | None:
        """Where on the way of the cut half of its rise has come; None where it rises by nothing or was not sliced."""
        if self.way is None:
            return None
        xs, losses = self.way
        inside = (xs >= 0) & (xs <= 1)
        start, end = (float(np.interp(at, xs, losses)) for at in (0.0, 1.0))
        above = xs[inside & (losses >= (start + end) / 2)]
        return float(above[0]) if end - start > 1e-4 and len(above) else None


def looks(pair: Sequence[Cut]) -> list[tuple[str, str, str]]:
    """Colour, shape and dash of each; two of one method are told apart all the same."""
    found = [(palette.look(cut.method), palette.shape(cut.method), palette.dash(cut.method)) for cut in pair]
    return found if len({look for look, *_ in found}) == len(found) else [found[0], ("warm", "square", "dash")]


def accuracies(pair: Sequence[Cut], index: int, by: float, *, width: float = 520, height: float = 300) -> Drawing:
    """Mean accuracy of both over the level, hollow where `by` of it is lost first; `index`: a level of the first."""
    values = [cut.curve["accuracy"] for cut in pair]
    low = max(0.0, min(float(v.min()) for v in values) - 0.04)
    panel = _over_levels(pair, Scale(low, 1.01), text("mean accuracy on the tasks seen"), width, height)
    panel.y_format = lambda value: percent(value, 0)
    for cut, (look, shape, _) in zip(pair, looks(pair)):
        fallen = cut.falls(by)
        if fallen is not None:
            tip = text("%(name)s has lost %(by)s points first here", name=cut.name, by=points(by, 0).lstrip("+"))
            at = float(squeeze([fallen])[0])
            panel.point(at, float(cut.at(fallen)["accuracy"]), f"open {look}", shape=shape, size=6, tip=tip)
    _curves(panel, pair, "accuracy", index, percent)
    level = float(pair[0].curve["level"].iloc[index])
    said = "; ".join(f"{cut.name} {percent(float(cut.at(level)['accuracy']))}" for cut in pair)
    panel.alt = text("Mean accuracy over the sparsity; at %(level)s: %(said)s.", level=percent(level), said=said)
    return panel.drawing()


def lengths(pair: Sequence[Cut], index: int, *, width: float = 520, height: float = 300) -> Drawing:
    """How far a cut at each level moves the weights of both, |d|."""
    scale = span(*(cut.curve["displacement_norm"] for cut in pair), include=(0.0,))
    panel = _over_levels(pair, scale, text("|d|, how far the cut moves the weights"), width, height)
    _curves(panel, pair, "displacement_norm", index, number)
    level = float(pair[0].curve["level"].iloc[index])
    said = "; ".join(f"{cut.name} {number(float(cut.at(level)['displacement_norm']))}" for cut in pair)
    panel.alt = text("Length of the cut over the sparsity; at %(level)s: %(said)s.", level=percent(level), said=said)
    return panel.drawing()


def ways(pair: Sequence[Cut], *, width: float = 560, height: float = 300) -> Drawing | None:
    """The loss of both along the straight way of their own cut, 0 dense and 1 pruned; None where no one was sliced."""
    sliced = [(cut, look) for cut, look in zip(pair, looks(pair)) if cut.way is not None]
    if not sliced:
        return None
    lines = [(cut, cut.way, look) for cut, look in sliced if cut.way is not None]
    panel = Panel(
        span(*(xs for _, (xs, _), _ in lines), pad=0.0),
        span(*(losses for _, (_, losses), _ in lines), include=(0.0,)),
        text("share of the way of the run's own cut: 0 dense, 1 pruned"),
        text("loss, nats"),
        alt="",
        width=width,
        height=height,
        right=20,
        top=52,
    )
    for at, name in ((0.0, text("dense")), (1.0, text("pruned"))):
        panel.rule(x=at)
        panel.text(at, panel.y.high, name, "note", dx=5, dy=12)
    said = []
    for place, (cut, (xs, losses), (look, shape, dash)) in enumerate(lines):
        panel.line(xs, losses, f"{look} {dash}")
        start, end = (float(np.interp(at, xs, losses)) for at in (0.0, 1.0))
        for at, value in ((0.0, start), (1.0, end)):
            panel.point(at, value, look, shape=shape, size=6, tip=f"{cut.name}: {number(value)}")
        half = cut.half_way
        if half is not None:
            tip = text("%(name)s: half of the rise has come at %(at)s", name=cut.name, at=percent(half, 0))
            panel.point(half, float(np.interp(half, xs, losses)), f"open {look}", shape=shape, size=5, tip=tip)
        _key(panel, place, cut.name, look, dash)
        said.append(f"{cut.name} {number(start)} → {number(end)}")
    panel.alt = text("Loss along the cut, from dense to pruned: %(said)s.", said="; ".join(said))
    return panel.drawing()


def facts(pair: Sequence[Cut]) -> list[Mapping[str, object]]:
    """What stands above the figures, a value a level of the first."""
    levels = pair[0].levels
    return [
        {
            "label": text("points lost, %(name)s", name=cut.name),
            "values": [points(cut.dropped(level)) for level in levels],
        }
        for cut in pair
    ]


def _over_levels(pair: Sequence[Cut], y: Scale, title: str, width: float, height: float) -> Panel:
    scale, ticks = level_axis(np.concatenate([cut.levels for cut in pair]))
    return Panel(
        scale, y, text("weights removed, %"), title, alt="", width=width, height=height, top=52, x_ticks=ticks,
        x_format=level_name,
    )  # fmt: skip


def _curves(panel: Panel, pair: Sequence[Cut], column: str, index: int, form: Callable[[float], str]) -> None:
    levels = pair[0].levels
    panel.rule(x=float(squeeze(levels)[index]), look="cursor", frames=squeeze(levels))
    for place, (cut, (look, _, dash)) in enumerate(zip(pair, looks(pair))):
        panel.line(squeeze(cut.levels), cut.curve[column], f"{look} {dash}")
        here = [float(cut.at(level)[column]) for level in levels]
        tips = [f"{cut.name}, {percent(level)}: {form(value)}" for level, value in zip(levels, here)]
        panel.follow(squeeze(levels), here, look, index, tips=tips)
        _key(panel, place, cut.name, look, dash)


def _key(panel: Panel, place: int, name: str, look: str, dash: str) -> None:
    """Who is who, under the title: names of runs are too long for the edge."""
    x = place * panel.width / 2
    at = {"x1": x, "x2": x + 30, "y1": 34, "y2": 34, "class": f"line {look} {dash}"}
    panel.marks += [{"tag": "line", "at": at}, words(x + 38, 38, name[:30], f"label {look}")]
