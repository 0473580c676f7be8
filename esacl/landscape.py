"""The loss on lines and planes through weight space: theta + a x + b y. The network is only read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from esacl.curvature.objective import Data, Loss
from esacl.directions import (
    Direction,
    eigen_direction,
    orthogonal_to,
    pruning_direction,
    random_direction,
    task_direction,
)
from esacl.errors import InputError
from esacl.plane import Correct, Plane

__all__ = [
    "Direction",
    "Row",
    "Slice1D",
    "Slice2D",
    "eigen_direction",
    "orthogonal_to",
    "pruning_direction",
    "random_direction",
    "rows_2d",
    "slice_1d",
    "slice_2d",
    "task_direction",
]

Extent = tuple[float, float]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Slice1D:
    """The mean loss along a line."""

    x: np.ndarray  # (n,)
    loss: np.ndarray  # (n,) NaN at a hole
    accuracy: np.ndarray | None  # (n,) fraction, NaN at a hole
    holes: int  # points whose loss is not finite


@dataclass(frozen=True)
class Slice2D:
    """The mean loss on a plane; row i belongs to y[i], column j to x[j]."""

    x: np.ndarray  # (nx,)
    y: np.ndarray  # (ny,)
    loss: np.ndarray  # (ny, nx) NaN at a hole
    accuracy: np.ndarray | None  # (ny, nx) fraction, NaN at a hole
    holes: int  # points whose loss is not finite


@dataclass(frozen=True)
class Row:
    """One row of a plane, as it is finished."""

    index: int
    loss: np.ndarray  # (nx,)
    accuracy: np.ndarray | None  # (nx,)


def slice_1d(
    network: nn.Module,
    loss: Loss,
    data: Data,
    x: Mapping[str, Tensor],
    *,
    extent: Extent = (-1.0, 1.0),
    points: int = 41,
    correct: Correct | None = None,
    chunk: int | None = None,
    progress: Progress | None = None,
) -> Slice1D:
    """The loss at theta + a x for `points` values of a over `extent`.

    `correct(outputs, targets)` gives a bool an example, whose mean is the accuracy. `progress(done, total)` is called
    after each point; to cancel, raise from it.

    Raises:
        InputError: a direction that does not fit the network, an empty extent, fewer than two points.
    """
    values = _grid(extent, points)
    plane = Plane(network, loss, data, (x,), correct=correct, chunk=chunk)
    cells = []
    for done, a in enumerate(values, start=1):
        cells.append(plane.cell(float(a)))
        if progress is not None:
            progress(done, len(values))
    losses, accuracies = _columns(cells)
    return Slice1D(values, losses, accuracies, int(np.isnan(losses).sum()))


def slice_2d(
    network: nn.Module,
    loss: Loss,
    data: Data,
    x: Mapping[str, Tensor],
    y: Mapping[str, Tensor],
    *,
    extent: Extent | tuple[Extent, Extent] = (-1.0, 1.0),
    points: int | tuple[int, int] = 25,
    correct: Correct | None = None,
    chunk: int | None = None,
    progress: Progress | None = None,
) -> Slice2D:
    """The loss at theta + a x + b y on a grid; `extent` and `points` are one for both axes or (x's, y's).

    `progress(done, total)` is called after each row; to cancel, raise from it, or use `rows_2d`.

    Raises:
        InputError: a direction that does not fit the network, an empty extent, fewer than two points.
    """
    horizontal, vertical = _axes(extent, points)
    rows = []
    for row in rows_2d(
        network, loss, data, x, y, extent=extent, points=points, correct=correct, chunk=chunk
    ):
        rows.append(row)
        if progress is not None:
            progress(len(rows), len(vertical))
    return _assembled(horizontal, vertical, rows)


def rows_2d(
    network: nn.Module,
    loss: Loss,
    data: Data,
    x: Mapping[str, Tensor],
    y: Mapping[str, Tensor],
    *,
    extent: Extent | tuple[Extent, Extent] = (-1.0, 1.0),
    points: int | tuple[int, int] = 25,
    correct: Correct | None = None,
    chunk: int | None = None,
) -> Iterator[Row]:
    """The rows of `slice_2d` one by one, for a consumer that wants to stop or to report between them.

    They are of the network as it is at the call, whatever becomes of it between two rows.

    Raises:
        InputError: as `slice_2d`, at the call.
    """
    horizontal, vertical = _axes(extent, points)
    plane = Plane(network, loss, data, (x, y), correct=correct, chunk=chunk)
    return _rows(plane, horizontal, vertical)


def _rows(plane: Plane, horizontal: np.ndarray, vertical: np.ndarray) -> Iterator[Row]:
    for index, b in enumerate(vertical):
        losses, accuracies = _columns([plane.cell(float(a), float(b)) for a in horizontal])
        yield Row(index, losses, accuracies)


def _axes(
    extent: Extent | tuple[Extent, Extent], points: int | tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    across, up = (extent, extent) if isinstance(extent[0], (int, float)) else extent
    nx, ny = (points, points) if isinstance(points, int) else points
    return _grid(across, nx), _grid(up, ny)


def _grid(extent: Extent, points: int) -> np.ndarray:
    """`points` values over `extent`; the marked points 0 and 1 are hit exactly where the grid has them."""
    low, high = extent
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"extent ({low}, {high}) is empty; choose two finite numbers, the lower first")
    if points < 2:
        raise InputError(f"points {points} make no slice; choose 2 or more")
    values = np.linspace(low, high, points)
    for mark in (0.0, 1.0):
        values[np.abs(values - mark) < 1e-9 * (high - low)] = mark
    return values


def _columns(cells: list[tuple[float, float | None]]) -> tuple[np.ndarray, np.ndarray | None]:
    losses = np.array([loss for loss, _ in cells])
    known = [accuracy for _, accuracy in cells if accuracy is not None]
    return losses, np.array(known) if len(known) == len(cells) else None


def _assembled(x: np.ndarray, y: np.ndarray, rows: list[Row]) -> Slice2D:
    loss = np.stack([row.loss for row in rows])
    accuracies = [row.accuracy for row in rows if row.accuracy is not None]
    return Slice2D(x, y, loss, np.stack(accuracies) if accuracies else None, int(np.isnan(loss).sum()))
