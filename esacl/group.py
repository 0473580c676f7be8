"""The processes that do one run together; here the group of one, which is what a run has where nothing else is said."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from esacl.devices import resolve_device

T = TypeVar("T")
Found = TypeVar("Found", Tensor, tuple[Tensor, Tensor])


class Group:
    """One process: it computes everything itself and has nobody to ask. `distributed.Processes` are several."""

    def device(self, name: str) -> torch.device:
        """The device of a name, for this process.

        Raises:
            InputError: this machine has no such device, or too few of them.
        """
        return resolve_device(name)

    def spread(self, function: Callable[[Tensor], Found], inputs: Tensor) -> Found:
        """`function(inputs)`: what each example of `inputs` (n, ...) becomes, (n, ...) or two of such.

        Each process computes it for its part of the examples and everybody gets all of it; backward, each follows its
        own part. So the gradients of a loss are whole after `add_up`, where the loss knows the parameters through
        what was spread and in no other way.
        """
        return function(inputs)

    def add_up(self, parameters: Iterable[Tensor]) -> None:
        """Add the gradients of all processes: everybody has the sum, in `.grad`."""

    def agree(self, tensors: Iterable[Tensor]) -> None:
        """Everybody takes over, in place, what the first process holds."""

    def in_turn(self, work: Callable[[], T]) -> T:
        """`work()`, by one process of each machine before the others: it may write a file that these then find."""
        return work()

    def norms(self, network: nn.Module) -> None:
        """See to it that BatchNorm, where it normalises by a batch, does so by that of all processes."""
