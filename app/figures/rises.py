"""What is said of a cut against what it did, on a real run: at one level, and as a factor over all levels."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from app import trust
from app.drawing import Drawing, Panel, words
from app.figures.sparsity import RISES, level_axis, level_name, squeeze
from app.language import text
from app.scale import Scale, span
from app.trust import ESTIMATES, TRUTH
from app.wording import number, percent

ROW = 44  # pixels


def truth(curve: pd.DataFrame, index: int, target: float, *, width: float = 520, height: float = 300) -> Drawing:
    """The true rise alone, over the levels."""
    levels = curve["level"].to_numpy(dtype=float)
    rise = curve[TRUTH].to_numpy(dtype=float)
    panel = _over_levels(levels, span(curve[TRUTH], include=(0.0,)), text("true rise of the loss, nats"), width, height)
    panel.rule(x=float(squeeze([target])[0]), look="axis dotted")
    panel.rule(x=float(squeeze(levels)[index]), look="cursor", frames=squeeze(levels))
    panel.line(squeeze(levels), rise, "dense")
    tips = [f"{percent(level)}: {number(value)}" for level, value in zip(levels, rise)]
    panel.follow(squeeze(levels), rise, "dense", index, tips=tips)
    panel.alt = text(
        "True rise of the loss over the sparsity; at %(level)s it is %(rise)s.",
        level=percent(levels[index]),
        rise=number(rise[index]),
    )
    return panel.drawing()


def at_level(curve: pd.DataFrame, names: Sequence[str], index: int, *, width: float = 520) -> Drawing:
    """The true rise and each estimate at the level, on one log axis; what is not above zero is said to be."""
    rows = [TRUTH, *names]
    positive = curve[rows].where(curve[rows] > 0)
    low = max(1e-6, float(np.nanmax(curve[TRUTH])) * 1e-4)
    scale = span(*(positive[name] for name in rows), include=(low,), log=True)
    scale = Scale(max(scale.low, 10 ** np.floor(np.log10(low))), scale.high, log=True)
    panel = Panel(
        scale,
        Scale(0, len(rows)),
        text("nats (log)"),
        text("rise of the loss at this level"),
        alt="",
        width=width,
        height=88 + ROW * len(rows),
        left=104,
        right=64,
        y_ticks=(),
    )
    for row, name in enumerate(rows):
        _bar(panel, curve[name].to_numpy(dtype=float), name, row, len(rows), index)
    places = [panel.at_x(value) for value in curve[TRUTH].to_numpy(dtype=float)]
    places = [None if place is None or place < panel.left else place for place in places]
    here = places[index] or panel.left
    at = {"x1": here, "x2": here, "y1": panel.top, "y2": panel.height - panel.bottom}
    line = {"tag": "line", "at": {**at, "class": "axis dash"}, "frames": {"x1": places, "x2": places}}
    panel.marks.append(line)
    said = ", ".join(f"{written(name)} {number(curve[name].iloc[index])}" for name in rows)
    panel.alt = text("Rise at %(level)s: %(said)s.", level=percent(float(curve["level"].iloc[index])), said=said)
    return panel.drawing()


def _bar(panel: Panel, values: np.ndarray, name: str, row: int, rows: int, index: int) -> None:
    top, foot = panel.at_y(rows - row - 0.2), panel.at_y(rows - row - 0.8)
    assert top is not None
    assert foot is not None
    ends = [_inside(panel, value) for value in values]
    wide = [round(end - panel.left, 2) for end in ends]
    middle = (top + foot) / 2 + 4
    said = [number(value) for value in values]
    at = {"x": panel.left, "y": top, "width": wide[index], "height": foot - top, "class": f"bar {RISES[name][1]}"}
    panel.marks += [
        words(panel.left - 8, middle, written(name), "label", "end"),
        {"tag": "rect", "at": at, "frames": {"width": wide}},
        {**words(panel.width - panel.right + 12, middle, said[index], "title"), "frames": {"text": said}},
    ]


def _inside(panel: Panel, value: float) -> float:
    """The pixel of a value, at the foot of the axis where it lies below it."""
    place = panel.at_x(float(value))
    return panel.left if place is None else max(panel.left, place)


def over_truth(
    curve: pd.DataFrame, names: Sequence[str], index: int, target: float, *, width: float = 520, height: float = 330
) -> Drawing:
    """Each estimate as a factor of the true rise, at the levels with a rise worth one: below 1 it was no bound."""
    found = trust.ratios(curve)
    levels = curve["level"].to_numpy(dtype=float)
    scale = span(*(found[name] for name in names), include=(0.5, 2.0), log=True)
    panel = _over_levels(levels, scale, text("estimate over true rise (log)"), width, height, right=104)
    low = float(squeeze(levels).min()), float(squeeze(levels).max())
    panel.area(low, (scale.low, scale.low), (1.0, 1.0), "dense")
    panel.rule(y=1.0, look="axis")
    panel.rule(x=float(squeeze([target])[0]), look="axis dotted")
    panel.rule(x=float(squeeze(levels)[index]), look="cursor", frames=squeeze(levels))
    panel.text(low[0], scale.low, text("below the true rise: no bound"), dx=8, dy=-9)
    ends: list[tuple[float | None, str, str, float | None]] = []
    for name in names:
        (_, look, dash), values = RISES[name], found[name]
        panel.line(squeeze(levels), values, f"{look} {dash}")
        tips = [f"{written(name)}, {percent(level)}: {number(value)} ×" for level, value in zip(levels, values)]
        panel.follow(squeeze(levels), values, look, index, tips=tips)
        shown = values[np.isfinite(values) & (values > 0)]
        ends.append((float(shown[-1]) if len(shown) else None, written(name), look, None))
    panel.labels(ends)
    ever = [written(name) for name, record in trust.records(curve).items() if name in names and not record.bounds]
    panel.alt = text(
        "Each estimate over the true rise, along the sparsity; at %(level)s: %(said)s. Somewhere below it: %(names)s.",
        level=percent(levels[index]),
        said=", ".join(f"{written(name)} {number(float(found[name][index]))} ×" for name in names),
        names=", ".join(ever) or text("none"),
    )
    return panel.drawing()


def facts(curve: pd.DataFrame, names: Sequence[str]) -> list[Mapping[str, object]]:
    """What stands above the figures, a value a level."""
    return [
        {"label": label, "values": [number(float(value)) for value in curve[name]]}
        for label, name in [(text("true rise, nats"), TRUTH), *((written(name), name) for name in names)]
    ]


def counted() -> str:
    """Over what it is told whether an estimate lies below the truth, and how nearly."""
    return text(
        "Counted over the instances that the run chose, to %(tolerance)s nats; ratios only where the rise is above "
        "%(worth)s nats.",
        tolerance=number(trust.TOLERANCE),
        worth=number(trust.WORTH),
    )


def written(name: str) -> str:
    """The truth or an estimate as the reader knows it."""
    return text("true rise") if name == TRUTH else text(ESTIMATES[name])


def _over_levels(
    levels: np.ndarray, y: Scale, y_label: str, width: float, height: float, *, right: float = 18
) -> Panel:
    scale, ticks = level_axis(levels)
    return Panel(
        scale,
        y,
        text("weights removed, %"),
        y_label,
        alt="",
        width=width,
        height=height,
        right=right,
        x_ticks=ticks,
        x_format=level_name,
    )
