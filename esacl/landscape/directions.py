"""Directions through weight space: {parameter name: tensor}, in the units of the weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from esacl.curvature.objective import check_like
from esacl.curvature.operator import Hessian
from esacl.errors import InputError
from esacl.seeds import torch_generator

Direction = dict[str, Tensor]

NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
STATISTICS = ("running_mean", "running_var")  # of BatchNorm: part of a solution, but no weights


def random_direction(network: nn.Module, seed: int, mask: Mapping[str, Tensor] | None = None) -> Direction:
    """A Gaussian direction, filter-normalised: each output row has the norm of that row's weights.

    Biases and norm layers are zero. With a mask the direction is masked before it is normalised: a direction that
    leaves the mask shows another network.

    Source: Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 4.

    Raises:
        InputError: a mask that does not fit the network, or keeps nothing.
    """
    parameters = _parameters(network)
    for name, entry in (mask or {}).items():
        check_like(name, entry, parameters)
    if mask and not any(bool(entry.any()) for entry in mask.values()):
        raise InputError("the mask keeps no weight, so no direction stays inside it")
    still = {
        f"{layer}.{name}" if layer else name
        for layer, module in network.named_modules()
        if isinstance(module, NORM_LAYERS)
        for name, _ in module.named_parameters(recurse=False)
    }
    direction = {}
    for name, weight in parameters.items():
        if weight.dim() < 2 or name in still:
            direction[name] = torch.zeros_like(weight)
            continue
        noise = torch.randn(weight.shape, generator=torch_generator(seed, "direction", name))
        noise = noise.to(weight)
        if mask is not None and name in mask:
            noise = noise * mask[name].to(weight)
        norms, wanted = _row_norms(noise), _row_norms(weight)
        direction[name] = noise * torch.where(norms > 0, wanted / norms, torch.zeros_like(norms))
    return direction


def pruning_direction(network: nn.Module, mask: Mapping[str, Tensor]) -> Direction:
    """What pruning adds to the weights: -(1 - m) theta; at 1 along it stands the pruned network.

    Raises:
        InputError: a mask that does not fit the network.
    """
    parameters = _parameters(network)
    for name, entry in mask.items():
        check_like(name, entry, parameters)
    removed = {name: ~entry.bool().to(parameters[name].device) for name, entry in mask.items()}
    return {name: -parameters[name] * gone for name, gone in removed.items()}


def eigen_direction(operator: Hessian, vector: Tensor) -> Direction:
    """An eigenvector (n,) in weight units, not rescaled; zero at the weights the operator leaves out.

    Raises:
        InputError: a vector of another length.
    """
    return operator.unflatten(vector)


def task_direction(a: nn.Module | Mapping[str, Tensor], b: nn.Module | Mapping[str, Tensor]) -> Direction:
    """From solution a to solution b: at 1 along it, seen from a, stands b.

    Of modules it includes the floating-point buffers, because BatchNorm's statistics are part of a solution; a slice
    moves them, or leaves them as they are, as its `statistics` say.

    Raises:
        InputError: the two have other names or shapes.
    """
    start, end = (_solution(s) if isinstance(s, nn.Module) else dict(s) for s in (a, b))
    if odd := sorted(start.keys() ^ end.keys()):
        raise InputError(f"{odd[0]!r} is in one solution only; both must be of one network")
    for name, tensor in end.items():
        check_like(name, tensor, start)
    return {name: (end[name].to(start[name]) - start[name]).detach() for name in start}


def masked(direction: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Direction:
    """The part of a direction inside a mask: zero at the removed weights; parameters the mask leaves out stay whole.

    Raises:
        InputError: a mask entry of another shape than the direction's.
    """
    for name, entry in mask.items():
        if name in direction:
            check_like(name, entry, dict(direction))
    return {name: t * mask[name].to(t) if name in mask else t for name, t in direction.items()}


def orthogonal_to(direction: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Direction:
    """The part of a direction orthogonal to another, over all weights; not rescaled.

    BatchNorm's statistics are no weights: they take no part, and those of `other` are left out.
    """
    other = {name: tensor for name, tensor in other.items() if name.rpartition(".")[2] not in STATISTICS}
    squared = _inner(other, other)
    share = _inner(direction, other) / squared if squared else 0.0
    names = {**direction, **other}  # a dict keeps their order
    return {
        name: direction.get(name, torch.zeros_like(like)) - share * other.get(name, torch.zeros_like(like))
        for name, like in names.items()
    }


def _parameters(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in network.named_parameters()}


def _solution(network: nn.Module) -> dict[str, Tensor]:
    buffers = {name: b.detach() for name, b in network.named_buffers() if b.is_floating_point()}
    return _parameters(network) | buffers


def _row_norms(weight: Tensor) -> Tensor:
    """The norm of each output row, shaped to scale it."""
    norms = weight.flatten(1).norm(dim=1)
    return norms.view(-1, *[1] * (weight.dim() - 1))


def _inner(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return sum(float((a[name] * b[name]).sum()) for name in a if name in b)  # in one order, so reproducible
