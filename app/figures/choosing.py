"""What a few instances make of a mean: the highest scores, random ones, and IDS, over how many are looked at."""

from collections.abc import Mapping

import numpy as np

from app.choosing import Estimates
from app.drawing import Drawing, Panel
from app.figures.selection import CHOICES
from app.language import text
from app.scale import Scale
from app.wording import number, percent

FLOOR = 0.3  # of the axis: a random draw may be anything below


def over_share(found: Estimates, pool: int, index: int, *, width: float = 560, height: float = 320) -> Drawing:
    """Estimate over truth against the number of instances; bands are one standard deviation of a single draw."""
    low, high = (np.maximum(1 + sign * found.random_sd, FLOOR) for sign in (-1, 1))
    y = Scale(FLOOR, 1.15 * max(float(found.highest.max()), float(high.max())), log=True)
    panel = Panel(
        Scale(float(found.kept[0]), float(found.kept[-1]), log=True),
        y,
        text("instances looked at, of %(pool)d (log)", pool=pool),
        text("estimate over truth (log)"),
        alt="",
        width=width,
        height=height,
        right=120,
        x_ticks=[int(found.kept[i]) for i in _apart(found.kept)],
        x_format=lambda value: f"{value:.0f}",
        y_ticks=[tick for tick in (0.3, 1, 3, 10, 30, 100) if tick <= y.high],
    )
    panel.rule(y=1.0, look="axis dotted")
    panel.area(found.kept, low, high, CHOICES["random"][1])
    panel.area(found.kept, found.weighted - found.weighted_sd, found.weighted + found.weighted_sd, CHOICES["IDS"][1])
    panel.rule(x=float(found.kept[index]), look="cursor", frames=found.kept)
    lines = {"top-k": found.highest, "random": high, "IDS": found.weighted}
    for name, values in lines.items():
        written, look, _ = CHOICES[name]
        panel.line(found.kept, values, f"{look} {'thin dash' if name == 'random' else ''}")
        if name != "random":
            tips = [f"{text(written)}: × {number(float(v))}" for v in values]
            panel.follow(found.kept, values, look, index, tips=tips)
    for place, name in enumerate(lines):
        look = CHOICES[name][1]
        written = {"top-k": text("highest scores"), "random": text("random, ± sd"), "IDS": text("IDS, ± sd")}[name]
        panel.text(panel.x.high, y.high, written, f"label {look}", dx=14, dy=14 + 18 * place)
    here = f"{text('highest scores')} × {number(float(found.highest[index]))}, "
    here += f"{text('random')} ± {percent(float(found.random_sd[index]), 0)}, "
    here += f"IDS ± {percent(float(found.weighted_sd[index]), 0)}"
    panel.alt = text("Estimate over truth; from %(kept)d instances: %(here)s.", kept=int(found.kept[index]), here=here)
    return panel.drawing()


def facts(found: Estimates, pool: int) -> list[Mapping[str, object]]:
    """What stands above the figure, a value a number of instances."""
    return [
        {"label": text("of the pool"), "values": [percent(float(k) / pool, 0) for k in found.kept]},
        {"label": text("highest scores: times the truth"), "values": [number(float(v)) for v in found.highest]},
        {"label": text("random: ± of one draw"), "values": [percent(float(v), 0) for v in found.random_sd]},
        {"label": text("IDS: ± of one draw"), "values": [percent(float(v), 0) for v in found.weighted_sd]},
    ]


def _apart(kept: np.ndarray) -> list[int]:
    """Ticks far enough from each other on a log axis."""
    found = [0]
    for place in range(1, len(kept)):
        if kept[place] >= 1.45 * kept[found[-1]]:
            found.append(place)
    return found
