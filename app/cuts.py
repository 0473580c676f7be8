"""What was recorded of the cuts at every level: which weights go, the way there, other rankings, one exact cut."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from esacl.errors import RunUnreadable

Arrays = Mapping[str, np.ndarray]
_EXACT = re.compile(r"exact-t(\d+)-\d{5}(?:-[\w-]+)?")


@dataclass(frozen=True)
class Cuts:
    """The cuts of one task at all levels."""

    levels: np.ndarray  # (levels,) ascending
    survived: Mapping[str, np.ndarray]  # layer -> how many of the levels each weight survives
    edges: np.ndarray  # (bins + 1,) of the histogram
    kept: np.ndarray  # (levels, bins) weights that a level keeps
    way: np.ndarray  # (points,) shares of the way from the dense point to a cut
    way_loss: np.ndarray  # (levels, points) nats
    places: np.ndarray | None  # (levels, 3) x, y and distance on the plane of the run's own cut; None: no such plane
    y_name: str = ""  # the plane's other axis


def cuts(arrays: Arrays) -> Cuts:
    """The arrays of `cuts-t{k}`.

    Raises:
        RunUnreadable: a part is missing or has another length.
    """
    needed = ("levels", "edges", "kept", "way", "way_loss")
    survived = {n.removeprefix("survived/"): a for n, a in arrays.items() if n.startswith("survived/")}
    if any(name not in arrays for name in needed) or not survived:
        raise _damaged("a part is missing")
    levels, edges, kept, way, way_loss = (np.asarray(arrays[name]) for name in needed)
    places = None
    if "place_x" in arrays:
        places = np.stack([np.asarray(arrays[f"place_{part}"], dtype=float) for part in ("x", "y", "off")], axis=1)
    fits = kept.shape == (len(levels), len(edges) - 1) and way_loss.shape == (len(levels), len(way))
    if not fits or (places is not None and len(places) != len(levels)):
        raise _damaged("lengths differ")
    return Cuts(levels, survived, edges, kept, way, way_loss, places, str(arrays.get("place_of_y", "")))


@dataclass(frozen=True)
class Comparison:
    """Every saliency with every allocation at every level."""

    levels: np.ndarray  # (levels,)
    saliencies: tuple[str, ...]
    allocations: tuple[str, ...]
    accuracy: np.ndarray  # (saliencies, allocations, levels, tasks)
    rise: np.ndarray  # (saliencies, allocations, levels) nats, over the pool
    draws: tuple[int, ...]  # of each saliency; random needs more than one
    pool: int

    def lines(self, what: str, fixed: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Name -> mean accuracy and loss rise over the levels: of the saliencies at the allocation `fixed`, or reverse.

        Args:
            what: "saliencies" or "allocations".
            fixed: the one that all have, of the other kind.
        """
        mean = self.accuracy.mean(axis=-1)
        if what == "saliencies":
            at = self.allocations.index(fixed)
            return {name: (mean[i, at], self.rise[i, at]) for i, name in enumerate(self.saliencies)}
        at = self.saliencies.index(fixed)
        return {name: (mean[at, i], self.rise[at, i]) for i, name in enumerate(self.allocations)}


def comparison(arrays: Arrays) -> Comparison:
    """The arrays of `comparison-t{k}`.

    Raises:
        RunUnreadable: a part is missing or has another shape.
    """
    needed = ("levels", "saliencies", "allocations", "accuracy", "rise", "draws", "pool")
    if any(name not in arrays for name in needed):
        raise _damaged("a part is missing")
    saliencies, allocations = (tuple(str(n) for n in arrays[key]) for key in ("saliencies", "allocations"))
    levels, accuracy, rise = (np.asarray(arrays[name], dtype=float) for name in ("levels", "accuracy", "rise"))
    shape = (len(saliencies), len(allocations), len(levels))
    if rise.shape != shape or accuracy.shape[:-1] != shape or len(arrays["draws"]) != len(saliencies):
        raise _damaged("lengths differ")
    draws = tuple(int(n) for n in arrays["draws"])
    return Comparison(levels, saliencies, allocations, accuracy, rise, draws, int(arrays["pool"]))


@dataclass(frozen=True)
class Exact:
    """One cut at exactly one level, on all evaluation data of the tasks seen."""

    level: float
    removed: float  # what the mask really removes
    accuracy: np.ndarray  # (tasks,)
    dense_accuracy: np.ndarray
    loss: np.ndarray  # (tasks,) nats
    dense_loss: np.ndarray
    examples: np.ndarray  # (tasks,)

    @property
    def mean_accuracy(self) -> float:
        """Mean over the tasks."""
        return float(self.accuracy.mean())

    @property
    def lost(self) -> float:
        """Mean accuracy that the cut costs; positive is a loss."""
        return float((self.dense_accuracy - self.accuracy).mean())

    @property
    def rise(self) -> float:
        """By how much the loss rises, nats, mean over all images."""
        return float(np.average(self.loss - self.dense_loss, weights=self.examples))

    @property
    def n(self) -> int:
        """Images in all."""
        return int(self.examples.sum())

    @property
    def error(self) -> float:
        """Standard error of the mean accuracy, as of independent images."""
        return float(np.sqrt((self.accuracy * (1 - self.accuracy) / self.examples).sum())) / len(self.accuracy)


def exact(arrays: Arrays) -> Exact:
    """The arrays of `exact-t{k}-{level}`.

    Raises:
        RunUnreadable: a part is missing or has another length.
    """
    rows = ("accuracy", "dense_accuracy", "loss", "dense_loss", "examples")
    if any(name not in arrays for name in ("level", "removed", *rows)):
        raise _damaged("a part is missing")
    found = [np.atleast_1d(np.asarray(arrays[name])) for name in rows]
    if len({len(row) for row in found}) != 1 or not len(found[0]):
        raise _damaged("lengths differ")
    return Exact(float(arrays["level"]), float(arrays["removed"]), *found)


def exact_names(names: Iterable[str], task: int) -> list[str]:
    """Those of the arrays of a run that hold an exact cut of the task."""
    found = ((name, _EXACT.fullmatch(name)) for name in names)
    return sorted(name for name, match in found if match and int(match[1]) == task)


def _damaged(why: str) -> RunUnreadable:
    return RunUnreadable(f"what was recorded of the cuts of this task is damaged ({why}); record it again")
