"""What sparsity leaves of each cost of a dense network, and what weights take in three forms of storage."""

from collections.abc import Sequence

import numpy as np

from app.drawing import Drawing, Panel, wide
from app.figures.sparsity import level_axis, level_name, squeeze
from app.language import marked, text
from app.remaining import Share, storage
from app.scale import Scale, span
from app.wording import percent, size

FORMS = {  # name -> (as it is written, look, dash)
    "dense": (marked("all weights, zeros too"), "dense", "dash"),
    "indexed": (marked("value and index each"), "warm", "dot-dash"),
    "bits": (marked("values and a bit mask"), "esacl", ""),
}


def remaining(found: Sequence[Share], density: float, *, width: float = 520) -> Drawing:
    """A bar a cost, as a share of the dense network's; pale: by the clock. The dotted line is the kept fraction."""
    highest = max([1.0, *(share.of_dense for share in found)]) * 1.02
    panel = Panel(
        Scale(0, highest), Scale(0, max(1, len(found))), text("share of the dense network's"), "", alt="", width=width,
        height=84 + 48 * len(found), left=12, right=70, top=26, y_ticks=(), x_ticks=_quarters(highest),
        x_format=lambda value: percent(value, 0),
    )  # fmt: skip
    said, kept, whole = [], panel.at_x(density), panel.at_x(1.0)
    for row, share in enumerate(found):
        at = len(found) - row - 0.5
        top, foot, end = panel.at_y(at + 0.08), panel.at_y(at - 0.36), panel.at_x(share.of_dense)
        if top is None or foot is None or end is None:
            continue
        box = {"x": panel.left, "y": top, "width": max(0.0, end - panel.left), "height": foot - top}
        look = "warm pale" if share.measured else "pruned"
        panel.marks.append(
            {"tag": "rect", "at": {**box, "class": f"bar {look}"}, "tip": f"{share.written}: {share.told}"}
        )
        panel.text(0, at, f"{share.written}: {share.told}", "", dy=-9)
        told = percent(share.of_dense, 0)
        near = 0 < (whole or 0) - end < 14 + wide(told)  # the line at the whole would run through it
        panel.text(1.0 if near else share.of_dense, at - 0.14, told, "tick", dx=7, dy=5)
        # Beside the bars only: the words above them can be as long as the figure is wide.
        ups = {"y1": top - 3, "y2": foot + 3}
        for x, look in ((kept, "axis dotted"), (whole, "axis")):
            panel.marks.append({"tag": "line", "at": {"x1": x, "x2": x, **ups, "class": look}})
        said.append(f"{share.written} {told}")
    panel.text(density, len(found), text("weights kept: %(share)s", share=percent(density, 0)), "note", dx=4, dy=-6)
    panel.alt = text("What is left of the dense network's cost: %(said)s.", said="; ".join(said))
    return panel.drawing()


def forms(prunable: int, levels: np.ndarray, index: int, *, width: float = 520, height: float = 300) -> Drawing:
    """Bytes of the prunable weights over the level in three forms."""
    found = storage(prunable, levels)
    xs, (scale, ticks) = squeeze(levels), level_axis(levels)
    panel = Panel(
        scale, span(*found.values(), include=(0.0,)), text("weights removed, %"), text("bytes of the prunable weights"),
        alt="", width=width, height=height, left=64, right=150, x_ticks=ticks, x_format=level_name, y_format=size,
    )  # fmt: skip
    panel.rule(x=float(xs[index]), look="cursor", frames=xs)
    ends: list[tuple[float | None, str, str, float | None]] = []
    for name, (written, look, dash) in FORMS.items():
        values = found[name]
        panel.line(xs, values, f"{look} {dash}")
        tips = [f"{text(written)}, {percent(level)}: {size(float(v))}" for level, v in zip(levels, values)]
        panel.follow(xs, values, look, index, tips=tips)
        ends.append((float(values[-1]), text(written), look, None))
    panel.labels(ends)
    said = ", ".join(f"{text(FORMS[name][0])} {size(float(values[index]))}" for name, values in found.items())
    panel.alt = text("Bytes of the weights at %(level)s: %(said)s.", level=percent(float(levels[index])), said=said)
    return panel.drawing()


def facts(prunable: int, levels: np.ndarray) -> list[dict[str, object]]:
    """What stands above the figure, a value a level."""
    found = storage(prunable, levels)
    return [{"label": text(FORMS[name][0]), "values": [size(float(v)) for v in found[name]]} for name in FORMS]


def _quarters(highest: float) -> list[float]:
    step = 0.25 if highest < 1.6 else 0.5 if highest < 3 else 1.0 if highest < 8 else float(np.ceil(highest / 6))
    return [float(value) for value in np.arange(0, highest + 1e-9, step)]
