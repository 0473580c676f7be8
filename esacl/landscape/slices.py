"""Slices: the loss and the accuracy on a grid of points along a line or on a plane."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from esacl.curvature.objective import Data, Loss
from esacl.errors import InputError
from esacl.landscape.plane import Correct, Plane
from esacl.stepwise import Step, Steps, finish

Extent = tuple[float, float]


@dataclass(frozen=True)
class Slice1D:
    """The mean loss along a line."""

    x: np.ndarray  # (n,)
    loss: np.ndarray  # (n,) NaN at a hole
    accuracy: np.ndarray | None  # (n,) fraction, NaN at a hole
    holes: int  # points whose loss is not finite
    statistics: str  # which of BatchNorm's are used; "none" without BatchNorm
    engine: str  # how the points were computed
    evaluations: int  # points that were computed


@dataclass(frozen=True)
class Slice2D:
    """The mean loss on a plane; row i belongs to y[i], column j to x[j]."""

    x: np.ndarray  # (nx,)
    y: np.ndarray  # (ny,)
    loss: np.ndarray  # (ny, nx) NaN at a hole
    accuracy: np.ndarray | None  # (ny, nx) fraction, NaN at a hole
    holes: int  # points whose loss is not finite
    statistics: str  # which of BatchNorm's are used; "none" without BatchNorm
    engine: str  # how the points were computed
    evaluations: int  # points that were computed
    evaluated: np.ndarray  # (ny, nx) bool
    error: float  # of the points that were not computed, 0 where all were


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
) -> Slice1D:
    """The loss at theta + a x for `points` values of a over `extent`.

    `correct(outputs, targets)` gives a bool an example, whose mean is the accuracy.

    Raises:
        InputError: a direction that does not fit the network, an empty extent, fewer than two points.
    """
    return finish(line_steps(network, loss, data, x, extent=extent, points=points, correct=correct, chunk=chunk))


def line_steps(
    network: nn.Module,
    loss: Loss,
    data: Data,
    x: Mapping[str, Tensor],
    *,
    extent: Extent = (-1.0, 1.0),
    points: int = 41,
    correct: Correct | None = None,
    chunk: int | None = None,
) -> Steps[Slice1D]:
    """`slice_1d` point by point. It is of the network as it is at the call, whatever becomes of it between two steps.

    Raises:
        InputError: as `slice_1d`, at the call.
    """
    values = _grid(extent, points)
    plane = Plane(network, loss, data, (x,), correct=correct, chunk=chunk)
    return _line(plane, values)


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
) -> Slice2D:
    """The loss at theta + a x + b y on a grid; `extent` and `points` are one for both axes or (x's, y's).

    Raises:
        InputError: a direction that does not fit the network, an empty extent, fewer than two points.
    """
    return finish(plane_steps(network, loss, data, x, y, extent=extent, points=points, correct=correct, chunk=chunk))


def plane_steps(
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
) -> Steps[Slice2D]:
    """`slice_2d` point by point. It is of the network as it is at the call, whatever becomes of it between two steps.

    Raises:
        InputError: as `slice_2d`, at the call.
    """
    horizontal, vertical = _axes(extent, points)
    plane = Plane(network, loss, data, (x, y), correct=correct, chunk=chunk)
    return _plane(plane, horizontal, vertical)


def _line(plane: Plane, values: np.ndarray) -> Steps[Slice1D]:
    cells = []
    for a in values:
        cells.append(plane.cell(float(a)))
        yield Step(len(cells), len(values))
    losses, accuracies = _columns(cells)
    return Slice1D(values, losses, accuracies, int(np.isnan(losses).sum()), "none", "loop", len(cells))


def _plane(plane: Plane, horizontal: np.ndarray, vertical: np.ndarray) -> Steps[Slice2D]:
    shape = (len(vertical), len(horizontal))
    cells = []
    for b in vertical:
        for a in horizontal:
            cells.append(plane.cell(float(a), float(b)))
            yield Step(len(cells), shape[0] * shape[1])
    losses, accuracies = _columns(cells)
    return Slice2D(
        horizontal, vertical, losses.reshape(shape), None if accuracies is None else accuracies.reshape(shape),
        int(np.isnan(losses).sum()), "none", "loop", len(cells), np.ones(shape, dtype=bool), 0.0,
    )  # fmt: skip


def _axes(extent: Extent | tuple[Extent, Extent], points: int | tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
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
