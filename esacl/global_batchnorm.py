"""BatchNorm by the batch of all processes, on any device; torch's own `SyncBatchNorm` wants CUDA.

Source: Ioffe and Szegedy 2015, Batch Normalization, algorithms 1 and 2; the moments of parts are put together after
Chan et al. 1983, equation 2.1.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

Gather = Callable[[Tensor], Tensor]


class GlobalBatchNorm(nn.BatchNorm2d):
    """`BatchNorm2d` whose batch is that of all processes; in evaluation mode it is `BatchNorm2d` itself.

    Args:
        gather: a row (c,) of this process -> those of all of them (count, c), with gradients.
        like: as for `BatchNorm2d`.
    """

    def __init__(self, gather: Gather, *like: Any, **more: Any) -> None:
        super().__init__(*like, **more)
        self._gather = gather

    @classmethod
    def of(cls, layer: nn.BatchNorm2d, gather: Gather) -> "GlobalBatchNorm":
        """In the place of `layer`, with its very parameters and buffers."""
        made = cls(gather, layer.num_features, layer.eps, layer.momentum)
        made._parameters, made._buffers = layer._parameters, layer._buffers
        return made.train(layer.training)

    @override
    def forward(self, input: Tensor) -> Tensor:
        """Normalised (n, c, h, w); n may be 0 where the others have examples."""
        if not self.training:
            return super().forward(input)
        count = input.numel() // self.num_features
        mean = input.sum((0, 2, 3)) / max(1, count)
        squares = (input - mean[:, None, None]).square().sum((0, 2, 3))
        rows = self._gather(torch.cat([mean, squares, mean.new_full((1,), count)]))
        counts = rows[:, -1:]
        total = counts.sum()
        means, apart = rows[:, : self.num_features], rows[:, self.num_features : -1]
        whole = (counts * means).sum(0) / total
        squares = (apart + counts * (means - whole).square()).sum(0)
        if self.track_running_stats:
            self._move(whole.detach(), squares.detach() / (total - 1))
        scale = self.weight * (squares / total + self.eps).rsqrt()
        return (input - whole[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _move(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def replace_norms(network: nn.Module, made: Callable[[nn.BatchNorm2d], nn.Module]) -> None:
    """Put `made(layer)` in the place of every BatchNorm layer of a network."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, made(child))
        else:
            replace_norms(child, made)
