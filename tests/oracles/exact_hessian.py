"""The exact Hessian of a small network in float64, by `torch.func.hessian`: shares no code with the library."""

import copy
import warnings

import torch
from torch import nn
from torch.func import functional_call


def exact_hessian(network, loss, data, *, names=None, kept=None):
    """The matrix (n, n) over the named parameters in the network's order, or its submatrix of the kept entries.

    `kept` is {name: bool tensor}; parameters it does not name are kept whole.
    """
    network = copy.deepcopy(network).double()
    names = [name for name, _ in network.named_parameters()] if names is None else names
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    chosen = {name: p for name, p in parameters.items() if name in names}
    tensors = tuple(t.double() if t.is_floating_point() else t for t in data)

    def value(flat):
        parts = flat.split([p.numel() for p in chosen.values()])
        values = {name: part.view_as(p) for part, (name, p) in zip(parts, chosen.items())}
        return loss(functional_call(network, parameters | values, (tensors[0],)), *tensors[1:])

    start = torch.cat([p.reshape(-1) for p in chosen.values()])
    matrix = hessian_of(value, start)
    if kept is None:
        return matrix
    whole = [kept.get(name, torch.ones_like(p, dtype=torch.bool)).reshape(-1) for name, p in chosen.items()]
    rows = torch.cat(whole)
    return matrix[rows][:, rows]


def hessian_of(function, start):
    """Of a scalar function of a vector, forward over reverse."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, on the first forward-mode call
        return torch.func.hessian(function)(start)


def small_network(activation=nn.Softplus, *, seed=0):
    """(n, 1, 4, 4) -> (n, 3), 257 parameters in float64, weights large enough to be curved."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 10), activation(), nn.Linear(10, 6), activation(), nn.Linear(6, 3)
    ).double()
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.6)
    return network


def small_cnn(activation=nn.Softplus, *, seed=0):
    """(n, 1, 4, 4) -> (n, 3) through two convolutions, 113 parameters in float64."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), activation(), nn.Conv2d(3, 2, 3), activation(), nn.Flatten(), nn.Linear(8, 3)
    ).double()
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.5)
    return network


def small_data(*, examples=24, seed=1):
    """Inputs (n, 1, 4, 4) float64 and targets (n,) of 3 classes."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples, 1, 4, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (examples,), generator=generator)


def random_mask(network, density, *, seed=2):
    """{name: bool} over the weights with two or more axes."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(p.shape, generator=generator) < density
        for name, p in network.named_parameters()
        if p.dim() > 1
    }
