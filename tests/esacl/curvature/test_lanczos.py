import pytest
import scipy.sparse.linalg
import torch
import torch.nn.functional as F
from oracles.exact_hessian import exact_hessian, random_mask, small_cnn, small_data, small_network
from oracles.known_spectrum import Symmetric, diagonal, outliers, rotated
from torch import nn

from esacl.curvature import extreme_eigenpairs, hessian, top_eigenpairs
from esacl.curvature.krylov import Krylov
from esacl.curvature.lanczos import error_estimates
from esacl.errors import InputError, RunFailure


@pytest.mark.parametrize("activation", [nn.Softplus, nn.ReLU])
@pytest.mark.parametrize("build", [small_network, small_cnn])
@pytest.mark.parametrize("density", [None, 0.3])
def test_the_top_of_a_network_agrees_with_the_exact_spectrum_and_with_eigsh(build, activation, density):
    network, data = build(activation), small_data()
    mask = None if density is None else random_mask(network, density)
    operator = hessian(network, F.cross_entropy, data, mask)
    matrix = exact_hessian(network, F.cross_entropy, data, kept=mask)
    found = top_eigenpairs(operator, 5, tol=1e-6)
    assert found.converged
    assert found.products == operator.products
    expected = torch.linalg.eigvalsh(matrix).flip(0)[:5]
    torch.testing.assert_close(found.values, expected, rtol=1e-6, atol=0)
    arpack = scipy.sparse.linalg.eigsh(matrix.numpy(), 5, which="LA", return_eigenvectors=False)
    torch.testing.assert_close(found.values, torch.tensor(arpack[::-1].copy()), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.vectors.T @ found.vectors, torch.eye(5, dtype=torch.float64))


def test_residuals_are_the_true_ones():
    operator = rotated(outliers(400, 5, 4, 3, 2.5, 2))
    found = top_eigenpairs(operator, 4, tol=1e-2)
    true = (operator.matrix @ found.vectors - found.vectors * found.values).norm(dim=0)
    assert found.converged
    assert true.max() > 1e-6  # or this test would compare rounding
    torch.testing.assert_close(found.residuals, true, rtol=1e-6, atol=1e-12)
    assert true.max() <= 3 * 1e-2 * found.values[0]


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_value_that_is_called_converged_is_within_tol_of_the_truth(k, tol):
    values = outliers(600, 5, 4, 3, 2.5, 2)
    exact = values.sort(descending=True).values[:k]
    for seed in range(8):
        found = top_eigenpairs(rotated(values, seed=seed), k, tol=tol, seed=seed)
        assert found.converged
        assert float(((found.values - exact).abs() / exact).max()) <= tol
        assert float((found.residuals / exact).max()) <= 3 * tol


def test_two_close_eigenvalues_are_told_apart_where_both_are_asked_for():
    values = outliers(600, 5, 4.9, 3, 2.5)
    for seed in range(8):
        found = top_eigenpairs(rotated(values, seed=seed), 3, seed=seed)
        assert found.values.tolist() == pytest.approx([5, 4.9, 3], rel=1e-3)


def test_a_small_eigenvalue_is_not_taken_for_the_next_because_the_first_is_large():
    """Residuals of 1e-3 times the largest say little of eigenvalues that are 1/40 of it."""
    values = outliers(600, 40.5, 4.6, 2.1, 1.6, 1.35)
    exact = values.sort(descending=True).values[:5]
    for seed in range(8):
        found = top_eigenpairs(rotated(values, seed=seed), 5, seed=seed)
        assert float(((found.values - exact).abs() / exact).max()) <= 1e-3


def test_the_error_estimate_is_a_bound_wherever_the_rest_of_the_spectrum_is_in_sight():
    values = outliers(300, 5, 4.6, 3, 2.5, 2)
    exact = values.sort(descending=True).values
    for seed in range(4):
        krylov = Krylov(rotated(values, seed=seed), 40, seed)
        better = 0
        for _ in range(24):
            krylov.extend()
            ritz, _, residuals = krylov.ritz()
            k = min(5, krylov.filled)
            errors = (exact[:k] - ritz[:k]).abs()
            estimates = error_estimates(ritz, residuals, k)
            assert (estimates <= residuals[:k]).all()
            if k == 5 and bool(((exact[:5] - ritz[:5]).abs() < 0.2).all()):  # every outlier has its Ritz value
                assert (errors <= estimates + 1e-12).all()
                better += int((estimates < 0.1 * residuals[:k]).sum())
        assert better > 10


def test_small_eigenvalues_are_measured_against_a_hundredth_of_the_largest():
    operator = rotated([100.0, *torch.linspace(-1e-3, 1e-3, 200).tolist()])
    found = top_eigenpairs(operator, 3)
    assert found.converged
    assert found.products < 20
    assert float((found.values[1:] - 1e-3).abs().max()) <= 1e-2 * 1e-2 * 100


def test_residuals_of_a_float32_network_are_true_down_to_the_rounding():
    network, data = small_network().float(), small_data()
    operator = hessian(network, F.cross_entropy, (data[0].float(), data[1]))
    for tol in (1e-1, 1e-3, 1e-5):
        found = top_eigenpairs(operator, 3, tol=tol)
        for value, vector, residual in zip(found.values, found.vectors.T, found.residuals):
            true = float((operator @ vector - float(value) * vector).norm())
            assert true <= 1.1 * float(residual) + 2e-6 * float(found.values[0])
    # Below the rounding of float32 no residual can be claimed, so it must not be called converged.
    impossible = top_eigenpairs(operator, 3, tol=1e-9)
    assert not impossible.converged
    assert impossible.residuals.min() > 1e-9 * impossible.values[0]


def test_largest_means_algebraically_not_in_magnitude():
    found = top_eigenpairs(rotated([-50.0, -3.0, *torch.linspace(0, 1, 80).tolist(), 2.0]), 2, tol=1e-5)
    torch.testing.assert_close(found.values, torch.tensor([2.0, 1.0], dtype=torch.float64), rtol=1e-3, atol=1e-3)
    negative = top_eigenpairs(diagonal(-1.0, -2.0, -3.0, -4.0), 2)
    torch.testing.assert_close(negative.values, torch.tensor([-1.0, -2.0], dtype=torch.float64))


def test_an_exhausted_budget_is_reported_and_still_gives_k_pairs():
    operator = rotated(torch.linspace(0, 1, 300))  # no outliers: slow
    found = top_eigenpairs(operator, 3, tol=1e-6, max_products=9)
    assert (found.products, operator.products, found.converged) == (9, 9, False)
    assert found.values.shape == found.residuals.shape == (3,)
    true = (operator.matrix @ found.vectors - found.vectors * found.values).norm(dim=0)
    torch.testing.assert_close(found.residuals, true, rtol=1e-6, atol=1e-12)
    assert found.residuals.max() > 1e-6
    tight = top_eigenpairs(operator, 3, max_products=3)
    assert (tight.products, tight.converged) == (3, False)


def test_a_stop_at_a_restart_reports_residuals_of_what_it_returns():
    operator = rotated(torch.linspace(0, 1, 300))
    for budget in (59, 60, 61, 62):
        found = top_eigenpairs(operator, 2, tol=1e-12, max_products=budget)
        assert (found.products, found.converged) == (budget, False)
        true = (operator.matrix @ found.vectors - found.vectors * found.values).norm(dim=0)
        torch.testing.assert_close(found.residuals, true, rtol=1e-6, atol=1e-10)


def test_restarting_converges_where_the_basis_is_full():
    values = torch.linspace(0, 1, 1500)
    operator = Symmetric(torch.diag(values.double()))
    found = top_eigenpairs(operator, 3, tol=1e-5, max_products=2000)
    assert found.converged
    assert found.products > 100  # several times the basis of 60
    torch.testing.assert_close(found.values, values.double().flip(0)[:3], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.vectors.T @ found.vectors, torch.eye(3, dtype=torch.float64))


def test_isolated_eigenvalues_take_few_products():
    operator = rotated(outliers(600, 5, 4, 3, 2.5, 2))
    assert top_eigenpairs(operator, 1).products <= 15
    assert top_eigenpairs(operator, 5).products <= 25


@pytest.mark.parametrize(
    ("values", "k"),
    [
        ([5.0, 5.0, 1.0, 1.0, 1.0, 1.0], 2),  # copies
        ([5.0, 5.0, 1.0, 1.0, 1.0, 1.0], 3),
        ([0.0] * 6, 2),  # the zero operator
        ([0.0, 0.0, 0.0, 0.0, 0.0, 3.0], 2),  # rank one
        ([2.0] * 6, 4),  # a multiple of the identity
        ([-1.0, -1.0, -2.0, -2.0, 7.0], 5),
        ([4.0], 1),
        ([1.0, 2.0], 2),
    ],
)
def test_a_krylov_space_that_closes_early_is_no_end(values, k):
    operator = diagonal(*values)
    found = top_eigenpairs(operator, k)
    assert found.converged
    assert found.products <= len(values)
    expected = torch.tensor(sorted(values, reverse=True)[:k], dtype=torch.float64)
    torch.testing.assert_close(found.values, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.vectors.T @ found.vectors, torch.eye(k, dtype=torch.float64))


def test_low_rank_in_many_dimensions_asks_for_more_than_the_rank():
    values = torch.zeros(500, dtype=torch.float64)
    values[:3] = torch.tensor([3.0, 2.0, 1.0])
    found = top_eigenpairs(rotated(values), 5)
    assert found.converged
    assert found.products < 60
    torch.testing.assert_close(found.values, values[:5], rtol=1e-10, atol=1e-10)


def test_the_same_seed_gives_the_same_numbers_and_leaves_the_global_ones_alone():
    operator = rotated(outliers(100, 3, 2))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, again, other = (top_eigenpairs(operator, 2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.values, again.values)
    assert torch.equal(first.vectors, again.vectors)
    assert not torch.equal(first.vectors, other.vectors)
    torch.testing.assert_close(first.values, other.values, rtol=1e-3, atol=0)


def test_bad_input_is_refused():
    operator = diagonal(1.0, 2.0, 3.0)
    for arguments, message in (
        ({"k": 0}, "k = 0.*1 to 3"),
        ({"k": 4}, "k = 4.*1 to 3"),
        ({"k": 1, "tol": 0.0}, "tol 0.0"),
        ({"k": 1, "tol": 1.0}, "tol 1.0"),
        ({"k": 3, "max_products": 2}, "max_products 2"),
    ):
        with pytest.raises(InputError, match=message):
            top_eigenpairs(operator, **arguments)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_product_that_is_not_finite_stops_with_one_line(bad):
    network, data = small_network(), small_data()
    with torch.no_grad():
        network[1].weight[0, 0] = bad
    with pytest.raises(RunFailure, match="not finite"):
        top_eigenpairs(hessian(network, F.cross_entropy, data), 1)


@pytest.mark.parametrize("density", [None, 0.3])
def test_both_ends_come_out_of_one_space(density):
    network, data = small_network(), small_data()
    mask = None if density is None else random_mask(network, density)
    operator = hessian(network, F.cross_entropy, data, mask)
    exact = torch.linalg.eigvalsh(exact_hessian(network, F.cross_entropy, data, kept=mask))
    found = extreme_eigenpairs(operator, 4, 3, tol=1e-6)
    assert found.converged
    assert (found.products, found.top.products, found.bottom.products) == (operator.products,) * 3
    torch.testing.assert_close(found.top.values, exact.flip(0)[:4], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.bottom.values, exact[:3], rtol=1e-5, atol=1e-7)
    vectors = torch.cat([found.top.vectors, found.bottom.vectors], dim=1)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(7, dtype=torch.float64))
    for end in (found.top, found.bottom):
        for value, vector, residual in zip(end.values, end.vectors.T, end.residuals):
            assert float((operator @ vector - value * vector).norm()) == pytest.approx(float(residual), abs=1e-8)


def test_restarting_keeps_both_ends():
    values = torch.linspace(-1, 1, 900).double()
    found = extreme_eigenpairs(Symmetric(torch.diag(values)), 2, 2, tol=1e-5, max_products=2000)
    assert found.converged
    assert found.products > 100
    torch.testing.assert_close(found.top.values, values.flip(0)[:2], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.bottom.values, values[:2], rtol=0, atol=1e-6)


def test_one_end_may_converge_without_the_other():
    operator = rotated(torch.cat([torch.linspace(-1, 0, 200).double(), torch.tensor([9.0, 8.0]).double()]))
    found = extreme_eigenpairs(operator, 2, 2, tol=1e-6, max_products=14)
    assert (found.top.converged, found.bottom.converged, found.converged) == (True, False, False)
    assert found.products == 14


@pytest.mark.parametrize(
    ("values", "top", "bottom"),
    [
        ([5.0, 5.0, 1.0, 1.0, -2.0, -2.0], 2, 2),
        ([5.0, 5.0, 1.0, 1.0, -2.0, -2.0], 0, 2),
        ([0.0] * 5, 1, 2),
        ([3.0] + [0.0] * 7, 1, 1),
        ([4.0, 1.0], 1, 1),
        ([2.0], 0, 1),
    ],
)
def test_both_ends_where_the_space_closes_early(values, top, bottom):
    found = extreme_eigenpairs(diagonal(*values), top, bottom)
    assert found.converged
    ordered = torch.tensor(sorted(values), dtype=torch.float64)
    torch.testing.assert_close(found.top.values, ordered.flip(0)[:top], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.bottom.values, ordered[:bottom], rtol=1e-12, atol=1e-12)
    assert found.bottom.vectors.shape == (len(values), bottom)


@pytest.mark.gpu
def test_eigenpairs_on_a_gpu_agree_with_the_cpu():
    network, data = small_network().float(), small_data()
    data = (data[0].float(), data[1])
    expected = top_eigenpairs(hessian(network, F.cross_entropy, data), 3)
    found = top_eigenpairs(hessian(network.cuda(), F.cross_entropy, data), 3)
    assert found.converged
    assert found.vectors.is_cuda
    assert not found.values.is_cuda
    torch.testing.assert_close(found.values, expected.values, rtol=1e-3, atol=1e-4)
