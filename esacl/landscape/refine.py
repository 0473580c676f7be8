"""Coarse to fine: which cells of a grid to compute, what lies between them, and how wrong that may be.

A coarse grid is computed, and cubic splines through it predict a grid of half its spacing. What is computed there next
tells how wrong they were, and where; at the spacing after that they are taken to be no worse nearby, though a spline
through a smooth function errs up to 16 times less. Where that is more than is allowed, the cells are computed; where it
is not, the prediction stays. The first halving is computed throughout, so that every place has been tested once.

Measured on 70 planes of 51 x 51 cells (random x random, pruning x random or eigenvector, eigenvector x random; trained
MLPs and small CNNs, dense and pruned): asked for 1%, 196 to 399 cells were computed, the largest true error was 0.05 to
0.48% of the range, and the estimate was above it on every plane. On the logarithmic scale too: 196 to 883 cells, and at
most 2% of that scale where 1% was asked for. What it cannot see is what lies between two coarse knots and nowhere else.
"""

from collections.abc import Generator

import numpy as np
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import maximum_filter

from esacl.errors import InputError

SCALES = ("linear", "log")
SPACING = 8  # of the coarsest grid, in cells
DECADES = 3  # of a logarithmic scale: what lies more decades above the lowest loss is drawn as the highest
ROUNDING = 1e-6  # relative: a flat surface's range is nothing but the rounding of its losses
LEAST = 5  # knots on an axis, below which a grid is too coarse to learn anything from

Cells = np.ndarray  # (m, 2) int: rows and columns
Refined = tuple[np.ndarray, np.ndarray, float]  # values (ny, nx), evaluated (ny, nx), error
Refinement = Generator[Cells, np.ndarray, Refined]


def refinement(shape: tuple[int, int], share: float | None, scale: str = "linear") -> Refinement:
    """Asks for cells (m, 2), is sent their values (m,), and returns the grid, which cells it asked for, and the error.

    The error is the estimated largest one of the cells that were not asked for. No value is interpolated beside a hole
    (a value that is not finite): such cells are asked for.

    Args:
        shape: (ny, nx).
        share: of the range of the values: what is allowed as the error; None asks for every cell.
        scale: of the range; "log" allows no value to be off by more than this share of a logarithmic scale either.

    Raises:
        InputError: a share outside 0 to 1, an unknown scale.
    """
    if scale not in SCALES:
        raise InputError(f"unknown scale {scale!r}; choose from {', '.join(SCALES)}")
    if share is not None and not 0 < share < 1:
        raise InputError(f"refine {share} is no share of the loss range; choose one between 0 and 1, such as 0.01")
    return _whole(shape) if share is None else _Grid(shape, share, scale).run()


def _whole(shape: tuple[int, int]) -> Refinement:
    values = yield np.argwhere(np.ones(shape, dtype=bool))
    return values.reshape(shape), np.ones(shape, dtype=bool), 0.0


class _Grid:
    """Values (ny, nx), which of them were computed, and how wrong each is or was found to be."""

    def __init__(self, shape: tuple[int, int], share: float, scale: str) -> None:
        self._share, self._scale = share, scale
        self._values = np.full(shape, np.nan)
        self._computed = np.zeros(shape, dtype=bool)
        self._wrong = np.zeros(shape)

    def run(self) -> Refinement:
        """Level by level, from the coarsest that has enough knots; a small grid is computed whole."""
        spacing = SPACING
        while spacing > 1 and min(len(_knots(n, spacing)) for n in self._values.shape) < LEAST:
            spacing //= 2
        coarse = _knots_of(self._values.shape, spacing)
        yield from self._compute(np.ix_(*coarse))
        first = True
        while spacing > 1:
            spacing //= 2
            fine = _knots_of(self._values.shape, spacing)
            yield from self._halve(coarse, fine, everywhere=first)
            coarse, first = fine, False
        yield from self._around_holes()
        left = ~self._computed
        return self._values, self._computed, float(self._wrong[left].max(initial=0.0))

    def _halve(
        self, coarse: tuple[np.ndarray, np.ndarray], fine: tuple[np.ndarray, np.ndarray], *, everywhere: bool
    ) -> Generator[Cells, np.ndarray, None]:
        """From the values on the coarse knots to those on the fine ones."""
        at = np.ix_(*fine)
        old = np.outer(*(np.isin(f, c) for f, c in zip(fine, coarse)))
        predicted = np.where(old, self._values[at], _splined(self._values[np.ix_(*coarse)], coarse, fine))
        # One coarse knot around: what was found wrong there counts for all cells between.
        nearby = maximum_filter(np.where(old, self._wrong[at], 0.0), size=5, mode="nearest")
        found = np.where(old & ~self._computed[at], self._wrong[at], 0.0)
        wanted = ~old if everywhere else ~self._computed[at] & (nearby > self._allowed(predicted))
        while wanted.any():
            yield from self._compute(at, wanted)
            off = np.abs(predicted - self._values[at])
            found = np.where(wanted, np.where(np.isfinite(off), off, np.inf), found)
            beside = maximum_filter(found, size=3, mode="nearest")
            nearby = beside if everywhere else np.maximum(nearby, beside)
            wanted = ~self._computed[at] & (nearby > self._allowed(predicted))
        computed = self._computed[at]
        self._wrong[at] = np.where(computed, found, nearby)
        self._values[at] = np.where(computed, self._values[at], predicted)
        self._mark_holes()

    def _compute(
        self, at: tuple[np.ndarray, ...], wanted: np.ndarray | None = None
    ) -> Generator[Cells, np.ndarray, None]:
        """Ask for the wanted cells of the knots `at`, all by default."""
        cells = np.zeros(self._values.shape, dtype=bool)
        cells[at] = True if wanted is None else wanted
        where = np.argwhere(cells)
        found = yield where
        self._values[cells] = np.where(np.isfinite(found), found, np.nan)
        self._computed |= cells
        self._mark_holes()

    def _mark_holes(self) -> None:
        """So that what lies beside them is asked for."""
        self._wrong[self._computed & ~np.isfinite(self._values)] = np.inf

    def _around_holes(self) -> Generator[Cells, np.ndarray, None]:
        everything = np.ix_(*(np.arange(n) for n in self._values.shape))
        while True:
            holes = self._computed & ~np.isfinite(self._values)
            beside = maximum_filter(holes, size=3, mode="constant") & ~self._computed
            if not beside.any():
                return
            yield from self._compute(everything, beside)

    def _allowed(self, predicted: np.ndarray) -> np.ndarray:
        """How wrong each cell may be: the log scale allows less where the loss is low."""
        known = self._values[self._computed & np.isfinite(self._values)]
        if not len(known):
            return np.zeros(predicted.shape)
        low, high = float(known.min()), float(known.max())
        allowed = np.full(predicted.shape, max(self._share * (high - low), ROUNDING * max(abs(low), abs(high))))
        if self._scale == "linear" or low <= 0:
            return allowed
        top = min(high, low * 10**DECADES)
        by_log = self._share * np.log(top / low) * np.maximum(predicted, low)
        return np.where(predicted > top, allowed, np.minimum(allowed, by_log))


def _knots(points: int, spacing: int) -> np.ndarray:
    """Every `spacing`-th index, and the last."""
    return np.unique([*range(0, points, spacing), points - 1])


def _knots_of(shape: tuple[int, int], spacing: int) -> tuple[np.ndarray, np.ndarray]:
    return _knots(shape[0], spacing), _knots(shape[1], spacing)


def _splined(
    values: np.ndarray, coarse: tuple[np.ndarray, np.ndarray], fine: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """The bicubic spline through values on the coarse knots, on the fine ones; holes are bridged, not shown."""
    degrees = [min(3, len(knots) - 1) for knots in coarse]
    spline = RectBivariateSpline(*coarse, _bridged(values), kx=degrees[0], ky=degrees[1])
    result: np.ndarray = spline(*fine)
    return result


def _bridged(values: np.ndarray) -> np.ndarray:
    """Holes filled by the mean of what lies beside them: a spline needs all values, but none beside a hole is used."""
    filled = values.copy()
    while (holes := ~np.isfinite(filled)).any() and not holes.all():
        padded = np.pad(filled, 1, constant_values=np.nan)
        around = np.stack([padded[i : i + len(values), j : j + values.shape[1]] for i in range(3) for j in range(3)])
        known = np.isfinite(around)
        count = known.sum(axis=0)
        mean = np.where(known, around, 0.0).sum(axis=0) / np.maximum(count, 1)
        filled = np.where(holes & (count > 0), mean, filled)
    return np.nan_to_num(filled)
