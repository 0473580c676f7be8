import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import exact_hessian, random_mask, small_data, small_network
from oracles.known_spectrum import diagonal, outliers, rotated

from esacl.curvature import hessian, spectral_density
from esacl.errors import InputError, RunFailure


def smoothed(values, grid, width):
    distances = (grid[:, None] - np.asarray(values)) / width
    return np.exp(-(distances**2) / 2).mean(1) / (width * np.sqrt(2 * np.pi))


def integral(found, values):
    return float(np.trapezoid(values, found.grid))


def test_the_density_is_the_exact_one_within_its_error_band():
    values = outliers(400, 5, 4, 3)
    found = spectral_density(rotated(values), steps=60, probes=12)
    exact = smoothed(values, found.grid, found.width)
    away = np.abs(found.density - exact) > 4 * found.standard_error + 0.02 * exact.max()
    assert away.mean() < 0.02
    assert integral(found, np.abs(found.density - exact)) < 0.1
    assert integral(found, found.density) == pytest.approx(1, abs=1e-3)


def test_quadrature_gives_the_moments_of_the_spectrum():
    values = outliers(400, 5, 4, 3)
    found = spectral_density(rotated(values), steps=20, probes=300)
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-10)
    for power in (1, 2):
        each = np.nansum(found.weights * found.nodes**power, axis=1)
        error = each.std(ddof=1) / np.sqrt(len(each))
        assert each.mean() == pytest.approx(float((values**power).mean()), abs=4 * error)
    np.testing.assert_allclose(np.nanmax(found.nodes, axis=1), 5, rtol=1e-6)  # an isolated one comes out exactly
    np.testing.assert_allclose(found.isolated[-3:], [3, 4, 5], rtol=1e-6)
    for value in (3, 4, 5):  # and its weight is known: one eigenvalue of 400
        np.testing.assert_allclose(found.weights[np.abs(found.nodes - value) < 1e-5], 1 / 400, rtol=1e-10)


def test_known_eigenvectors_leave_the_error_to_the_bulk():
    """Without deflation one outlier of n weighs chi^2(1)/n: an error of sqrt(2/probes) of its share."""
    values = outliers(400, 50, 40, 30)
    found = [spectral_density(rotated(values), steps=40, probes=4, seed=seed) for seed in range(5)]
    for one in found:
        peak = np.abs(one.grid - 50).argmin()
        assert one.standard_error[peak] < 1e-6 * one.density[peak]
    first = np.array([np.nansum(one.weights * one.nodes, axis=1).mean() for one in found])
    assert np.abs(first - float(values.mean())).max() < 0.02 * 120 / 400  # of what the outliers give the mean


@pytest.mark.parametrize("density", [None, 0.3])
def test_a_networks_density_spans_its_exact_spectrum(density):
    network, data = small_network(), small_data()
    mask = None if density is None else random_mask(network, density)
    exact = torch.linalg.eigvalsh(exact_hessian(network, F.cross_entropy, data, kept=mask)).numpy()
    operator = hessian(network, F.cross_entropy, data, mask)
    found = spectral_density(operator, steps=40, probes=6)
    assert found.products == operator.products
    assert np.nanmax(found.nodes) == pytest.approx(exact[-1], rel=1e-6)
    assert np.nanmin(found.nodes) == pytest.approx(exact[0], rel=1e-3)
    wide = 5 * found.width
    first = spectral_density(operator, steps=40, probes=6, width=wide)
    assert integral(first, np.abs(first.density - smoothed(exact, first.grid, wide))) < 0.15


def test_a_space_that_closes_early_saves_its_products():
    found = spectral_density(rotated([2.0] * 30 + [1.0] * 10), steps=20, probes=30)
    assert found.products == 62  # two to find one eigenvector of each, and two a probe
    np.testing.assert_allclose(found.nodes, [[1, 1, 2, 2]] * 30, atol=1e-10)
    np.testing.assert_allclose(found.isolated, [1, 2], atol=1e-10)
    assert found.weights[:, 2:].sum(1).mean() == pytest.approx(0.75, abs=0.05)
    assert np.isfinite(found.density).all()
    flat = spectral_density(diagonal(0.0, 0.0, 0.0), steps=5, probes=2)
    assert np.isfinite(flat.density).all()
    assert integral(flat, flat.density) == pytest.approx(1, abs=1e-3)


def test_where_all_eigenvalues_are_found_the_density_is_exact():
    values = [5.0, 3.0, 2.0, 1.0, -1.0]
    found = spectral_density(rotated(values), steps=20, probes=3)
    assert found.products == 5
    np.testing.assert_allclose(found.isolated, sorted(values), rtol=1e-9)
    np.testing.assert_allclose(found.density, smoothed(values, found.grid, found.width), rtol=1e-6, atol=1e-12)
    assert (found.standard_error == 0).all()
    assert found.converged


def test_the_same_seed_gives_the_same_density():
    operator = rotated(outliers(100, 3, 2))
    one, two, other = (spectral_density(operator, steps=10, probes=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.density, two.density)
    assert not np.array_equal(one.nodes, other.nodes)


def test_bad_input_is_refused():
    operator = diagonal(1.0, 2.0)
    for arguments, message in (
        ({"steps": 1}, "steps 1"),
        ({"probes": 1}, "probes 1"),
        ({"points": 1}, "points 1"),
        ({"width": 0.0}, r"width 0\.0"),
    ):
        with pytest.raises(InputError, match=message):
            spectral_density(operator, **arguments)
    with pytest.raises(RunFailure, match="not finite"):
        spectral_density(diagonal(float("nan"), 1.0))
