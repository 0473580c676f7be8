"""What a run has recorded of the Hessian's spectrum, read from its arrays and checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from app.figures.curvature import WHERE
from esacl.errors import RunUnreadable

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Ends:
    """The ends of the spectrum at a point, and the loss along each eigenvector there."""

    where: str  # a key of WHERE
    top: np.ndarray  # (k,) descending
    residuals: np.ndarray  # (k,) |Hv - lambda v|
    bottom: float | None  # the smallest
    products: int
    converged: bool
    steps: np.ndarray  # (k, s) along the unit eigenvector, weight units
    losses: np.ndarray  # (k, s)
    value: float  # the loss at the point
    gradient: np.ndarray  # (k,) g'v

    def parabola(self, index: int) -> np.ndarray:
        """Value + g'v a + lambda a^2 / 2 at each step (s,)."""
        a = self.steps[index]
        return np.asarray(self.value + self.gradient[index] * a + self.top[index] * a**2 / 2)


@dataclass(frozen=True)
class Density:
    """The smoothed density of the spectrum at a point."""

    where: str
    grid: np.ndarray  # (g,)
    density: np.ndarray  # (g,)
    error: np.ndarray  # (g,) standard error over the probes
    width: float
    products: int
    converged: bool
    entries: int  # how many eigenvalues there are
    trace: float
    trace_error: float
    trace_products: int


@dataclass(frozen=True)
class Overlap:
    """How much of the cut's displacement lies in the top eigenspace, row by row: all, then each layer."""

    layers: tuple[str, ...]  # (l,)
    entries: np.ndarray  # (l,)
    norm_share: np.ndarray  # (l, k) of |d|^2, cumulative over the top i
    curvature_share: np.ndarray  # (l, k) of d'Hd; NaN where that is about zero or below
    random_share: np.ndarray  # (l, k) what a random direction has of |d|^2
    norm: np.ndarray  # (l,) |d|
    curvature: np.ndarray  # (l,) d'Hd
    converged: np.ndarray  # (l,) bool, whether the eigenvectors did; old runs do not tell, and count as such


@dataclass(frozen=True)
class Interval:
    """Top eigenvalues at the dense point from the instances that IDS chose, beside those of the whole pool."""

    value: np.ndarray  # (k,)
    low: np.ndarray  # (k,)
    high: np.ndarray  # (k,)
    bias: np.ndarray  # (k,) estimated, upward
    full: np.ndarray  # (k,)
    converged: bool  # those of the chosen instances and of every part of them
    full_converged: bool
    examples: int
    fraction: float
    level: float


def ends(arrays: Arrays) -> list[Ends]:
    """The recorded points, in the order of WHERE.

    Raises:
        RunUnreadable: a part is missing or has another shape.
    """
    found = []
    for where, part in _points(arrays, "spectrum", "top", "products", "converged"):
        top = np.atleast_1d(part["top"]).astype(float)
        k = len(top)
        lines = {key: np.asarray(part[key], dtype=float) for key in ("slice_x", "slice_loss") if key in part}
        none = np.zeros((k, 0))
        steps, losses = lines.get("slice_x", none), lines.get("slice_loss", none)
        gradient = np.asarray(part.get("slice_gradient", np.zeros(k)), dtype=float)
        residuals = np.asarray(part.get("top_residuals", np.full(k, np.nan)), dtype=float)
        if steps.shape != losses.shape or not k == len(steps) == len(gradient) == len(residuals):
            raise _damaged("spectrum")
        bottom = np.atleast_1d(part.get("bottom", np.zeros(0)))
        about = int(part["products"]), bool(part["converged"]), steps, losses
        value = float(part.get("slice_value", np.nan))
        found.append(Ends(where, top, residuals, float(bottom[0]) if len(bottom) else None, *about, value, gradient))
    return found


def densities(arrays: Arrays) -> list[Density]:
    """The recorded densities, in the order of WHERE.

    Raises:
        RunUnreadable: a part is missing or has another shape.
    """
    found = []
    for where, part in _points(arrays, "density", "grid", "density", "error", "entries", "products", "converged"):
        grid, density, error = (np.asarray(part[key], dtype=float) for key in ("grid", "density", "error"))
        if not grid.shape == density.shape == error.shape:
            raise _damaged("density")
        number = {key: float(part.get(key, np.nan)) for key in ("width", "trace", "trace_error")}
        found.append(
            Density(
                where,
                grid,
                density,
                error,
                width=number["width"],
                products=int(part["products"]),
                converged=bool(part["converged"]),
                entries=int(part["entries"]),
                trace=number["trace"],
                trace_error=number["trace_error"],
                trace_products=int(part.get("trace_products", 0)),
            )
        )
    return found


def overlap(arrays: Arrays) -> Overlap | None:
    """How the cut lies to the sharp directions; None where nothing was cut, or the run is an old one.

    Raises:
        RunUnreadable: a part is missing or has another shape.
    """
    part = _below(arrays, "overlap")
    if not part:
        return None
    shares, sizes = ("norm_share", "curvature_share", "random_share"), ("entries", "norm", "curvature")
    _need(part, "overlap", "layers", *shares, *sizes)
    layers = tuple(str(name) for name in part["layers"])
    table = {key: np.asarray(part[key], dtype=float) for key in (*shares, *sizes)}
    alike = len({table[key].shape for key in shares}) == 1 and table["norm_share"].ndim == 2
    if not alike or any(len(values) != len(layers) for values in table.values()):
        raise _damaged("overlap")
    converged = np.asarray(part.get("converged", np.ones(len(layers))), dtype=bool)
    if converged.shape != (len(layers),):
        raise _damaged("overlap")
    return Overlap(layers, **table, converged=converged)


def interval(arrays: Arrays) -> Interval | None:
    """The estimate from the chosen instances; None where the run is an old one.

    Raises:
        RunUnreadable: a part is missing or has another shape.
    """
    part = _below(arrays, "interval")
    if not part or "dense/top" not in arrays:
        return None
    _need(part, "interval", "value", "low", "high", "bias", "examples", "fraction", "level")
    values = {key: np.atleast_1d(part[key]).astype(float) for key in ("value", "low", "high", "bias")}
    if len({len(v) for v in values.values()}) != 1:
        raise _damaged("interval")
    k = len(values["value"])
    full = np.full(k, np.nan)
    full[: len(arrays["dense/top"])] = np.asarray(arrays["dense/top"], dtype=float)[:k]
    about = int(part["examples"]), float(part["fraction"]), float(part["level"])
    return Interval(
        values["value"],
        values["low"],
        values["high"],
        values["bias"],
        full,
        bool(part.get("converged", True)),
        bool(arrays.get("dense/converged", True)),
        *about,
    )


def _points(arrays: Arrays, what: str, *keys: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The recorded points, in the order of WHERE, each with what is recorded there."""
    for where in WHERE:
        part = _below(arrays, where)
        if part:
            _need(part, what, *keys)
            yield where, part


def _below(arrays: Arrays, group: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{group}/"): value for key, value in arrays.items() if key.startswith(f"{group}/")}


def _need(part: Arrays, what: str, *keys: str) -> None:
    missing = [key for key in keys if key not in part]
    if missing:
        raise RunUnreadable(f"the {what} of this task lacks {', '.join(missing)}; measure it again")


def _damaged(what: str) -> RunUnreadable:
    return RunUnreadable(f"the {what} of this task is damaged (shapes differ); measure it again")
