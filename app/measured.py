"""What runs have measured, as frames, where more than one file tells it."""

import pandas as pd

from app import curvature_frames, frames, reading
from app.figures import planes
from app.figures.planes import Plane, Slice
from app.reading import Entry
from app.results import named


def curvature_of(entry: Entry) -> pd.DataFrame:
    """The curvature that a run measured; empty where it measured none.

    Raises:
        RunUnreadable: its folder is damaged.
    """

    def make() -> pd.DataFrame:
        return curvature_frames.curvature((*reading.record(entry).events, *reading.analyses(entry)))

    return reading.once(make, "curvature", [entry])


def curve_beside(entry: Entry | None, name: str) -> tuple[str, str, pd.DataFrame] | None:
    """A run's accuracy over the levels, to be drawn beside another's: how it is written, its method, the curve."""
    arrays = reading.arrays(entry, name) if entry else None
    if entry is None or entry.config is None or arrays is None:
        return None
    return named(entry), entry.config.method, frames.accuracy_at_levels(arrays)


def slices_of(entry: Entry, task: int) -> dict[Slice, Plane]:
    """The 2-D slices that a run holds of a task: its own, and those that were asked for later.

    Raises:
        RunUnreadable: an array is damaged.
    """
    return reading.once(lambda: _slices_of(entry, task), "slices", [entry], task)


def _slices_of(entry: Entry, task: int) -> dict[Slice, Plane]:
    own = reading.arrays(entry, f"landscape-t{task}")
    found = list(planes.planes(own).values()) if own else []
    for name in reading.array_names(entry):
        where = planes.slice_of(name, task)
        kept = reading.arrays(entry, name) if where else None
        if where and kept is not None:
            found.append(planes.plane_of(kept, where))
    return planes.finest(found)


def all_slices(entry: Entry, tasks: int) -> list[Plane]:
    """The 2-D slices of every task, for one colour scale over all of them."""
    return [plane for task in range(tasks) for plane in slices_of(entry, task).values()]
