"""No slice takes three times the memory of one training step on the same batch."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from oracles.allocations import of_a_training_step, peak
from torch import nn

from esacl import landscape


def mlp():
    """784-400-400-10: a slice keeps products for each example at its entrance."""
    layers = (nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 10))
    return nn.Sequential(nn.Flatten(), *layers), (500, 1, 28, 28)


def cnn():
    """Convolutions, whose activations outweigh everything else."""
    layers = (nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU())
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4096, 10)), (12, 3, 32, 32)


@pytest.mark.parametrize("build", [mlp, cnn])
@pytest.mark.parametrize("how", [{}, {"refine": 0.1}])
def test_peak_memory_is_below_three_training_steps(build, how):
    torch.manual_seed(0)
    network, shape = build()
    data = torch.randn(shape), torch.arange(shape[0]) % 10
    x, y = (landscape.random_direction(network, seed) for seed in (0, 1))
    plane = partial(landscape.slice_2d, network, F.cross_entropy, data, x, y, points=5, **how)
    entries = sum(p.numel() for p in network.parameters())
    step = of_a_training_step(network, F.cross_entropy, data)
    assert peak(plane, 64 * entries) < 3 * step  # no block is that large: all counts
