"""The eigenvalue density of a symmetric operator by stochastic Lanczos quadrature."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from esacl.curvature.krylov import Krylov, SymmetricOperator
from esacl.errors import InputError
from esacl.stepwise import Step, Steps, finish


@dataclass(frozen=True)
class SpectralDensity:
    """The density of the eigenvalues, smoothed by a Gaussian of width `width`; it integrates to 1."""

    grid: np.ndarray  # (g,) eigenvalues, ascending
    density: np.ndarray  # (g,) mean over the probes
    standard_error: np.ndarray  # (g,) from the spread over the probes
    nodes: np.ndarray  # (probes, steps) Ritz values; NaN where a Krylov space closed earlier
    weights: np.ndarray  # (probes, steps) their shares of the spectrum; each row adds up to 1
    residuals: np.ndarray  # (probes, steps) of the nodes: an eigenvalue is within; NaN as the nodes
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
    density of all eigenvalues. Eigenvalues far outside the bulk come out exactly, but with a weight that is known only
    to the standard error: one eigenvalue of n weighs 1/n.

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
    rules, earlier = _Rules(probes, count), _Rules(probes, count)
    products = 0
    for probe in range(probes):
        krylov = Krylov(operator, count, seed * 1_000_003 + probe)
        while krylov.filled < count and not krylov.closed:
            krylov.extend()
            products += 1
            yield Step(products, probes * count)
        values, coordinates, residuals = krylov.ritz()
        rules.enter(probe, values, coordinates, residuals)
        fewer = min(krylov.filled, max(1, 3 * count // 4))
        earlier.enter(probe, *torch.linalg.eigh(krylov.projected[:fewer, :fewer]))
    low, high = float(np.nanmin(rules.nodes)), float(np.nanmax(rules.nodes))
    width = width or max((high - low) / 100, 1e-12, 1e-6 * abs(high))
    grid = np.linspace(low - 5 * width, high + 5 * width, points)
    each = rules.smoothed(grid, width)
    density, error = each.mean(1), each.std(1, ddof=1) / math.sqrt(probes)
    moved = np.abs(density - earlier.smoothed(grid, width).mean(1)).sum()
    converged = bool(moved <= error.sum() + 1e-9 * density.sum())
    return SpectralDensity(
        grid, density, error, rules.nodes, rules.weights, rules.residuals, width, products, converged
    )


class _Rules:
    """One Gauss quadrature a probe."""

    def __init__(self, probes: int, count: int) -> None:
        self.nodes, self.residuals = np.full((probes, count), np.nan), np.full((probes, count), np.nan)
        self.weights = np.zeros((probes, count))

    def enter(self, probe: int, values: Tensor, coordinates: Tensor, residuals: Tensor | None = None) -> None:
        """Take in the Ritz values (m,) and their coordinates (m, m), in any order."""
        order = values.argsort().numpy()
        self.nodes[probe, : len(order)] = values.numpy()[order]
        self.weights[probe, : len(order)] = coordinates[0].square().numpy()[order]
        if residuals is not None:
            self.residuals[probe, : len(order)] = residuals.numpy()[order]

    def smoothed(self, grid: np.ndarray, width: float) -> np.ndarray:
        """The density of each probe (g, probes)."""
        distances = (grid[:, None, None] - np.nan_to_num(self.nodes)) / width
        bumps = np.exp(-(distances**2) / 2) / (width * math.sqrt(2 * math.pi))
        each: np.ndarray = (bumps * self.weights).sum(2)
        return each
