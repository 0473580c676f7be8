"""What a run has cost: counted FLOPs, and the bytes of what it keeps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.bills import PLACES, Bar
from app.drawing import Drawing, Panel, in_two, wide
from app.language import marked, text
from app.scale import Scale
from app.wording import number, percent, size, whole

FLOPS = {
    "train_flops": (marked("this run's training"), "pruned"),
    "train_flops_dense_sgd": (marked("the same steps by dense SGD"), "dense pale"),
    "train_flops_published_rule": (marked("as published tables count it"), "dense pale"),
}
LOOKS = {
    "weights": "pruned",
    "masks": "pruned",
    "anchors": "pruned",
    "buffer": "pruned",
    "optimiser": "dense pale",
    "activations": "dense pale",
}
GAP, LETTER, MOST = 14, 6.6, 240  # pixels; the last of a name in one line
SMALL = {"width": 340, "left": 80, "right": 118}


def flops(cost: Mapping[str, Any]) -> Drawing:
    """Counted FLOPs."""
    entries = [(text(name), look, cost.get(key)) for key, (name, look) in FLOPS.items()]
    return _bars(entries, text("FLOPs, counted"), text("multiply-adds × 2"), number)


def state(cost: Mapping[str, Any]) -> Drawing:
    """Bytes by what they are for; what is needed only while training is pale."""
    kept = cost.get("state_bytes") or {}
    entries = [(text(name), LOOKS[key], kept.get(key)) for key, name in PLACES.items()]
    return _bars(entries, text("bytes"), text("bytes"), size)


def bars(
    found: Sequence[Bar],
    title: str,
    unit: str,
    form: Callable[[float], str],
    *,
    against: float | None = None,
    against_name: str = "",
    small: bool = False,
) -> Drawing:
    """A bar an item: what was computed and not run is pale. `against`: each value is told as a share of it too."""

    def told(value: float) -> str:
        share = f" ({percent(value / against, 0 if value >= 0.1 * against else 1)})" if against else ""
        return form(value) + share

    not_run = [text("computed, not run")]
    entries = [(bar.name, "dense pale" if bar.computed else bar.look, bar.value) for bar in found]
    tips = ["\n".join(["", bar.tip, *not_run * bar.computed]) if bar.tip else "" for bar in found]
    drawing = _bars(entries, title, unit, told, tips, **(SMALL if small else {"right": 150}))
    if not against:
        return drawing
    return {**drawing, "alt": text("%(alt)s In brackets: share of %(whole)s.", alt=drawing["alt"], whole=against_name)}


def _bars(
    entries: Sequence[tuple[str, str, float | None]],
    title: str,
    unit: str,
    form: Callable[[float], str],
    tips: Sequence[str] = (),
    *,
    width: int = 520,
    left: int = 190,
    right: int = 84,
) -> Drawing:
    shown = [(name, look, float(value)) for name, look, value in entries if value is not None]
    highest = max((value for *_, value in shown), default=1.0) or 1.0
    broken = [in_two(name, MOST, LETTER) for name, *_ in shown]
    short = max(0, round(GAP + max((wide(line, LETTER) for lines in broken for line in lines), default=0)) - left)
    width, left = width + short, left + short  # a long name widens the figure and leaves the bars as long
    panel = Panel(
        Scale(0, highest),
        Scale(0, max(1, len(shown))),
        "",
        title,
        alt="",
        width=width,
        height=44 + 30 * len(shown),
        left=left,
        right=right,
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
        tip = f"{name}: {whole(round(value))} {unit}" + (tips[row] if tips else "")
        panel.marks.append({"tag": "rect", "at": {**box, "class": f"bar {look}"}, "tip": tip})
        for line, dy in zip(broken[row], (4,) if len(broken[row]) == 1 else (-3, 12)):
            panel.text(0, at, line, "", dx=-10, dy=dy, anchor="end")
        panel.text(value, at, form(value), "tick", dx=7, dy=4)
    panel.alt = f"{title}: " + ", ".join(f"{name} {form(value)}" for name, _, value in shown) + "."
    drawing = panel.drawing()
    return {**drawing, "marks": [mark for mark in drawing["marks"] if mark["at"].get("class") != "axis"]}
