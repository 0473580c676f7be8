"""BatchNorm by the batch of all processes, on any device; torch's own `SyncBatchNorm` wants CUDA.

Source: Ioffe and Szegedy 2015, Batch Normalization, algorithms 1 and 2, with the gradients of its section 3; the
moments of parts are put together after Chan et al. 1983, equation 2.1.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

Add = Callable[[Tensor], Tensor]
_AXES = (0, 2, 3)


class GlobalBatchNorm(nn.BatchNorm2d):
    """`BatchNorm2d` whose batch is that of all processes; in evaluation mode it is `BatchNorm2d` itself.

    Args:
        layer: whose parameters and buffers it takes over.
        rank: which process this is.
        count: how many there are.
        add: the sum over the processes of a tensor that each has, in place.
    """

    def __init__(self, layer: nn.BatchNorm2d, rank: int, count: int, add: Add) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self._parameters, self._buffers = layer._parameters, layer._buffers
        self._rank, self._count, self._add = rank, count, add
        self.train(layer.training)

    @override
    def forward(self, input: Tensor) -> Tensor:
        """Normalised (n, c, h, w); n may be 0 where others have examples."""
        if not self.training:
            return super().forward(input)
        mean, squares, total = self._moments(input.detach())
        if self.track_running_stats:
            self._move(mean, squares / (total - 1))
        normalised: Tensor = _Normalised.apply(
            input, self.weight, self.bias, mean, (squares / total + self.eps).rsqrt(), total, self._add
        )
        return normalised

    def _moments(self, input: Tensor) -> tuple[Tensor, Tensor, float]:
        """Of the whole batch: means (c,), sums of squares about them (c,), how many numbers a channel has."""
        own = input.numel() // self.num_features
        mean = input.sum(_AXES) / max(1, own)
        squares = (input - _wide(mean)).square().sum(_AXES)
        rows = input.new_zeros(self._count, 2 * self.num_features + 1)
        rows[self._rank] = torch.cat([mean, squares, mean.new_full((1,), own)])
        rows = self._add(rows)
        means, apart, counts = rows.split([self.num_features, self.num_features, 1], dim=1)
        total = float(counts.sum())
        mean = (counts * means).sum(0) / total
        return mean, (apart + counts * (means - mean).square()).sum(0), total

    @torch.no_grad()
    def _move(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class _Normalised(torch.autograd.Function):
    """(x - mean) scale weight + bias, where mean and scale (1 / sd) are those of x itself and of the others' x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor, total: float, add: Add
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.total, ctx.add = total, add
        return (x - _wide(mean)) * _wide(scale * weight) + _wide(bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight, mean, scale = ctx.saved_tensors
        normalised = (x - _wide(mean)) * _wide(scale)
        of_bias, of_weight = gradient.sum(_AXES), (gradient * normalised).sum(_AXES)
        # What the mean and the variance of all do to all: each process has its part of the sums.
        whole_bias, whole_weight = (ctx.add(torch.stack([of_bias, of_weight])) / ctx.total).unbind()
        inner = gradient - _wide(whole_bias) - normalised * _wide(whole_weight)
        return inner * _wide(scale * weight), of_weight, of_bias, None, None, None, None


def _wide(channels: Tensor) -> Tensor:
    return channels[:, None, None]


def replace_norms(network: nn.Module, made: Callable[[nn.BatchNorm2d], nn.Module]) -> None:
    """Put `made(layer)` in the place of every BatchNorm layer of a network."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, made(child))
        else:
            replace_norms(child, made)
