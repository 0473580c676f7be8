"""Slices: the loss and the accuracy on a grid of points along a line or on a plane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from torch import Tensor, nn

from esacl.curvature.objective import Data, Loss
from esacl.errors import InputError
from esacl.landscape.engines import Point, check_engine, chosen, groups
from esacl.landscape.plane import Correct, Plane
from esacl.landscape.refine import Refinement, refinement
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
    engine: str  # how the points were computed: loop, queued or vmap
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
    engine: str  # how the points were computed: loop, queued or vmap
    evaluations: int  # points that were computed
    evaluated: np.ndarray  # (ny, nx) bool
    error: float  # estimated largest error of the losses that were interpolated, 0 where none was


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
    engine: str = "auto",
    statistics: str = "moved",
) -> Slice1D:
    """The loss at theta + a x for `points` values of a over `extent`.

    `correct(outputs, targets)` gives a bool an example, whose mean is the accuracy. The rest is as for `slice_2d`.

    Raises:
        InputError: a direction that does not fit the network, an empty extent, fewer than two points, an unknown
            engine or choice of statistics.
    """
    return finish(
        line_steps(
            network, loss, data, x,
            extent=extent, points=points, correct=correct, chunk=chunk, engine=engine, statistics=statistics,
        )
    )  # fmt: skip


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
    engine: str = "auto",
    statistics: str = "moved",
) -> Steps[Slice1D]:
    """`slice_1d` in steps. It is of the network as it is at the call, whatever becomes of it between two steps.

    Raises:
        InputError: as `slice_1d`, at the call.
    """
    values = _grid(extent, points)
    check_engine(engine)
    plane = Plane(network, loss, data, (x,), correct=correct, chunk=chunk, statistics=statistics)
    return _line(plane, engine, values)


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
    refine: float | None = None,
    scale: str = "linear",
    engine: str = "auto",
    statistics: str = "moved",
) -> Slice2D:
    """The loss at theta + a x + b y on a grid; `extent` and `points` are one for both axes or (x's, y's).

    Args:
        network: any module; only read.
        loss: `loss(outputs, *rest)`, a mean over the examples, as for `curvature.hessian`.
        data: a tuple of tensors `(inputs, targets[, weights])`, or an iterable of such batches.
        x: {name: tensor}, the direction across.
        y: {name: tensor}, the direction up.
        extent: (lowest, highest) coordinate.
        points: of the grid.
        correct: `correct(outputs, targets)`, a bool an example, whose mean is the accuracy.
        chunk: examples at a time.
        refine: compute cells from coarse to fine until the interpolated losses are, by estimate, wrong by at most this
            share of the range of losses; None computes every cell. Accuracies are interpolated with them, linearly and
            without an estimate (measured at 1%: wrong by up to 0.22, with scale "log" on CNN and MLP planes by 0.07).
        scale: "log" also refines what a logarithmic scale would show as wrong by more than that share of it.
        engine: "loop" (point by point), "queued" (without waiting for each value), "vmap" (many at once), or "auto":
            the loop on a CPU, elsewhere the fastest of them, which is measured on a few points.
        statistics: BatchNorm's: "moved" where a direction names its buffers, else the network's own; "kept": always
            the network's own; "recomputed" from the data at each point.

    Raises:
        InputError: a direction that does not fit the network, an empty extent, fewer than two points, an unknown
            engine, scale or choice of statistics, a share that is none.
    """
    return finish(
        plane_steps(
            network, loss, data, x, y,
            extent=extent, points=points, correct=correct, chunk=chunk,
            refine=refine, scale=scale, engine=engine, statistics=statistics,
        )
    )  # fmt: skip


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
    refine: float | None = None,
    scale: str = "linear",
    engine: str = "auto",
    statistics: str = "moved",
) -> Steps[Slice2D]:
    """`slice_2d` in steps. It is of the network as it is at the call, whatever becomes of it between two steps.

    Raises:
        InputError: as `slice_2d`, at the call.
    """
    horizontal, vertical = _axes(extent, points)
    check_engine(engine)
    wanted = refinement((len(vertical), len(horizontal)), refine, scale)
    plane = Plane(network, loss, data, (x, y), correct=correct, chunk=chunk, statistics=statistics)
    return _plane(plane, engine, horizontal, vertical, wanted)


def _line(plane: Plane, engine: str, values: np.ndarray) -> Steps[Slice1D]:
    points = [(float(a),) for a in values]
    engine = chosen(plane, engine, points)
    losses, accuracies = yield from _measured(plane, engine, points, 0, len(points))
    holes = int(np.isnan(losses).sum())
    return Slice1D(values, losses, accuracies, holes, plane.statistics, engine, len(points))


def _plane(
    plane: Plane, engine: str, horizontal: np.ndarray, vertical: np.ndarray, wanted: Refinement
) -> Steps[Slice2D]:
    shape = (len(vertical), len(horizontal))
    accuracy, done = np.full(shape, np.nan), 0
    known = None
    cells = next(wanted)
    engine = chosen(plane, engine, _points(cells, horizontal, vertical))
    while True:
        points = _points(cells, horizontal, vertical)
        losses, known = yield from _measured(plane, engine, points, done, shape[0] * shape[1])
        done += len(points)
        if known is not None:
            accuracy[tuple(cells.T)] = known
        try:
            cells = wanted.send(losses)
        except StopIteration as end:
            loss, evaluated, error = end.value
            break
    return Slice2D(
        x=horizontal, y=vertical, loss=loss, accuracy=None if known is None else _filled(accuracy, evaluated),
        holes=int(np.isnan(loss).sum()), statistics=plane.statistics, engine=engine, evaluations=done,
        evaluated=evaluated, error=error,
    )  # fmt: skip


def _measured(
    plane: Plane, engine: str, points: Sequence[Point], done: int, total: int
) -> Steps[tuple[np.ndarray, np.ndarray | None]]:
    """Losses (m,) and accuracies (m,) at the points; `done` of `total` were measured before."""
    losses, accuracies = [np.zeros(0)], []
    for part, right in groups(plane, engine, points):
        done += len(part)
        losses.append(part)
        if right is not None:
            accuracies.append(right)
        yield Step(done, total)
    return np.concatenate(losses), np.concatenate(accuracies) if accuracies else None


def _points(cells: np.ndarray, horizontal: np.ndarray, vertical: np.ndarray) -> list[Point]:
    return [(float(horizontal[j]), float(vertical[i])) for i, j in cells]


def _filled(accuracy: np.ndarray, evaluated: np.ndarray) -> np.ndarray:
    """Linear between the cells that were evaluated; all beside a hole were, so none is bridged."""
    known, left = evaluated & np.isfinite(accuracy), ~evaluated
    if left.any():
        accuracy[left] = LinearNDInterpolator(np.argwhere(known), accuracy[known])(np.argwhere(left))
    return accuracy


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
