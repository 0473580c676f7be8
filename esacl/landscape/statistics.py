"""BatchNorm's statistics are part of the network: which of them a slice uses."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.overrides import TorchFunctionMode

from esacl.errors import InputError

STATISTICS = ("moved", "kept", "recomputed")


def used(network: nn.Module, wanted: str, moving: bool) -> str:
    """What a slice is to say of its statistics: one of `STATISTICS`, or "none" where there is no BatchNorm.

    Args:
        network: the network.
        wanted: one of `STATISTICS`.
        moving: whether a direction names a buffer.

    Raises:
        InputError: an unknown name.
    """
    if wanted not in STATISTICS:
        raise InputError(f"unknown statistics {wanted!r}; choose from {', '.join(STATISTICS)}")
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        return "none"
    return "kept" if wanted == "moved" and not moving else wanted


def variances(names: Mapping[str, Tensor]) -> frozenset[str]:
    """The buffers that are variances: a line through two solutions, drawn on, would lead them below zero."""
    return frozenset(name for name in names if name.rpartition(".")[2] == "running_var")


class Recomputed(TorchFunctionMode):
    """Normalises by the mean and the variance of the examples at hand, instead of the kept ones.

    Args:
        weights: (n,) of the examples, by default all the same.
    """

    def __init__(self, weights: Tensor | None = None) -> None:
        super().__init__()
        self._weights = weights

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is batch_norm:
            return self._normalised(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _normalised(
        self,
        inputs: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """(n, c, ...) to mean 0 and variance 1 over all axes but the second; Ioffe and Szegedy 2015, algorithm 1."""
        axes = [axis for axis in range(inputs.dim()) if axis != 1]
        share = torch.ones((), dtype=inputs.dtype, device=inputs.device)
        if self._weights is not None:
            share = (self._weights / self._weights.mean()).to(inputs.dtype).view(-1, *[1] * (inputs.dim() - 1))
        mean = (share * inputs).mean(axes, keepdim=True)
        centred = inputs - mean
        variance = (share * centred.square()).mean(axes, keepdim=True)
        found = centred * torch.rsqrt(variance + eps)
        shape = (1, -1, *[1] * (inputs.dim() - 2))
        if weight is not None:
            found = found * weight.view(shape)
        return found if bias is None else found + bias.view(shape)
