"""A run that is over, and an operator that nobody has any more, leave no tensor behind."""

import gc

import pytest
import torch
from torch import nn

from esacl.curvature import hessian, top_eigenpairs
from esacl.methods import METHODS
from esacl.pipeline import run
from tests.tiny_runs import tiny


def tensors_alive() -> int:
    gc.collect()
    return sum(type(thing) in (torch.Tensor, nn.Parameter) for thing in gc.get_objects())


@pytest.mark.parametrize("method", METHODS)
def test_no_run_leaves_a_tensor_behind(method):
    config = tiny({"curvature.top": 1, "curvature.grid": 3, "curvature.levels": 2}, method=method, epochs=1)
    alive = []
    for _ in range(2):  # the first may load what stays loaded
        for _ in run(config):
            pass
        alive.append(tensors_alive())
    assert alive[0] == alive[1]


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.Softmax(dim=1), nn.ReLU()])
def test_no_operator_leaves_a_tensor_behind(activation):
    alive = []
    for _ in range(2):
        network = nn.Sequential(nn.Linear(5, 4), activation, nn.Linear(4, 3))
        data = torch.ones(9, 5), torch.zeros(9, dtype=torch.int64)
        top_eigenpairs(hessian(network, nn.functional.cross_entropy, data), 1)
        del network, data
        alive.append(tensors_alive())
    assert alive[0] == alive[1]
