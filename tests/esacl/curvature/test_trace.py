import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import exact_hessian, random_mask, small_data, small_network
from oracles.known_spectrum import diagonal, outliers, rotated
from torch import nn

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


class Normed(nn.Module):
    """Convolutions with stride, padding and dilation, BatchNorm over maps and over features, 1-D and 2-D outputs."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4)
        self.second, self.flat_norm = nn.Conv2d(4, 5, 3, dilation=2, padding=2), nn.BatchNorm1d(20)
        self.last, self.activation = nn.Linear(20, 3), activation

    def forward(self, x):
        h = self.activation(self.norm(self.first(x)))
        return self.last(self.flat_norm(self.activation(self.second(h)).flatten(1)))


class Tied(nn.Module):
    """One layer used twice."""

    def __init__(self, activation):
        super().__init__()
        self.layer, self.last, self.activation = nn.Linear(16, 16), nn.Linear(16, 3), activation

    def forward(self, x):
        return self.last(self.activation(self.layer(self.activation(self.layer(x.flatten(1))))))


class Sequences(nn.Module):
    """A linear layer at several places of an example, and an output (n, 2, 3)."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.last, self.activation = nn.Linear(4, 5), nn.Linear(20, 6), activation

    def forward(self, x):
        return self.last(self.activation(self.first(x[:, 0])).flatten(1)).view(-1, 2, 3)


def made(kind, activation=None):
    torch.manual_seed(0)
    network = kind(activation or nn.ReLU()).eval()
    for name, tensor in network.named_buffers():
        if name.endswith(("mean", "var")):
            tensor.uniform_(0.3, 1.5)
    return network


def squared(outputs, targets):
    return (outputs - F.one_hot(targets, 3)[:, None]).square().sum((1, 2)).mean()


@pytest.mark.parametrize("density", [None, 0.5])
@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize(("kind", "loss"), [(Normed, F.cross_entropy), (Sequences, squared)])
def test_the_trace_of_a_piecewise_linear_network_is_exact_from_few_products(kind, loss, chunk, density):
    network, data = made(kind), small_data()
    mask = None if density is None else random_mask(network, density)
    expected = float(exact_hessian(network, loss, data, kept=mask).trace())
    found = trace(hessian(network, loss, (data[0].float(), data[1]), mask, chunk=chunk), products=60)
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert found.rule == "gauss-newton"
    assert found.products < 40
    assert found.converged


def test_a_loss_that_bends_downwards_has_a_negative_part():
    network, data = made(Sequences), small_data()

    def loss(outputs, targets):
        return (outputs[:, 0].square().sum(1) - 3 * outputs[:, 1].square().sum(1)).mean()

    expected = float(exact_hessian(network, loss, data).trace())
    found = trace(hessian(network, loss, (data[0].float(), data[1])), products=60)
    assert found.value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("activation", [nn.Softplus(), pytest.param(nn.Tanh(), marks=pytest.mark.slow)])
def test_of_a_smooth_network_the_rest_is_sampled_without_bias(activation):
    network, data = made(Normed, activation), small_data()
    expected = float(exact_hessian(network, F.cross_entropy, data).trace())
    operator = hessian(network, F.cross_entropy, (data[0].float(), data[1]))
    draws = [trace(operator, products=60, seed=seed) for seed in range(40)]
    errors = np.array([draw.value for draw in draws]) - expected
    claimed = np.mean([draw.standard_error for draw in draws])
    spread = np.sqrt((errors**2).mean())
    assert {draw.rule for draw in draws} == {"gauss-newton"}
    assert all(draw.products == 60 for draw in draws)
    assert abs(errors.mean()) < 3 * spread / np.sqrt(len(draws))
    assert 0.5 < spread / claimed < 2


def test_layers_that_are_not_known_leave_it_to_xtrace():
    data = (small_data()[0].float(), small_data()[1])
    assert trace(hessian(made(Tied), F.cross_entropy, data), products=40).rule == "xtrace"
    grouped = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 2, groups=2), nn.Flatten(), nn.Linear(4, 3))
    assert trace(hessian(grouped, F.cross_entropy, data), products=40).rule == "xtrace"
    network = made(Normed)
    assert trace(hessian(network, F.cross_entropy, data, names=["last.weight"]), products=8).rule == "gauss-newton"


def test_too_few_products_for_every_layer_leave_it_to_xtrace():
    data = (small_data()[0].float(), small_data()[1])
    found = trace(hessian(made(Normed), F.cross_entropy, data), products=16)
    assert (found.rule, found.products) == ("xtrace", 16)


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
