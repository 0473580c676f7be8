"""The weights by value: what a cut keeps of each size (filled) and takes (pale), on a square-root axis."""

import numpy as np
import pandas as pd

from app.cuts import Cuts
from app.drawing import Drawing, Panel, words
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
    corner = panel.x.high, panel.y.high
    panel.text(*corner, "■ " + text("kept %(n)s", n=stay), "label pruned", dy=14, anchor="end")
    panel.text(*corner, "□ " + text("removed %(n)s", n=go), "label warm", dy=31, anchor="end")
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
    kept_words = ["■ " + text("kept %(n)s", n=number(int(n))) for n in sums]
    gone_words = ["□ " + text("removed %(n)s", n=number(int(sums.max() - n))) for n in sums]
    edge = panel.width - panel.right
    panel.marks.append(words(edge, 44, kept_words[index], "label pruned", "end") | {"frames": {"text": kept_words}})
    panel.marks.append(words(edge, 61, gone_words[index], "label warm", "end") | {"frames": {"text": gone_words}})
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
        y_format=lambda value: number(value * value),
    )


def _bars(panel: Panel, left: float, right: float, every: float, kept: float, tip: str = "") -> None:
    """All weights of a bin, and over them those that stay."""
    panel.bar(left, right, float(np.sqrt(every)), "warm pale", tip=tip)
    panel.bar(left, right, float(np.sqrt(kept)), "pruned", tip=tip)
