"""Each estimate of the rise over the true rise: above 1 it is on the safe side, below it promises too little."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from app import trust
from app.drawing import Drawing, Panel
from app.figures.sparsity import RISES, level_axis, level_name, squeeze
from app.language import text
from app.scale import span
from app.wording import number, percent


def over_truth(curve: pd.DataFrame, index: int, *, width: float = 520, height: float = 310) -> Drawing:
    """Ratio over the levels on a log axis, for levels with a rise worth a ratio."""
    found = trust.ratios(curve)
    levels = curve["level"].to_numpy(dtype=float)
    xs, (scale, ticks) = squeeze(levels), level_axis(levels)
    panel = Panel(
        scale,
        span(*found.values(), log=True, include=(1.0,)),
        text("weights removed, %"),
        text("estimate over true rise (log)"),
        alt="",
        width=width,
        height=height,
        right=118,
        x_ticks=ticks,
        x_format=level_name,
    )
    panel.rule(y=1.0, look="axis")
    panel.text(1.0, 1.0, text("the true rise"), "note", dx=4, dy=-6)
    panel.rule(x=float(xs[index]), look="cursor", frames=xs)
    ends: list[tuple[float | None, str, str, float | None]] = []
    for name, values in found.items():
        written, look, dash = text(RISES[name][0]), *RISES[name][1:]
        panel.line(xs, values, f"{look} {dash}")
        tips = [f"{written}, {percent(level)}: × {number(value)}" for level, value in zip(levels, values)]
        panel.follow(xs, values, look, index, tips=tips)
        shown = values[np.isfinite(values) & (values > 0)]
        ends.append((float(shown[-1]) if len(shown) else None, written, look, None))
    panel.labels(ends)
    said = ", ".join(f"{text(RISES[name][0])} × {number(float(values[index]))}" for name, values in found.items())
    panel.alt = text("Estimates over the true rise at %(level)s: %(said)s.", level=percent(levels[index]), said=said)
    return panel.drawing()


def facts(curve: pd.DataFrame) -> list[Mapping[str, object]]:
    """What stands above the figures, a value a level."""
    rise = {"label": text("true rise, nats"), "values": [number(float(v)) for v in trust.truth(curve)]}
    estimates = [
        {"label": text(RISES[name][0]), "values": [number(float(v)) for v in curve[name]]}
        for name in trust.ESTIMATES
        if name in curve
    ]
    return [rise, *estimates]
