"""BatchNorm in continual learning: when its running statistics move, whose they are, and what a cut does to them.

A training step normalises by its batch and moves the running statistics; everything else (evaluation, Fisher
information, curvature, slices) normalises by the running statistics and leaves them alone, because only then is an
example's loss a function of the weights. Weight and bias of BatchNorm are shared parameters like any other: they are
trained and anchored, and never pruned.

Source: Ioffe and Szegedy 2015, Batch Normalization, algorithms 1 and 2.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

REFRESH_BATCH = 256


def layers(network: nn.Module) -> list[nn.BatchNorm2d]:
    """The BatchNorm layers of a network; of whichever dimension, their statistics have one shape."""
    found = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return cast(list[nn.BatchNorm2d], found)


@contextmanager
def by_batch(network: nn.Module, examples: int, *, moving: bool) -> Iterator[None]:
    """The network in training mode for the length of a block: BatchNorm normalises by the batch.

    A single example is no batch: its last maps may be one pixel, which has no variance. It is normalised by the
    running statistics. Never yield an event inside.

    Args:
        network: in any mode.
        examples: how many the batch holds.
        moving: whether the running statistics move with it.
    """
    norms = layers(network)
    if not norms:  # nothing else in a network of ours has modes, and to change them takes .4 ms a step
        yield
        return
    for layer in norms:
        layer.track_running_stats = moving
    try:
        with _mode(network, training=examples > 1):
            yield
    finally:
        for layer in norms:
            layer.track_running_stats = True


@contextmanager
def by_running(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode for the length of a block, whatever mode it is in."""
    with _mode(network, training=False):
        yield


@contextmanager
def _mode(network: nn.Module, *, training: bool) -> Iterator[None]:
    before = {module: module.training for module in network.modules()}
    network.train(training)
    try:
        yield
    finally:
        for module, was in before.items():
            module.training = was


class Statistics:
    """The running statistics of a network: one set for all tasks, or beside it one that is kept for each task.

    Of a task its running means and variances are kept and nothing else; weight and bias are those of all tasks. What
    is replayed or learned jointly passes through the same layers and is in the statistics of the task being learned.

    Args:
        network: whose statistics they are.
        per_task: whether each task keeps its own.
    """

    def __init__(self, network: nn.Module, *, per_task: bool) -> None:
        self._network, self._per_task = network, per_task
        self._kept: dict[int, dict[str, Tensor]] = {}

    def keep(self, task: int) -> None:
        """A task is learned: today's statistics are its own from now on."""
        if self._per_task:
            self._kept[task] = {name: buffer.clone() for name, buffer in self._moments().items()}

    @contextmanager
    def of(self, task: int) -> Iterator[None]:
        """The network with the statistics of a task for the length of a block; its own where none were kept.

        Only for a task that is known to whoever evaluates it. Never yield an event inside.
        """
        kept, own = self._kept.get(task, {}), self._moments()
        before = {name: own[name].clone() for name in kept}
        for name, value in kept.items():
            own[name].copy_(value)
        try:
            yield
        finally:
            for name, value in before.items():
                own[name].copy_(value)

    @property
    def numbers(self) -> int:
        """How many numbers have to be kept, those of the earlier tasks included."""
        sets = [self._moments(), *self._kept.values()]
        return sum(value.numel() for one in sets for value in one.values())

    def state(self) -> dict[str, Tensor]:
        """Tensors to go on from: `network/NAME` for each buffer, `TASK/NAME` for what a task keeps."""
        own = {f"network/{name}": buffer for name, buffer in self._network.named_buffers()}
        return own | {f"{task}/{name}": value for task, kept in self._kept.items() for name, value in kept.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `state()`.

        Raises:
            KeyError: a buffer of the network is missing.
        """
        for name, buffer in self._network.named_buffers():
            # A file may have made a number into a vector of one.
            buffer.copy_(tensors[f"network/{name}"].reshape(buffer.shape))
        self._kept = {}
        for key, value in tensors.items():
            task, name = key.split("/", 1)
            if task != "network":
                self._kept.setdefault(int(task), {})[name] = value

    def _moments(self) -> dict[str, Tensor]:
        return {name: buffer for name, buffer in self._network.named_buffers() if buffer.is_floating_point()}


@torch.no_grad()
def refresh(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Recompute the running statistics of the network as it stands from batches of inputs (n, ...), n >= 2.

    After a cut they still are those of the dense network. This is no retraining: there are forward passes only, no
    label is looked at, and nothing but the buffers of BatchNorm changes, by no gradient. Each layer gets the mean and
    the unbiased variance of all that came into it, of the batches together and not the mean of their variances, while
    the layers before it normalised by the batch. The sums over batches are in double precision.
    """
    seen = {layer: _Moments() for layer in layers(network)}
    handles = [layer.register_forward_pre_hook(lambda one, args: seen[one].add(args[0])) for layer in seen]
    try:
        for batch in batches:
            with by_batch(network, len(batch), moving=False):
                network(batch)
    finally:
        for handle in handles:
            handle.remove()
    for layer, moments in seen.items():
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.copy_(moments.mean)
        layer.running_var.copy_(moments.variance)


def even(inputs: Tensor) -> tuple[Tensor, ...]:
    """Batches for `refresh`, in even pieces: a short last one would be normalised by hardly anything."""
    return inputs.tensor_split(-(-len(inputs) // REFRESH_BATCH))


class _Moments:
    """Mean and variance of each channel over batches (Chan et al. 1983, equation 2.1), on the CPU."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, inputs: Tensor) -> None:
        """Take in a batch (n, c, ...)."""
        axes = [axis for axis in range(inputs.dim()) if axis != 1]
        found = torch.var_mean(inputs, axes, correction=0)
        variance, mean = (part.cpu().double() for part in found)
        more = inputs.numel() // inputs.shape[1]
        share, apart = more / (self.count + more), mean - self.mean
        self._squares = self._squares + more * variance + apart.square() * self.count * share
        self.mean = self.mean + apart * share
        self.count += more

    @property
    def variance(self) -> Tensor:
        """Unbiased, as torch's running variance is."""
        return self._squares / (self.count - 1)
