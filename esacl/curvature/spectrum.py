"""The eigenvalue density of a symmetric operator by stochastic Lanczos quadrature."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from esacl.curvature.krylov import Krylov, SymmetricOperator
from esacl.errors import InputError
from esacl.stepwise import Step, Steps, finish

KNOWN = 1e-3  # of the largest |Ritz value|: a residual below it makes an eigenpair one that is known


@dataclass(frozen=True)
class SpectralDensity:
    """The density of the eigenvalues, smoothed by a Gaussian of width `width`; it integrates to 1."""

    grid: np.ndarray  # (g,) eigenvalues, ascending
    density: np.ndarray  # (g,) mean over the probes
    standard_error: np.ndarray  # (g,) from the spread over the probes
    nodes: np.ndarray  # (probes, m) Ritz values ascending, in each row all isolated ones; NaN behind the last
    weights: np.ndarray  # (probes, m) their shares of the spectrum; each row adds up to 1
    residuals: np.ndarray  # (probes, m) of the nodes: an eigenvalue is within; NaN as the nodes
    isolated: np.ndarray  # (k,) eigenvalues that were found themselves, ascending: each weighs 1/n in every row
    width: float
    products: int  # operator-vector products spent
    converged: bool  # another third of the products moved the density by less than its standard error


def spectral_density(
    operator: SymmetricOperator,
    *,
    steps: int = 40,
    probes: int = 8,
    seed: int = 0,
    points: int = 400,
    width: float | None = None,
) -> SpectralDensity:
    """Smoothed eigenvalue density from `probes` random vectors and `steps` products each.

    The Ritz values of a Krylov space started at a random vector v are the nodes of a Gauss quadrature for the spectral
    measure of v, the squared first components of the Ritz vectors its weights; over random v the measure's mean is the
    density of all eigenvalues. The eigenvectors that the first probe has found (residual at most 1e-3 of the largest)
    are kept out of the others: their eigenvalues are known, and so is the weight of each, 1/n, so that the error is
    that of the bulk alone (deflation, as in Hutch++: Meyer et al. 2021).

    `width` is the Gaussian's, by default a hundredth of the range. The standard error knows of the probes only, not of
    the steps; so `converged` compares with the density of the first three quarters of each probe's products: where the
    two differ (integrated over the grid) by less than the standard error does, the steps suffice for these probes.

    Source: Ghorbani et al. 2019, An Investigation into Neural Net Optimization via Hessian Eigenvalue
    Density, sec. 2.

    Raises:
        InputError: fewer than 2 steps, 2 probes or 2 points, a width that is not positive.
        RunFailure: a product that is not finite.
    """
    return finish(density_steps(operator, steps=steps, probes=probes, seed=seed, points=points, width=width))


def density_steps(
    operator: SymmetricOperator,
    *,
    steps: int = 40,
    probes: int = 8,
    seed: int = 0,
    points: int = 400,
    width: float | None = None,
) -> Steps[SpectralDensity]:
    """`spectral_density` by steps of one product.

    Raises:
        InputError: fewer than 2 steps, 2 probes or 2 points, a width that is not positive.
        RunFailure: a product that is not finite.
    """
    if min(steps, probes, points) < 2:
        raise InputError(f"steps {steps}, probes {probes}, points {points}: choose 2 or more of each")
    if width is not None and not width > 0:
        raise InputError(f"width {width} is not positive; leave it out for a hundredth of the range")
    return _density(operator, min(steps, operator.shape[0]), probes, seed, points, width)


def _density(
    operator: SymmetricOperator, count: int, probes: int, seed: int, points: int, width: float | None
) -> Steps[SpectralDensity]:
    n, total = operator.shape[0], probes * count
    first = Krylov(operator, count, seed * 1_000_003)
    yield from _grow(first, count, 0, total)
    values, coordinates, residuals = first.ritz()
    scale = float(values.abs().max())
    known = residuals <= KNOWN * scale
    beside = first.lift(coordinates[:, known])
    rules, earlier = (_Rules(values[known], residuals[known], n) for _ in range(2))
    bulk = ~known
    if bool(bulk.any()):  # what the first probe saw of the bulk counts as that of the others
        for rule in (rules, earlier):
            rule.enter(values[bulk], coordinates[0, bulk], residuals[bulk])
    products, most = first.products, min(count, n - beside.shape[1])
    while most and len(rules.rows) < probes:
        krylov = Krylov(operator, most, seed * 1_000_003 + 1 + len(rules.rows), beside, scale)
        yield from _grow(krylov, most, products, total)
        products += krylov.products
        rules.enter(*_of_first(krylov.ritz()))
        fewer = min(krylov.filled, max(1, 3 * count // 4))
        earlier.enter(*_of_first((*torch.linalg.eigh(krylov.projected[:fewer, :fewer]), None)))
    return _smooth(rules, earlier, points, width, products)


def _grow(krylov: Krylov, count: int, before: int, total: int) -> Steps[None]:
    while krylov.filled < count and not krylov.closed:
        krylov.extend()
        yield Step(min(total, before + krylov.products), total)


def _of_first(ritz: tuple[Tensor, Tensor, Tensor | None]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Ritz values with the components of the start vector in their Ritz vectors."""
    values, coordinates, residuals = ritz
    return values, coordinates[0], residuals


def _smooth(rules: "_Rules", earlier: "_Rules", points: int, width: float | None, products: int) -> SpectralDensity:
    nodes, weights, residuals = rules.arrays()
    low, high = float(np.nanmin(nodes)), float(np.nanmax(nodes))
    width = width or max((high - low) / 100, 1e-12, 1e-6 * abs(high))
    grid = np.linspace(low - 5 * width, high + 5 * width, points)
    each = _smoothed(nodes, weights, grid, width)
    density = each.mean(1)
    error = each.std(1, ddof=1) / math.sqrt(each.shape[1]) if each.shape[1] > 1 else np.zeros_like(density)
    moved = np.abs(density - _smoothed(*earlier.arrays()[:2], grid, width).mean(1)).sum()
    converged = bool(moved <= error.sum() + 1e-9 * density.sum())
    return SpectralDensity(
        grid, density, error, nodes, weights, residuals, rules.isolated, width, products, converged
    )  # fmt: skip


class _Rules:
    """One Gauss quadrature a probe: the isolated eigenvalues, each with its weight 1/n, and the probe's own nodes."""

    def __init__(self, isolated: Tensor, residuals: Tensor, n: int) -> None:
        self.isolated = np.sort(isolated.numpy())
        self._known = np.stack([isolated.numpy(), np.full(len(isolated), 1 / n), residuals.numpy()])
        self._share = 1 - len(isolated) / n
        self.rows: list[np.ndarray] = []

    def enter(self, values: Tensor, components: Tensor, residuals: Tensor | None) -> None:
        """Take in the Ritz values (m,) of a probe and the start vector's components (m,) in their vectors."""
        squares = components.square().numpy()
        unknown = np.full(len(values), np.nan) if residuals is None else residuals.numpy()
        own = np.stack([values.numpy(), self._share * squares / squares.sum(), unknown])
        row = np.concatenate([self._known, own], axis=1)
        self.rows.append(row[:, np.argsort(row[0])])

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nodes, weights, residuals (probes, m); where nothing but isolated eigenvalues is left, one row of them."""
        rows = self.rows or [self._known[:, np.argsort(self._known[0])]]
        m = max(row.shape[1] for row in rows)
        nodes, weights, residuals = (np.full((len(rows), m), fill) for fill in (np.nan, 0.0, np.nan))
        for probe, row in enumerate(rows):
            for array, part in zip((nodes, weights, residuals), row):
                array[probe, : len(part)] = part
        return nodes, weights, residuals


def _smoothed(nodes: np.ndarray, weights: np.ndarray, grid: np.ndarray, width: float) -> np.ndarray:
    """The density of each probe (g, probes)."""
    distances = (grid[:, None, None] - np.nan_to_num(nodes)) / width
    bumps = np.exp(-(distances**2) / 2) / (width * math.sqrt(2 * math.pi))
    each: np.ndarray = (bumps * weights).sum(2)
    return each
