"""The rescaled network against torch's own second derivatives, and what a rescaling may and may not change."""

import numpy as np
import pytest
import torch

from app import two_layers
from app.figures import rescaling
from app.two_layers import FACTORS, ONE


def exact(net) -> np.ndarray:
    """The Hessian by automatic differentiation in double precision: nothing of ours is in it."""
    x, y = torch.tensor(net.x), torch.tensor(net.y)

    def loss(theta: torch.Tensor) -> torch.Tensor:
        w1, b1, w2 = theta.chunk(3)
        return ((torch.relu(x[:, None] * w1 + b1) @ w2 - y) ** 2).mean() / 2

    return torch.autograd.functional.hessian(loss, torch.tensor(net.theta)).numpy()


@pytest.mark.parametrize("factor", [0.125, 1.0, 8.0])
@pytest.mark.parametrize("mode", ["layer", "neuron"])
def test_the_hessian_is_torchs(factor, mode):
    net = two_layers.fitted().rescaled(factor ** two_layers.spread(mode))
    assert np.allclose(two_layers.hessian(net), exact(net), rtol=1e-10, atol=1e-10)


def test_the_hessian_is_torchs_away_from_a_minimum_too():
    net = two_layers.fitted()
    net = net.at(net.theta + np.random.default_rng(0).normal(0, 0.1, len(net.theta)))
    assert np.abs(two_layers.jacobian(net).T @ (net.outputs(net.x) - net.y)).max() > 1e-2
    assert np.allclose(two_layers.hessian(net), exact(net), rtol=1e-10, atol=1e-10)


def test_the_fit_ends_at_a_minimum_where_the_hessian_is_defined():
    net = two_layers.fitted()
    gradient = two_layers.jacobian(net).T @ (net.outputs(net.x) - net.y) / len(net.x)
    assert np.abs(gradient).max() < 1e-10
    assert np.linalg.eigvalsh(two_layers.hessian(net))[0] > -1e-10
    assert np.abs(np.outer(net.x, net.w1) + net.b1).min() > 1e-4, "a point lies on a kink"
    assert net.loss < 0.01


@pytest.mark.parametrize("mode", ["layer", "neuron"])
def test_the_function_and_the_loss_stay(mode):
    sweep = two_layers.sweep(mode)
    assert sweep.apart.max() < 1e-12
    assert np.allclose(sweep.loss, sweep.loss[ONE], rtol=1e-9)
    assert np.allclose(sweep.along[:, len(sweep.steps) // 2], sweep.loss, rtol=1e-9)


def test_which_measures_are_invariant():
    layer, neuron = (two_layers.sweep(mode).measures for mode in ("layer", "neuron"))
    assert np.ptp(layer["lambda_max"]) > 10 * layer["lambda_max"][ONE]
    assert np.ptp(layer["relative"]) > np.ptp(layer["lambda_max"])
    assert np.allclose(layer["layerwise"], layer["layerwise"][ONE], rtol=1e-8)
    assert not np.allclose(neuron["layerwise"], neuron["layerwise"][ONE], rtol=0.1)
    for measures in (layer, neuron):
        assert np.allclose(measures["elementwise"], measures["elementwise"][ONE], rtol=1e-8)


def test_curvature_of_a_step_that_moves_along_is_invariant():
    """d'Hd with d relative to the weights, as the exercise of the notes has it."""
    net = two_layers.fitted()
    scale = np.concatenate([np.full(2 * two_layers.NEURONS, 4.0), np.full(two_layers.NEURONS, 0.25)])
    d = -0.3 * net.theta
    there = net.rescaled(4.0)
    assert np.isclose(d @ two_layers.hessian(net) @ d, (scale * d) @ two_layers.hessian(there) @ (scale * d))


def test_half_of_the_weights_go_and_no_bias():
    net = two_layers.fitted()
    h, size = two_layers.NEURONS, np.abs(np.concatenate([net.w1, net.w2]))
    limit = np.sort(size)[h]
    w1, w2 = (np.where(np.abs(w) < limit, 0, w) for w in (net.w1, net.w2))
    assert two_layers.loss_of_half(net) == pytest.approx(net.at(np.concatenate([w1, net.b1, w2])).loss)


def test_the_figures_have_a_frame_a_factor_and_a_curve_that_never_moves():
    sweep = two_layers.sweep("layer")
    curve = next(mark for mark in rescaling.function(sweep)["marks"] if "frames" in mark)["frames"]["d"]
    assert len(curve) == len(FACTORS) == len(rescaling.names())
    assert len(set(curve)) == 1
    valley = next(mark for mark in rescaling.valley(sweep)["marks"] if "frames" in mark)["frames"]["d"]
    assert len(set(valley)) > len(FACTORS) / 2
    for fact in rescaling.facts(sweep):
        assert len(fact["values"]) == len(FACTORS)
    assert "λₘₐₓ" in rescaling.measured(sweep)["alt"]
    assert len([m for m in rescaling.neurons(sweep)["marks"] if "frames" in m]) == two_layers.NEURONS
