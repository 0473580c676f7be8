"""A network whose sparse linear layers multiply by what is left of them, for execution on a CPU."""

import copy
import warnings

import torch
from torch import Tensor, nn

PAYS = 0.9  # sparsity of a layer from which CSR is tried; less was not measured


class SparseLinear(nn.Module):
    """A linear layer (n, in) -> (n, out) by a CSR product; the zeros of its weight are neither kept nor multiplied."""

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its CSR beta
            self.weight = dense.weight.detach().to_sparse_csr()
        self.bias = dense.bias.detach()[:, None]

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (n, out)."""
        return torch.addmm(self.bias, self.weight, inputs.t()).t()


def sparse_twin(network: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy on the CPU with each linear layer of sparsity PAYS or more by CSR, and the names of those layers.

    Convolutions stay dense: no kernel that torch brings makes one faster by zeros that lie anywhere.
    """
    twin = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    found = []
    for name, module in list(twin.named_modules()):
        if isinstance(module, nn.Linear) and float((module.weight == 0).float().mean()) >= PAYS:
            parent, _, own = name.rpartition(".")
            setattr(twin.get_submodule(parent), own, SparseLinear(module))
            found.append(name)
    return twin, tuple(found)
