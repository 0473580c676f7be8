"""No analysis takes three times the memory of one training step on the same batch, its Krylov basis apart."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from oracles.allocations import of_a_training_step, peak
from torch import nn

from esacl.curvature import (
    eigenvalue_interval,
    extreme_eigenpairs,
    hessian,
    loss_rise,
    overlap,
    spectral_density,
    top_eigenpairs,
    trace,
)


def mlp():
    """784-400-400-10, the network of the larger benchmarks."""
    widths = (784, 400, 400)
    layers = [part for i, o in pairwise(widths) for part in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(400, 10)), (200, 1, 28, 28)


def cnn():
    """The three convolutions of small-cnn."""
    layers = []
    for i, o in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, 10)), (12, 3, 32, 32)


def analyses(network, data):
    d = {name: -p.detach() * (p.detach().abs() < 0.02) for name, p in network.named_parameters()}
    mask = {name: p.detach().abs() > 0.02 for name, p in network.named_parameters() if p.dim() > 1}

    def operator(**choice):
        return hessian(network, F.cross_entropy, data, **choice)

    def shared():
        whole = operator()
        return overlap(whole, top_eigenpairs(whole, 5, max_products=6), d)

    return {
        "top": lambda: top_eigenpairs(operator(), 5, max_products=6),
        "masked": lambda: top_eigenpairs(operator(mask=mask), 5, max_products=6),
        "both ends": lambda: extreme_eigenpairs(operator(), 5, 1, max_products=6),
        "density": lambda: spectral_density(operator(), steps=5, probes=2),
        "trace": lambda: trace(operator(), products=8),
        "rise": lambda: loss_rise(network, F.cross_entropy, data, d, lambda_nodes=2),
        "overlap": shared,
        "interval": lambda: eigenvalue_interval(network, F.cross_entropy, data, 5, groups=3, tol=0.3),
    }


@pytest.mark.parametrize("build", [mlp, pytest.param(cnn, marks=pytest.mark.slow)])
def test_peak_memory_is_below_three_training_steps(build):
    torch.manual_seed(0)
    network, shape = build()
    data = torch.randn(shape), torch.arange(shape[0]) % 10
    entries = sum(p.numel() for p in network.parameters())
    there = 4 * entries + 4 * data[0].numel() + 8 * len(data[1])  # what both find allocated: network and data
    step = there + of_a_training_step(network, F.cross_entropy, data)
    survivors = sum(int((p.abs() > 0.02).sum()) if p.dim() > 1 else p.numel() for p in network.parameters())
    ratios = {
        name: (there + peak(work, survivors if name == "masked" else entries)) / step
        for name, work in analyses(network, data).items()
    }
    assert max(ratios.values()) < 3, ratios
