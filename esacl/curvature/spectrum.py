"""The eigenvalue density of a symmetric operator by stochastic Lanczos quadrature."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from esacl.curvature.lanczos import Krylov, SymmetricOperator
from esacl.errors import InputError


@dataclass(frozen=True)
class SpectralDensity:
    """The density of the eigenvalues, smoothed by a Gaussian of width `width`; it integrates to 1."""

    grid: np.ndarray  # (g,) eigenvalues, ascending
    density: np.ndarray  # (g,) mean over the probes
    standard_error: np.ndarray  # (g,) from the spread over the probes
    nodes: np.ndarray  # (probes, steps) Ritz values; NaN where a Krylov space closed earlier
    weights: np.ndarray  # (probes, steps) their shares of the spectrum; each row adds up to 1
    width: float
    products: int  # operator-vector products spent


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

    `width` is the Gaussian's, by default a hundredth of the range.

    Source: Ghorbani et al. 2019, An Investigation into Neural Net Optimization via Hessian Eigenvalue
    Density, sec. 2.

    Raises:
        InputError: fewer than 2 steps, 2 probes or 2 points, a width that is not positive.
        RunFailure: a product that is not finite.
    """
    if min(steps, probes, points) < 2:
        raise InputError(f"steps {steps}, probes {probes}, points {points}: choose 2 or more of each")
    if width is not None and not width > 0:
        raise InputError(f"width {width} is not positive; leave it out for a hundredth of the range")
    count = min(steps, operator.shape[0])
    nodes, weights = np.full((probes, count), np.nan), np.zeros((probes, count))
    products = 0
    for probe in range(probes):
        krylov = Krylov(operator, count, seed * 1_000_003 + probe)
        while krylov.filled < count and not krylov.closed:
            krylov.extend()
        values, coordinates = torch.linalg.eigh(krylov.projected[: krylov.filled, : krylov.filled])
        nodes[probe, : krylov.filled] = values.numpy()
        weights[probe, : krylov.filled] = coordinates[0].square().numpy()
        products += krylov.products
    low, high = float(np.nanmin(nodes)), float(np.nanmax(nodes))
    width = width or max((high - low) / 100, 1e-12, 1e-6 * abs(high))
    grid = np.linspace(low - 5 * width, high + 5 * width, points)
    distances = (grid[:, None, None] - np.nan_to_num(nodes)) / width
    bumps = np.exp(-(distances**2) / 2) / (width * math.sqrt(2 * math.pi))
    each = (bumps * weights).sum(2)  # (g, probes)
    error = each.std(1, ddof=1) / math.sqrt(probes)
    return SpectralDensity(grid, each.mean(1), error, nodes, weights, width, products)
