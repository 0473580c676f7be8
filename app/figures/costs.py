"""What a run has cost: counted FLOPs, and the bytes of what it keeps."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.drawing import Drawing, Panel
from app.scale import Scale
from app.wording import number, size

FLOPS = {
    "train_flops": ("this run's training", "pruned"),
    "train_flops_dense_sgd": ("the same steps by dense SGD", "dense"),
    "train_flops_published_rule": ("as published tables count it", "dense hatched"),
}
BYTES = {
    "weights": ("weights that are left", "pruned"),
    "masks": ("masks", "pruned"),
    "anchors": ("anchors of earlier tasks", "green"),
    "buffer": ("rehearsal memory", "green"),
    "optimiser": ("optimiser, while training", "dense hatched"),
    "activations": ("activations, while training", "dense hatched"),
}


def flops(cost: Mapping[str, Any]) -> Drawing:
    """Counted FLOPs."""
    entries = [(name, look, cost.get(key)) for key, (name, look) in FLOPS.items()]
    return _bars(entries, "FLOPs, counted", "multiply-adds × 2", number)


def state(cost: Mapping[str, Any]) -> Drawing:
    """Bytes by what they are for; what is needed only while training is hatched."""
    kept = cost.get("state_bytes") or {}
    return _bars([(name, look, kept.get(key)) for key, (name, look) in BYTES.items()], "bytes", "bytes", size)


def _bars(entries: Sequence[tuple[str, str, float | None]], title: str, unit: str, form: Any) -> Drawing:
    shown = [(name, look, float(value)) for name, look, value in entries if value is not None]
    highest = max((value for *_, value in shown), default=1.0) or 1.0
    panel = Panel(
        Scale(0, highest),
        Scale(0, max(1, len(shown))),
        "",
        title,
        alt="",
        width=520,
        height=44 + 30 * len(shown),
        left=190,
        right=84,
        top=26,
        bottom=18,
        x_ticks=(),
        y_ticks=(),
    )
    for row, (name, look, value) in enumerate(shown):
        at = len(shown) - row - 0.5
        top, foot, end = panel.at_y(at + 0.32), panel.at_y(at - 0.32), panel.at_x(value)
        if top is None or foot is None or end is None:
            continue
        box = {"x": panel.left, "y": top, "width": max(0.0, end - panel.left), "height": foot - top}
        panel.marks.append(
            {"tag": "rect", "at": {**box, "class": f"bar {look}"}, "tip": f"{name}: {value:,.0f} {unit}"}
        )
        panel.text(0, at, name, "", dx=-10, dy=4, anchor="end")
        panel.text(value, at, form(value), "tick", dx=7, dy=4)
    panel.alt = f"{title}: " + ", ".join(f"{name} {form(value)}" for name, _, value in shown) + "."
    drawing = panel.drawing()
    return {**drawing, "marks": [mark for mark in drawing["marks"] if mark["at"].get("class") != "axis"]}
