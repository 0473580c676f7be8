"""Networks whose normalisation layers matter to a slice."""

import torch
from oracles.exact_hessian import small_data
from torch import nn


def normed(*, seed=0):
    """(n, 1, 4, 4) -> (n, 3) through two BatchNorms in float64, with statistics that fit `small_data`; in eval mode."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3),
    ).double()  # fmt: skip
    with torch.no_grad():
        for p in network.parameters():
            if p.dim() < 2:
                p.add_(0.3 * torch.randn_like(p))
        for _ in range(30):
            network(small_data(seed=seed)[0])
    return network.eval()
