"""How the cut lies to the sharp directions: shares of the displacement in the top eigenspace, layer by layer."""

from collections.abc import Sequence

import numpy as np

from app.drawing import Drawing, Panel, wide
from app.figures.curvature import known
from app.language import marked, text
from app.scale import Scale
from app.spectra import Overlap
from app.wording import number

LOOKS = {  # what -> (as it is written, look, shape)
    "norm_share": (marked("of |d|²"), "pruned", "circle"),
    "curvature_share": (marked("of d'Hd"), "warm", "diamond"),
    "random_share": (marked("of a random direction"), "dense", "cross"),
}
STEP = 44


def scale(found: Sequence[Overlap]) -> Scale:
    """One axis of shares for all runs, up to 1."""
    shares = [getattr(one, name)[:, -1] for one in found for name in LOOKS]
    values = np.concatenate([np.ones(1), *shares])
    positive = values[np.isfinite(values) & (values > 0)]
    return Scale(10.0 ** min(-2, np.floor(np.log10(max(positive.min(), 1e-8)))), 1.0, log=True)


def shares(found: Overlap, run: str, x: Scale, *, width: float = 500) -> Drawing:
    """A row for all weights and one for each layer: what the top eigenvectors hold of the cut."""
    k = found.norm_share.shape[1]
    rows = len(found.layers)
    panel = Panel(
        x,
        Scale(0, rows),
        text("share in the top %(k)d (log)", k=k),
        run,
        alt="",
        width=width,
        height=84 + STEP * rows,
        left=8,
        right=14,
        top=34,
        y_ticks=(),
    )
    said = []
    for row, layer in enumerate(found.layers):
        at = rows - row - 0.78
        name = text("all weights") if layer == "all" else layer.removesuffix(".weight")
        panel.rule(y=at)
        panel.text(x.low, at, name, "title" if layer == "all" else "tick", dy=-13)
        shown = []
        settled = bool(found.converged[row])
        for key, (label, look, shape) in LOOKS.items():
            written = text(label)
            cumulative = [float(v) for v in getattr(found, key)[row]]
            told = ", ".join(f"{number(v)}" for v in cumulative)
            if not np.isfinite(cumulative[-1]):
                shown.append(text("%(of)s: d'Hd is not above zero, so it has no shares", of=written))
                panel.text(x.high, at, text("d'Hd ≤ 0: no diamond"), "tick", dy=-13, anchor="end")
                continue
            tip = [
                text("%(layer)s, %(entries)d entries", layer=name, entries=int(found.entries[row])),
                text("share %(of)s in the top 1 to %(k)d: %(shares)s", of=written, k=k, shares=told),
                *([] if settled else [text("the eigenvectors did not converge: hollow marks")]),
            ]
            value = min(cumulative[-1], 1.0)
            panel.point(max(value, x.low), at, known(look, settled), shape=shape, size=6, tip="\n".join(tip))
            shown.append(text("%(value)s %(of)s", value=number(value), of=written))
        said.append(f"{name} {', '.join(shown)}")
    panel.alt = text(
        "Shares of the cut in the top %(k)d eigenvectors, %(run)s: %(found)s.", k=k, run=run, found="; ".join(said)
    )
    panel.caption = f"|d| = {number(float(found.norm[0]))}, ½ d'Hd = {number(float(found.curvature[0]) / 2)} nats"
    if not found.converged.all():
        panel.caption = text("%(norms)s. Hollow: eigenvectors that did not converge.", norms=panel.caption)
    return panel.drawing()


def legend(width: float = 500) -> Drawing:
    """The key to the marks, drawn once for all runs."""
    alt = text("Circle: share of |d|²; diamond: of d'Hd; cross: of a random direction.")
    panel = Panel(Scale(0, 1), Scale(0, 1), "", "", alt)
    panel.width, panel.height, panel.left, panel.right, panel.top, panel.bottom = width, 26, 6, 0, 0, 0
    panel.x_ticks = panel.y_ticks = ()
    at = 0.0
    for label, look, shape in LOOKS.values():
        written = text(label)
        panel.point(at, 0.5, look, shape=shape, size=6)
        panel.text(at, 0.5, text("share %(of)s", of=written), f"label {look}", dx=13, dy=4)
        at += (66 + wide(written, 7.8)) / width
    return {**panel.drawing(), "marks": [mark for mark in panel.marks if mark["tag"] != "line"]}
