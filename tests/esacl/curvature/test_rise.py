import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import exact_hessian, random_mask, small_data, small_network
from torch import nn

from esacl.curvature import loss_rise
from esacl.curvature.rise import QUADRATURE
from esacl.errors import InputError, RunFailure


def linear_problem():
    """Mean squared error of a linear network: the loss is a quadratic in the weights."""
    generator = torch.Generator().manual_seed(3)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).double()
    x = torch.randn(30, 1, 4, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    d = {"1.weight": torch.randn(2, 16, generator=generator, dtype=torch.float64)}
    return network, (x, y), d


def moved(network, displacement):
    other = copy.deepcopy(network)
    with torch.no_grad():
        for name, p in other.named_parameters():
            p.add_(displacement.get(name, 0))
    return other


def cut(network, density):
    return {
        name: -dict(network.named_parameters())[name].detach() * ~entry
        for name, entry in random_mask(network, density).items()
    }


def test_on_a_quadratic_everything_but_the_bound_is_exact_and_the_bound_holds():
    network, (x, y), d = linear_problem()
    rise = loss_rise(network, F.mse_loss, (x, y), d)
    # L = |X W' - Y|^2 / (n o), so H = 2/(n o) (I x X'X), by hand.
    flat, step = x.flatten(1), d["1.weight"]
    residual = network(x).detach() - y
    gradient = 2 / 60 * float((residual.T @ flat * step).sum())
    curvature = 1 / 60 * float((flat @ step.T).square().sum())
    top = 2 / 60 * float(torch.linalg.eigvalsh(flat.T @ flat)[-1])
    squared = float(step.square().sum())
    assert rise.gradient_term == pytest.approx(gradient, rel=1e-10)
    assert rise.curvature_term == pytest.approx(curvature, rel=1e-10)
    for value in (rise.actual, rise.taylor, rise.path_integral):
        assert value == pytest.approx(gradient + curvature, rel=1e-10)
    assert rise.lambda_max_at_nodes == pytest.approx([top] * 5, rel=1e-3)
    assert rise.lambda_bound == pytest.approx(gradient + top * squared / 2, rel=0.02)
    assert rise.lambda_bound >= gradient + top * squared / 2
    assert rise.displacement_norm == pytest.approx(squared**0.5)
    assert rise.converged


def test_the_bound_is_sharp_along_the_top_eigenvector():
    network, (x, y), _ = linear_problem()
    _, vectors = torch.linalg.eigh(x.flatten(1).T @ x.flatten(1))
    d = {"1.weight": torch.stack([vectors[:, -1], torch.zeros(16, dtype=torch.float64)])}
    rise = loss_rise(network, F.mse_loss, (x, y), d)
    assert rise.actual <= rise.lambda_bound <= rise.actual + 0.02 * rise.curvature_term


def test_the_quadrature_is_gauss_legendre_on_the_unit_interval():
    nodes, weights = np.polynomial.legendre.leggauss(4)
    np.testing.assert_allclose([node for node, _ in QUADRATURE], (nodes + 1) / 2, atol=1e-15)
    np.testing.assert_allclose([weight for _, weight in QUADRATURE], weights / 2, atol=1e-15)


def test_taylor_is_that_of_the_exact_gradient_and_hessian_of_the_displaced_parameters():
    network, data = small_network(), small_data()
    d = cut(network, 0.5)
    flat = torch.cat([step.reshape(-1) for step in d.values()])
    matrix = exact_hessian(network, F.cross_entropy, data, names=list(d))
    leaves = [dict(network.named_parameters())[name] for name in d]
    gradient = torch.autograd.grad(F.cross_entropy(network(data[0]), data[1]), leaves)
    linear = float(torch.cat([g.reshape(-1) for g in gradient]) @ flat)
    rise = loss_rise(network, F.cross_entropy, data, d)
    assert rise.gradient_term == pytest.approx(linear, rel=1e-9)
    assert rise.curvature_term == pytest.approx(float(flat @ matrix @ flat) / 2, rel=1e-9)
    assert rise.taylor == pytest.approx(rise.gradient_term + rise.curvature_term, rel=1e-12)


def test_lambda_max_at_the_nodes_is_that_of_the_exact_hessian_along_the_way():
    network, data = small_network(), small_data()
    d = cut(network, 0.5)
    rise = loss_rise(network, F.cross_entropy, data, d, lambda_nodes=3)
    for step, found in zip((0.0, 0.5, 1.0), rise.lambda_max_at_nodes):
        there = moved(network, {name: step * tensor for name, tensor in d.items()})
        matrix = exact_hessian(there, F.cross_entropy, data, names=list(d))
        assert found == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=1e-3)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_on_softplus_networks_the_bound_holds_and_the_path_integral_is_the_truth(seed, density):
    network, data = small_network(seed=seed), small_data(seed=seed)
    for scale in (1.0, 0.5):
        start = moved(network, {name: (scale - 1) * p.detach() for name, p in network.named_parameters()})
        d = cut(start, density)
        rise = loss_rise(start, F.cross_entropy, data, d)
        with torch.no_grad():
            before, after = (F.cross_entropy(net(data[0]), data[1]) for net in (start, moved(start, d)))
        assert rise.actual == pytest.approx(float(after - before), rel=1e-9)
        assert rise.lambda_bound >= rise.actual
    # At half the weights, where the loss is as smooth as a trained network's.
    assert rise.path_integral == pytest.approx(rise.actual, rel=0.03)


def test_a_small_displacement_makes_taylor_exact():
    network, data = small_network(), small_data()
    d = {name: 1e-3 * step for name, step in cut(network, 0.5).items()}
    rise = loss_rise(network, F.cross_entropy, data, d, lambda_nodes=0)
    assert rise.taylor == pytest.approx(rise.actual, rel=1e-5)
    assert rise.lambda_bound is None
    assert (rise.lambda_max_at_nodes, rise.products) == ((), 1)


def test_weights_of_the_instances_enter_every_account():
    network, (x, y) = small_network(), small_data(examples=6)
    repeats = torch.tensor([1, 3, 1, 2, 1, 4])
    again = torch.arange(6).repeat_interleave(repeats)
    weights = repeats / repeats.double().mean()

    def weighted(outputs, targets, weights):
        return (weights * F.cross_entropy(outputs, targets, reduction="none")).mean()

    d = cut(network, 0.5)
    rise = loss_rise(network, weighted, (x, y, weights), d)
    same = loss_rise(network, F.cross_entropy, (x[again], y[again]), d)
    for name in ("actual", "taylor", "path_integral", "lambda_bound"):
        assert getattr(rise, name) == pytest.approx(getattr(same, name), rel=1e-6)


def test_chunks_give_the_same_and_the_network_is_untouched():
    network, data = small_network(), small_data()
    d = cut(network, 0.5)
    before = copy.deepcopy(network.state_dict())
    whole, chunked = (loss_rise(network, F.cross_entropy, data, d, chunk=chunk) for chunk in (None, 7))
    for name in ("actual", "taylor", "path_integral", "lambda_bound"):
        assert getattr(chunked, name) == pytest.approx(getattr(whole, name), rel=1e-8)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_no_displacement_is_no_rise_and_costs_one_eigenvalue():
    network, data = small_network(), small_data()
    nothing = {name: 0 * step for name, step in cut(network, 0.5).items()}
    rise = loss_rise(network, F.cross_entropy, data, nothing)
    assert (rise.actual, rise.taylor, rise.path_integral, rise.lambda_bound) == (0, 0, 0, 0)
    assert len(set(rise.lambda_max_at_nodes)) == 1
    once = loss_rise(network, F.cross_entropy, data, nothing, lambda_nodes=1)
    assert rise.products == once.products


def test_a_loss_that_depends_on_chance_is_refused():
    network, data = small_network(), small_data()

    def noisy(outputs, targets):
        return F.cross_entropy(outputs + torch.randn_like(outputs), targets)

    with pytest.raises(InputError, match="differs between two evaluations"):
        loss_rise(network, noisy, data, cut(network, 0.5))


def test_bad_input_is_refused():
    network, data = small_network(), small_data()
    for d, arguments, message in (
        ({"nope": torch.ones(1)}, {}, "'nope' is no parameter"),
        ({"1.weight": torch.ones(16, 10)}, {}, r"'1.weight' has shape \(16, 10\)"),
        ({}, {}, "no parameter"),
        (cut(network, 0.5), {"lambda_nodes": -1}, "lambda_nodes -1"),
    ):
        with pytest.raises(InputError, match=message):
            loss_rise(network, F.cross_entropy, data, d, **arguments)


def test_a_loss_that_is_not_finite_has_no_rise():
    network, (x, y) = small_network(), small_data()
    displacement = {name: torch.ones_like(p) for name, p in network.named_parameters()}
    with pytest.raises(RunFailure, match="not finite"):
        loss_rise(network, F.cross_entropy, (x * float("nan"), y), displacement, lambda_nodes=0)
