import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import exact_hessian, random_mask, small_data, small_network
from oracles.known_spectrum import diagonal, outliers, rotated

from esacl.curvature import hessian, trace
from esacl.errors import InputError, RunFailure


@pytest.mark.parametrize("density", [None, 0.5])
def test_the_trace_of_a_network_is_that_of_the_exact_hessian(density):
    network, data = small_network(), small_data()
    mask = None if density is None else random_mask(network, density)
    expected = float(exact_hessian(network, F.cross_entropy, data, kept=mask).trace())
    operator = hessian(network, F.cross_entropy, data, mask)
    found = trace(operator, products=80)
    assert found.products == operator.products == 80
    assert found.value == pytest.approx(expected, abs=4 * found.standard_error + 1e-3 * expected)
    assert found.standard_error < 0.02 * expected


def test_the_estimate_is_unbiased_and_its_error_is_of_the_size_it_says():
    values = outliers(300, 5, 4, 3, 2.5, 2)
    operator, truth = rotated(values), float(values.sum())
    draws = [trace(operator, products=40, seed=seed) for seed in range(60)]
    errors = np.array([draw.value for draw in draws]) - truth
    claimed = np.mean([draw.standard_error for draw in draws])
    spread = np.sqrt((errors**2).mean())
    assert abs(errors.mean()) < 3 * spread / np.sqrt(len(draws))
    assert 0.5 < spread / claimed < 2
    # Hutchinson's variance with Gaussian vectors is 2 |A|_F^2 / products.
    assert spread < 0.5 * np.sqrt(2 * float(values.square().sum()) / 40)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("values", [[3.0, 2.0, -1.0] + [0.0] * 200, [1.0] * 150, [0.0] * 50])
def test_low_rank_and_multiples_of_the_identity_are_exact(values, dtype):
    operator = rotated(values, dtype=dtype)
    found = trace(operator, products=30)
    assert found.value == pytest.approx(sum(values), rel=1e-5, abs=1e-6)
    assert found.standard_error < 1e-4


def test_enough_products_for_every_direction_are_exact():
    operator = diagonal(1.0, -2.0, 5.0, 0.5)
    found = trace(operator)
    assert (found.value, found.standard_error, found.products) == (4.5, 0.0, 4)


def test_the_same_seed_gives_the_same_number():
    operator = rotated(outliers(100, 3, 2))
    one, again, other = (trace(operator, products=20, seed=seed) for seed in (1, 1, 2))
    assert (one.value, one.standard_error) == (again.value, again.standard_error)
    assert torch.equal(one.residuals, again.residuals)
    assert one.value != other.value


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="products 3"):
        trace(diagonal(1.0, 2.0), products=3)
    with pytest.raises(RunFailure, match="not finite"):
        trace(diagonal(*[float("nan")] * 20), products=4)
