"""Taylor coefficients through layers, against nested directional derivatives of the same network."""

import pytest
import torch
from torch import nn

from esacl import networks
from esacl.config import NETWORK_NAMES, RunConfig
from esacl.curvature.jets import Jet, NoRule, jet
from esacl.curvature.outputs import _by_jets, _by_nesting, output_bound
from esacl.tasks import task_stream


def both(network, inputs, only=None, size=0.1):
    generator = torch.Generator().manual_seed(3)
    fixed = {name: p.detach() for name, p in network.named_parameters()} | dict(network.named_buffers())
    steps = {
        name: size * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for name, p in network.named_parameters()
        if only is None or only(name, p)
    }
    with torch.no_grad():
        return _by_jets(network, fixed, steps, inputs), _by_nesting(network, fixed, steps, inputs)


def agree(network, inputs, **how):
    fast, slow = both(network, inputs, **how)
    for a, b in zip(fast, slow, strict=True):
        assert not isinstance(a, Jet)
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)
    return fast


@pytest.mark.parametrize("name", NETWORK_NAMES)
@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_the_networks_of_the_library(name, activation):
    config = RunConfig(network=name, activation=activation)
    stream = task_stream(config)
    network = networks.build(config, stream).double().eval()
    found = agree(network, stream[0].train.inputs[:5].double(), only=lambda _, p: p.ndim > 1)
    assert float(found[2].abs().max()) > 0
    assert activation == "relu" or float(found[4].abs().max()) > 0


def test_biases_move_too():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Softplus(), nn.Flatten(), nn.Linear(8, 3)).double()
    agree(network, torch.randn(4, 1, 4, 4, dtype=torch.float64))
    agree(network, torch.randn(4, 1, 4, 4, dtype=torch.float64), only=lambda name, _: name.endswith("bias"))


class Tokens(nn.Module):
    """A layer of every place of a sequence, then one of all of them together."""

    def __init__(self, plus):
        super().__init__()
        self.each, self.all, self.plus = nn.Linear(5, 6), nn.Linear(24, 3), plus

    def forward(self, x):
        return self.all(nn.functional.softplus(self.plus(self.each(x))).flatten(1))


def test_a_linear_layer_of_a_sequence():
    agree(Tokens(lambda x: x).double(), torch.randn(7, 4, 5, dtype=torch.float64))


def test_a_convolution_of_a_single_image():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Softplus(), nn.Flatten(0), nn.Linear(8, 3)).double()
    agree(network, torch.randn(1, 4, 4, dtype=torch.float64))


@pytest.mark.parametrize("plus", [lambda x: x + 1.0, lambda x: torch.add(x, x, alpha=2)])
def test_a_sum_without_a_rule_goes_the_long_way(plus):
    network, inputs = Tokens(plus).double(), torch.randn(7, 4, 5, dtype=torch.float64)
    with pytest.raises(NoRule, match="add"):
        both(network, inputs)
    d = {"each.weight": 0.1 * torch.ones(6, 5, dtype=torch.float64)}
    assert output_bound(network, (inputs, torch.arange(7) % 3), d).largest_remainder > 0


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_softplus_of_any_slope(beta):
    network = nn.Sequential(nn.Linear(3, 5), nn.Softplus(beta=beta), nn.Linear(5, 2)).double()
    agree(network, torch.randn(6, 3, dtype=torch.float64), size=0.5)


def test_a_layer_without_a_rule_goes_the_long_way():
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    inputs, labels = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 2
    with pytest.raises(NoRule, match="tanh"):
        both(network, inputs)
    d = {"0.weight": 0.1 * torch.ones(5, 3, dtype=torch.float64)}
    assert output_bound(network, (inputs, labels), d).largest_remainder > 0


def test_a_norm_whose_own_numbers_move_has_no_rule():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).double().eval()
    with pytest.raises(NoRule, match="batch_norm"):
        both(network, torch.randn(2, 1, 4, 4, dtype=torch.float64), only=lambda name, _: name == "1.weight")


def test_a_jet_is_its_value_to_whoever_asks_for_the_shape():
    value = jet((torch.ones(2, 3), torch.zeros(2, 3)))
    assert (value.shape, value.dim(), value.dtype) == ((2, 3), 2, torch.float32)
    with pytest.raises(NoRule, match="exp"):
        value.exp()
