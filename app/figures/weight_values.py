"""The weights by value: what a cut keeps of each size (filled) and takes (pale), on a square-root axis."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.cuts import Cuts
from app.drawing import Drawing, Panel, wide, words
from app.frames import rows
from app.language import text
from app.scale import Scale
from app.wording import number, percent


def before_the_cut(frame: pd.DataFrame, target: float, *, width: float = 520, height: float = 250) -> Drawing:
    """The weights just before a run's own cut; rows of `frame` are bins."""
    most = float((frame["kept"] + frame["removed"]).max())
    panel = _panel(float(frame["left"].iloc[0]), float(frame["right"].iloc[-1]), most, width, height)
    for row in rows(frame):
        kept, removed = float(row.kept), float(row.removed)
        tip = text(
            "weights %(left)s to %(right)s\nkept %(kept)s, removed %(removed)s",
            left=number(float(row.left)), right=number(float(row.right)), kept=number(kept), removed=number(removed),
        )  # fmt: skip
        _bars(panel, float(row.left), float(row.right), kept + removed, kept, tip)
    stay, go = (number(float(frame[part].sum())) for part in ("kept", "removed"))
    _key(panel, [stay], [go], 0)
    panel.alt = text(
        "Weights before the cut at %(level)s: %(kept)s kept, %(removed)s removed.",
        level=percent(target), kept=stay, removed=go,
    )  # fmt: skip
    return panel.drawing()


def at_level(cuts: Cuts, index: int, *, width: float = 520, height: float = 310) -> Drawing:
    """What a level keeps of the weights, and what it takes; the bars move with the level."""
    total = cuts.kept.max(axis=0)
    panel = _panel(float(cuts.edges[0]), float(cuts.edges[-1]), float(total.max()), width, height)
    foot = panel.height - panel.bottom
    for place, (left, right) in enumerate(zip(cuts.edges[:-1], cuts.edges[1:])):
        if not total[place]:
            continue
        kept = cuts.kept[:, place]
        tips = [text("%(left)s to %(right)s: %(kept)d of %(all)d kept", left=number(left), right=number(right),
                     kept=k, all=total[place]) for k in kept]  # fmt: skip
        _bars(panel, float(left), float(right), float(total[place]), float(kept[index]))
        tops = [panel.at_y(float(np.sqrt(k))) or foot for k in kept]
        high = [round(foot - top, 2) for top in tops]
        panel.marks[-1] |= {"tip": tips[index], "frames": {"y": tops, "height": high, "tip": tips}}
    sums = cuts.kept.sum(axis=1)
    _key(panel, [number(int(n)) for n in sums], [number(int(sums.max() - n)) for n in sums], index)
    panel.alt = text(
        "Weights by value at %(level)s removed: %(kept)s kept, %(gone)s removed.",
        level=percent(float(cuts.levels[index])), kept=number(int(sums[index])),
        gone=number(int(sums.max() - sums[index])),
    )  # fmt: skip
    return panel.drawing()


def _panel(low: float, high: float, most: float, width: float, height: float) -> Panel:
    """Weights from `low` to `high`, and room for bars of `most` of them."""
    return Panel(
        Scale(low, high),
        Scale(0, float(np.sqrt(max(1.0, most)))),
        text("weight"),
        text("number of weights (square-root axis)"),
        alt="",
        width=width,
        height=height,
        top=48,
        y_format=lambda value: number(value * value),
    )


def _key(panel: Panel, kept: Sequence[str], removed: Sequence[str], index: int) -> None:
    """How many stay and how many go, a number a level: above the panel, where no bar reaches."""
    kept_words = ["■ " + text("kept %(n)s", n=n) for n in kept]
    gone_words = ["□ " + text("removed %(n)s", n=n) for n in removed]
    after = panel.left + max(map(wide, kept_words)) + 16
    for x, told, look in ((panel.left, kept_words, "pruned"), (after, gone_words, "warm")):
        moving = {"frames": {"text": told}} if len(told) > 1 else {}
        panel.marks.append(words(x, 35, told[index], f"label {look}") | moving)


def _bars(panel: Panel, left: float, right: float, every: float, kept: float, tip: str = "") -> None:
    """All weights of a bin, and over them those that stay."""
    panel.bar(left, right, float(np.sqrt(every)), "warm pale", tip=tip)
    panel.bar(left, right, float(np.sqrt(kept)), "pruned", tip=tip)
