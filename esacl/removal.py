"""SparCL's dynamic data removal: examples that are learned easily leave the task while it is learned."""

from collections.abc import Mapping

import torch
from torch import Tensor

from esacl import seeds


class Removal:
    """Removes `share` of a task's examples, step by step over the first half of its epochs.

    Those go first that were mistaken least often so far, by chance among equals (SparCL, Wang et al. 2022). The
    authors' code counts how often an example was right and then mistaken, and counts anew after each removal.
    """

    def __init__(self, share: float, seed: int) -> None:
        self.share, self.seed = share, seed
        self.mistakes = torch.zeros(0, dtype=torch.int64)
        self.left = torch.zeros(0, dtype=torch.bool)

    @property
    def active(self) -> bool:
        """Whether anything is ever removed."""
        return self.share > 0

    def begin(self, examples: int) -> None:
        """A task of so many examples begins."""
        self.mistakes = torch.zeros(examples, dtype=torch.int64)
        self.left = torch.ones(examples, dtype=torch.bool)

    def remaining(self, order: Tensor) -> Tensor:
        """The rows of `order` (n,) that are still there."""
        return order[self.left[order.cpu()].to(order.device)] if self.active else order

    def observe(self, rows: Tensor, right: Tensor) -> None:
        """Note which of the rows (b,) were answered right (b,)."""
        self.mistakes[rows.cpu()] += (~right).cpu()

    def after(self, task: int, epoch: int, epochs: int) -> None:
        """Remove what is due once `epoch` epochs of a task are over."""
        n = len(self.left)
        due = int(self.share * n * min(1.0, epoch / max(1, -(-epochs // 2))))
        removed = n - int(self.left.sum())
        if due <= removed:
            return
        chance = torch.rand(n, generator=seeds.torch_generator(self.seed, "removal", task, epoch), dtype=torch.float64)
        ranked = torch.where(self.left, self.mistakes + chance, torch.inf)
        self.left[ranked.argsort()[: due - removed]] = False

    def tensors(self) -> dict[str, Tensor]:
        """State of an unfinished task."""
        return {"mistakes": self.mistakes, "left": self.left} if self.active else {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `tensors()`."""
        if tensors:
            self.mistakes, self.left = tensors["mistakes"].cpu(), tensors["left"].cpu().bool()
