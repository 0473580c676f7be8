"""Two-dimensional slices of the loss as data: what a run recorded, and the one colour scale for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.drawing import Drawing, png, words
from app.wording import number
from esacl.errors import RunUnreadable

PLANES = {  # name in the array -> (title, x axis, y axis)
    "plane_pruning": (
        "through the dense and the pruned point",
        "pruning displacement: 0 dense, 1 pruned",
        "a random direction",
    ),
    "plane_dense": ("around the dense point", "random direction 1", "random direction 2"),
    "plane_pruned": ("around the pruned point", "random direction 1", "random direction 2"),
}
SLICES = {
    "plane_pruning": "Through dense and pruned",
    "around": "Around each of them",
    "plane_dense": "Around the dense point",
}
DECADES = 3  # what lies more decades above the lowest loss is drawn as the highest
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")


@dataclass(frozen=True)
class Plane:
    """A 2-D slice of the loss."""

    name: str
    x: np.ndarray  # (nx,)
    y: np.ndarray  # (ny,)
    loss: np.ndarray  # (ny, nx), NaN where it was not finite

    @property
    def points(self) -> list[tuple[str, str, float, float]]:
        """The marked points: name, marker, x, y."""
        dense, pruned = ("dense", "circle", 0.0, 0.0), ("pruned", "diamond", 0.0, 0.0)
        if self.name == "plane_pruning":
            return [dense, (*pruned[:2], 1.0, 0.0)]
        return [dense] if self.name == "plane_dense" else [pruned]

    @property
    def title(self) -> str:
        """Where the slice lies."""
        return PLANES[self.name][0]

    @property
    def holes(self) -> int:
        """How many points have no finite loss."""
        return int((~np.isfinite(self.loss)).sum())


def planes(arrays: Mapping[str, np.ndarray]) -> dict[str, Plane]:
    """The planes that the arrays hold.

    Raises:
        RunUnreadable: a plane's shape does not fit its axes.
    """
    found = {}
    for name in PLANES:
        keys = [f"{name}/{part}" for part in ("x", "y", "loss")]
        if not all(key in arrays for key in keys):
            continue
        x, y, loss = (np.asarray(arrays[key], dtype=float) for key in keys)
        if loss.shape != (len(y), len(x)) or min(loss.shape) < 2:
            raise RunUnreadable(
                f"the landscape of this task is damaged ({name} has another shape); record the run again"
            )
        found[name] = Plane(name, x, y, loss)
    return found


def slices(found: Mapping[str, Plane]) -> dict[str, str]:
    """What can be shown: one plane, or the two around the dense and the pruned point side by side."""
    both = "plane_dense" in found and "plane_pruned" in found
    names = [
        name for name in ("plane_pruning", "plane_dense") if name in found and not (both and name == "plane_dense")
    ]
    return {name: SLICES[name] for name in (*names, *(["around"] if both else []))}


def limits(found: Sequence[Plane]) -> tuple[float, float]:
    """One colour scale for all planes: their whole range, but at most `DECADES` decades above the lowest."""
    values = np.concatenate([np.zeros(0), *(plane.loss[np.isfinite(plane.loss)] for plane in found)])
    if not len(values):
        return 0.1, 1.0
    low = max(float(values.min()), 1e-9)
    return low, min(max(float(values.max()), low * 1.01), low * 10**DECADES)


def coloured(plane: Plane, locked: tuple[float, float]) -> tuple[np.ndarray, float, float]:
    """log10 of the loss, and the ends of the colour scale in it."""
    low, high = locked
    with np.errstate(invalid="ignore"):
        values = np.log10(np.maximum(plane.loss, low))
    values[~np.isfinite(plane.loss)] = np.nan
    return values, float(np.log10(low)), float(np.log10(high))


def ticks(locked: tuple[float, float]) -> dict[str, Any]:
    """Places and names of the losses 1, 2, 5, 10, ... on a log10 axis."""
    start, end = (int(np.floor(np.log10(value))) for value in locked)
    steps = [m * 10.0**p for p in range(start, end + 1) for m in (1, 2, 5)]
    inside = [v for v in steps if locked[0] * 0.999 <= v <= locked[1] * 1.001]
    return {"tickvals": [float(np.log10(v)) for v in inside], "ticktext": [f"{v:g}" for v in inside]}


def picture(plane: Plane, *, width: float = 320, height: float = 210) -> Drawing:
    """A small plane: colours only, with the marked points."""
    values, low, high = coloured(plane, limits([plane]))
    share = np.nan_to_num((values - low) / max(high - low, 1e-9), nan=1.0)
    at = {"x": 0, "y": 0, "width": width, "height": height, "preserveAspectRatio": "none"}
    marks: list[dict[str, Any]] = [{"tag": "image", "at": {**at, "href": png(_colours(np.clip(share, 0, 1))[::-1])}}]
    for name, _, x, y in plane.points:
        px = round(float((x - plane.x[0]) / (plane.x[-1] - plane.x[0]) * width), 1)
        py = round(float(height - (y - plane.y[0]) / (plane.y[-1] - plane.y[0]) * height), 1)
        marks.append({"tag": "circle", "at": {"cx": px, "cy": py, "r": 5, "fill": "#fff"}})
        marks.append(words(px + 9, py + 4, name, "on-picture"))
    lowest = number(float(np.nanmin(plane.loss))) if plane.holes < plane.loss.size else "not finite"
    alt = f"The loss in the plane {plane.title}; the lowest value is {lowest}."
    return {"width": width, "height": height, "alt": alt, "caption": "", "marks": marks}


def _colours(share: np.ndarray) -> np.ndarray:
    """Colours (h, w, 3) uint8 of shares (h, w)."""
    table = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in VIRIDIS], dtype=float)
    at = share * (len(table) - 1)
    below = np.floor(at).astype(int).clip(0, len(table) - 2)
    part = (at - below)[..., None]
    return (table[below] * (1 - part) + table[below + 1] * part).round().astype(np.uint8)
