"""Which images a sparse MLP gets right, by what is left of it: the same answers as those of the dense kernel, sooner.

Cuts leave units that nothing reads or that are the same for every image, also where weights go one by one. Without them
the network is a smaller dense one, of which layers that are still very sparse are multiplied by CSR. Sums in another
order differ in their last digits, so an answer that hangs on those is left to the dense kernel. Nothing that records a
loss comes through here.
"""

import torch
from torch import Tensor, nn

from esacl.criterion import Criterion
from esacl.export.shrunk import shrunk
from esacl.export.sparse_layers import sparse_twin

SPARSE = 0.5  # zeros among the weights from which less work is looked for
LEFT = 0.75  # of the weights at most: what is saved has to pay for the smaller copy
FEWEST = 2000  # images that pay for it: it costs as much as 400 to 600 of them (MLP 784-400-400, one thread)
CLOSE = 1e-5  # of the largest logit, at least of 1: by how much two kernels were seen to differ in float32, at most
_CHAIN = (nn.Flatten, nn.Linear, nn.ReLU, nn.Softplus)


@torch.no_grad()
def smaller(network: nn.Module, examples: int) -> nn.Module | None:
    """What answers as `network` with less work; None where that is not known to pay.

    It was measured for MLPs on a CPU (`python -m benchmarks.evaluation`): others are left as they are.

    Args:
        network: at the weights that it is to answer with.
        examples: how many it will be asked.
    """
    leaves = [module for module in network.modules() if not list(module.children())]
    layers = [module.weight for module in leaves if isinstance(module, nn.Linear)]
    if examples < FEWEST or not layers or not all(isinstance(module, _CHAIN) for module in leaves):
        return None
    if layers[0].device.type != "cpu" or _zeros(layers) < SPARSE * _entries(layers):
        return None
    small = shrunk(network).network
    rest = [module.weight for module in small.modules() if isinstance(module, nn.Linear)]
    twin, by_csr = sparse_twin(small)
    return twin if by_csr or _entries(rest) <= LEFT * _entries(layers) else None


@torch.no_grad()
def correct(
    network: nn.Module, instead: nn.Module | None, criterion: Criterion, inputs: Tensor, targets: Tensor
) -> Tensor:
    """Whether `network` gets each of `inputs` (n, ...) right, by `instead` where that is sure to say the same; (n,).

    It counts as sure where the best open logit is ahead of the next by more than both were seen to be off (a trained
    network's sums; weights that cancel at a thousand times the size of their sum may be off by more). One image that is
    not sends all of `inputs` through `network`, since its last digits hang on how many are asked at once.
    """
    if instead is not None:
        outputs = instead(inputs)
        if _apart(criterion.logits(outputs, targets), float(outputs.abs().max())):
            return criterion.correct(outputs, targets)
    return criterion.correct(network(inputs), targets)


def _apart(logits: Tensor, largest: float) -> bool:
    """Whether the two best of every row are further apart than kernels may be; not so where one is no number."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return bool((first - second > 2 * CLOSE * max(1.0, largest)).all())


def _zeros(weights: list[Tensor]) -> int:
    return sum(int((w == 0).sum()) for w in weights)


def _entries(weights: list[Tensor]) -> int:
    return sum(w.numel() for w in weights)
