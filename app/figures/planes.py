"""Two-dimensional slices of the loss as data: what a run recorded, and how its numbers were come by."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.language import marked, text
from app.wording import number, percent, whole
from esacl.errors import RunUnreadable

RECORDED = {  # name in `landscape-t{k}` -> (at, x, y); the y of the first may be named in the array
    "plane_pruning": ("dense", "pruning", "random2"),
    "plane_dense": ("dense", "random1", "random2"),
    "plane_pruned": ("pruned", "random1", "random2"),
}

_DIRECTION = r"pruning|eigen[1-9]|random[1-9]|task"
_ARRAY = re.compile(rf"plane-t(\d+)-(dense|pruned)-({_DIRECTION})-({_DIRECTION})(?:-[\w-]+)?")
WORDS = {"loss": marked("loss"), "accuracy": marked("accuracy")}  # quantities within a sentence
AT = {"dense": marked("dense"), "pruned": marked("pruned")}
_STATISTICS = {
    "kept": marked("BatchNorm statistics: the network's own"),
    "moved": marked("BatchNorm statistics: moved along with the weights"),
    "recomputed": marked("BatchNorm statistics: computed anew at each cell"),
}

Slice = tuple[str, str, str]  # at, x, y


def written(direction: str) -> str:
    """A direction as the reader chooses it."""
    if direction.startswith("eigen"):
        return text("eigenvector %(place)s", place=direction.removeprefix("eigen"))
    if direction.startswith("random"):
        return text("random direction %(place)s", place=direction.removeprefix("random"))
    return {"pruning": text("pruning displacement"), "task": text("next task's network")}[direction]


def point_written(at: str) -> str:
    """A point as the reader chooses it."""
    return text(AT[at])


def short(direction: str) -> str:
    """A direction in a word or two, where an axis has no room for more."""
    if direction.startswith("random"):
        return text("random %(place)s", place=direction.removeprefix("random"))
    return {"pruning": text("pruning"), "task": text("next task")}.get(direction) or written(direction)


def axis_title(direction: str) -> str:
    """A direction with the unit of its axis."""
    if direction == "pruning":
        return text("pruning displacement: 0 dense, 1 pruned")
    if direction == "task":
        return text("towards the next task: 1 = its network")
    if direction.startswith("eigen"):
        return text("%(direction)s, weight units", direction=written(direction))
    return text("%(direction)s, filter-normalised", direction=written(direction))


@dataclass(frozen=True)
class Plane:
    """A 2-D slice of the loss around a point, along two named directions."""

    at: str  # dense | pruned
    x_name: str
    y_name: str
    x: np.ndarray  # (nx,)
    y: np.ndarray  # (ny,)
    loss: np.ndarray  # (ny, nx), NaN where it was not finite
    accuracy: np.ndarray | None = None  # (ny, nx)
    evaluated: np.ndarray | None = None  # (ny, nx) bool, False where interpolated; None: every cell was computed
    error: float = 0.0  # nats, the estimated largest error of the interpolated cells
    statistics: str = "none"  # which BatchNorm statistics
    converged: bool = True  # False: an axis is an eigenvector that did not converge
    examples: int = 0  # instances that the loss is a mean over; 0: not told

    @property
    def slice(self) -> Slice:
        """What it is a slice of."""
        return self.at, self.x_name, self.y_name

    @property
    def points(self) -> list[tuple[str, str, float, float]]:
        """The marked points: name, marker, x, y."""
        shape = "circle" if self.at == "dense" else "diamond"
        found = [(point_written(self.at), shape, 0.0, 0.0)]
        for place, direction in enumerate((self.x_name, self.y_name)):
            ends = {"pruning": (text("pruned"), "diamond"), "task": (text("next task"), "square")}
            # Inside the mask the way to the next task is cut: it does not lead to that solution.
            if direction in ends and self.at == "dense":
                found.append((*ends[direction], float(place == 0), float(place == 1)))
        return found

    @property
    def title(self) -> str:
        """Where the slice lies."""
        if "pruning" in (self.x_name, self.y_name):
            return text("through the dense and the pruned point")
        return text("around the %(point)s point", point=point_written(self.at))

    @property
    def holes(self) -> int:
        """How many cells have no finite loss."""
        return int((~np.isfinite(self.loss)).sum())

    @property
    def computed(self) -> int:
        """How many cells were really computed."""
        return self.loss.size if self.evaluated is None else int(self.evaluated.sum())

    @property
    def turned(self) -> "Plane":
        """The same slice with its axes exchanged."""
        accuracy, evaluated = (None if v is None else v.T for v in (self.accuracy, self.evaluated))
        turned = {"x_name": self.y_name, "y_name": self.x_name, "x": self.y, "y": self.x, "loss": self.loss.T}
        return dataclasses.replace(self, **turned, accuracy=accuracy, evaluated=evaluated)  # type: ignore[arg-type]


def facts(plane: Plane, quantity: str = "loss") -> str:
    """How the numbers of a slice were come by."""
    said = [_cells(plane, quantity)]
    if plane.holes == 1:
        said.append(text("1 hole without a finite loss, left blank"))
    elif plane.holes:
        said.append(text("%(holes)d holes without a finite loss, left blank", holes=plane.holes))
    if not plane.converged:
        said.append(text("an eigenvector did not converge"))
    if plane.statistics in _STATISTICS:
        said.append(text(_STATISTICS[plane.statistics]))
    if plane.examples:
        said.append(text("%(examples)s instances", examples=whole(plane.examples)))
    return " · ".join(said)


def _cells(plane: Plane, quantity: str) -> str:
    size = {"x": len(plane.x), "y": len(plane.y)}
    if plane.computed == plane.loss.size:
        return text("%(x)d × %(y)d cells, each computed", **size)
    share = percent(plane.computed / plane.loss.size, 0)
    if quantity == "loss":
        return text(
            "%(x)d × %(y)d cells: %(share)s computed, the others interpolated, off by at most %(error)s nats "
            "(estimated)",
            share=share,
            error=number(plane.error),
            **size,
        )
    return text(
        "%(x)d × %(y)d cells: %(share)s computed, the others interpolated linearly, without an estimate of the error",
        share=share,
        **size,
    )


def planes(arrays: Mapping[str, np.ndarray]) -> dict[str, Plane]:
    """The planes in `landscape-t{k}`, by their name there.

    Raises:
        RunUnreadable: a plane's shape does not fit its axes.
    """
    found = {}
    for name, (at, x_name, y_name) in RECORDED.items():
        part = {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}
        if {"x", "y", "loss"} <= part.keys():
            told = str(part.get("y_name", y_name))
            found[name] = plane_of(part, (at, x_name, told if re.fullmatch(_DIRECTION, told) else y_name))
    return found


def slice_of(array_name: str, task: int) -> Slice | None:
    """The slice that an array of a run holds, None where it holds none of this task."""
    found = _ARRAY.fullmatch(array_name)
    return (found[2], found[3], found[4]) if found and int(found[1]) == task else None


def plane_of(arrays: Mapping[str, np.ndarray], where: Slice) -> Plane:
    """A plane from its arrays.

    Raises:
        RunUnreadable: a part is missing, or its shape does not fit the axes.
    """
    name = " × ".join(where[1:])
    if not {"x", "y", "loss"} <= arrays.keys():
        raise RunUnreadable(f"the slice {name} of this task is damaged (x, y or loss is missing); measure it again")
    x, y, loss = (np.asarray(arrays[key], dtype=float) for key in ("x", "y", "loss"))
    beside = {key: np.asarray(arrays[key]) for key in ("accuracy", "evaluated") if key in arrays}
    if loss.shape != (len(y), len(x)) or min(loss.shape) < 2 or any(b.shape != loss.shape for b in beside.values()):
        raise RunUnreadable(f"the slice {name} {where[0]} of this task is damaged (another shape); measure it again")
    return Plane(
        *where,
        x=x,
        y=y,
        loss=loss,
        accuracy=beside["accuracy"].astype(float) if "accuracy" in beside else None,
        evaluated=beside["evaluated"].astype(bool) if "evaluated" in beside else None,
        error=float(arrays.get("error", 0.0)),
        statistics=str(arrays.get("statistics", "none")),
        converged=bool(arrays.get("converged", True)),
        examples=int(arrays.get("examples", 0)),
    )


def finest(found: Iterable[Plane]) -> dict[Slice, Plane]:
    """One plane a slice: the one with most cells; of equal ones the last."""
    best: dict[Slice, Plane] = {}
    for plane in found:
        before = best.get(plane.slice)
        if before is None or plane.loss.size >= before.loss.size:
            best[plane.slice] = plane
    return best


def lookup(found: Mapping[Slice, Plane], where: Slice) -> Plane | None:
    """The plane of a slice, whichever way its axes were recorded."""
    at, x, y = where
    if where in found:
        return found[where]
    return found[at, y, x].turned if (at, y, x) in found else None


def extent(found: Sequence[Plane]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ranges of x and of y that hold every plane."""
    return tuple(  # type: ignore[return-value]
        (min(float(axis.min()) for axis in axes), max(float(axis.max()) for axis in axes))
        for axes in ([plane.x for plane in found], [plane.y for plane in found])
    )
