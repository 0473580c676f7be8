"""Slices of the loss in colours: one scale for all of them, and small pictures."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from app.drawing import Drawing, png, words
from app.figures.planes import Plane
from app.language import text
from app.wording import number, percent

DECADES = 3  # what lies more decades above the lowest loss is drawn as the highest
NOTHING = 1e-3  # nats: a loss below is as good as none, and would take the colours from all that matters
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")


def limits(found: Iterable[Plane], quantity: str = "loss") -> tuple[float, float]:
    """One colour scale for all planes.

    Of the loss it is their whole range, but from `NOTHING` and for at most `DECADES` decades; of the accuracy 0 to 1.
    """
    if quantity == "accuracy":
        return 0.0, 1.0
    values = np.concatenate([np.zeros(0), *(plane.loss[np.isfinite(plane.loss)] for plane in found)])
    if not len(values):
        return 0.1, 1.0
    highest = max(float(values.max()), 1e-8)
    low = max(float(values.min()), min(NOTHING, highest / 10))
    return low, min(max(highest, low * 1.01), low * 10**DECADES)


def coloured(plane: Plane, locked: tuple[float, float], quantity: str = "loss") -> tuple[np.ndarray, float, float]:
    """What is drawn (ny, nx), and the ends of its scale: the accuracy as it is, the loss in log10; NaN is a hole."""
    low, high = locked
    if quantity == "accuracy":
        given = np.full_like(plane.loss, np.nan) if plane.accuracy is None else plane.accuracy
        return np.where(np.isfinite(plane.loss), given, np.nan), low, high
    with np.errstate(invalid="ignore"):
        values = np.log10(np.maximum(plane.loss, low))
    values[~np.isfinite(plane.loss)] = np.nan
    return values, float(np.log10(low)), float(np.log10(high))


def ticks(locked: tuple[float, float], quantity: str = "loss") -> dict[str, Any]:
    """Places on the scale and what is written there: losses 1, 2, 5, 10, ..., or accuracies."""
    if quantity == "accuracy":
        return {"tickvals": [v / 4 for v in range(5)], "ticktext": [percent(v / 4, 0) for v in range(5)]}
    start, end = (int(np.floor(np.log10(value))) for value in locked)
    steps = [m * 10.0**p for p in range(start, end + 1) for m in (1, 2, 5)]
    inside = [v for v in steps if locked[0] * 0.999 <= v <= locked[1] * 1.001]
    return {"tickvals": [float(np.log10(v)) for v in inside], "ticktext": [f"{v:g}" for v in inside]}


def picture(
    plane: Plane,
    *,
    width: float = 320,
    height: float = 210,
    locked: tuple[float, float] | None = None,
    ends: tuple[float, float] | None = None,
) -> Drawing:
    """A small plane: colours only, with the marked points.

    Args:
        plane: what is drawn.
        width: of the picture, pixels.
        height: likewise.
        locked: the scale of colours that it shares with others.
        ends: of the axis y that it shares with others; what it does not reach of them stays blank.
    """
    low, high = ends or (float(plane.y[0]), float(plane.y[-1]))

    def down(y: float) -> float:
        return round(float(height - (y - low) / (high - low) * height), 1)

    top, foot = down(float(plane.y[-1])), down(float(plane.y[0]))
    at = {"x": 0, "y": top, "width": width, "height": round(foot - top, 1), "preserveAspectRatio": "none"}
    marks: list[dict[str, Any]] = [{"tag": "image", "at": {**at, "href": pixels(plane, locked)}}]
    for name, _, x, y in plane.points:
        px = round(float((x - plane.x[0]) / (plane.x[-1] - plane.x[0]) * width), 1)
        py = down(y)
        marks.append({"tag": "circle", "at": {"cx": px, "cy": py, "r": 5, "fill": "#fff"}})
        marks.append(words(px + 9, py + 4, name, "on-picture"))
    lowest = number(float(np.nanmin(plane.loss))) if plane.holes < plane.loss.size else text("not finite")
    alt = text("The loss in the plane %(where)s; the lowest value is %(lowest)s.", where=plane.title, lowest=lowest)
    return {"width": width, "height": height, "alt": alt, "caption": "", "marks": marks}


def pixels(plane: Plane, locked: tuple[float, float] | None = None) -> str:
    """A plane as a picture of one pixel a cell, the first row of y at the foot; `locked`: a scale that others share."""
    values, low, high = coloured(plane, locked or limits([plane]))
    share = np.nan_to_num((values - low) / max(high - low, 1e-9), nan=1.0)
    return png(_colours(np.clip(share, 0, 1))[::-1])


def _colours(share: np.ndarray) -> np.ndarray:
    """Colours (h, w, 3) uint8 of shares (h, w)."""
    table = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in VIRIDIS], dtype=float)
    at = share * (len(table) - 1)
    below = np.floor(at).astype(int).clip(0, len(table) - 2)
    part = (at - below)[..., None]
    return (table[below] * (1 - part) + table[below + 1] * part).round().astype(np.uint8)
