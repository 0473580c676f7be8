"""The loss of a scenario: cross-entropy over the output columns that an example may be mistaken among."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from esacl.errors import InputError

# Finite, so that no 0 x inf turns a second derivative into NaN; exp() of it is exactly 0 in float32 and float64.
CLOSED = -1e9


@dataclass(frozen=True)
class Criterion:
    """Mean cross-entropy over the open columns.

    Attributes:
        open: (c, c) bool; row y says which columns compete when the target is y. Task-IL: the columns of y's own
            task, so that the rows of one last layer are private heads. Class-IL: all columns seen so far.
    """

    open: Tensor

    def logits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Outputs (n, c) with the closed columns at -1e9."""
        return outputs.masked_fill(~self.open[targets], CLOSED)

    def per_example(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each example, in nats; (n,)."""
        return F.cross_entropy(self.logits(outputs, targets), targets, reduction="none")

    def __call__(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean over examples of weight x cross-entropy; scalar."""
        losses = self.per_example(outputs, targets)
        return losses.mean() if weights is None else (weights * losses).mean()

    @torch.no_grad()
    def mean(self, outputs: Tensor, targets: Tensor) -> float:
        """The mean loss as a number to report, added up in float64 (on the CPU, since MPS has none)."""
        return float(self.per_example(outputs, targets).cpu().double().mean())

    @torch.no_grad()
    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether the best open column is the target; (n,) bool."""
        return self.logits(outputs, targets).argmax(1) == targets


def criterion(scenario: str, tasks: list[tuple[int, ...]], outputs: int, device: torch.device) -> Criterion:
    """The criterion after `tasks` (the columns of each task seen so far).

    Raises:
        InputError: an unknown scenario.
    """
    open_ = torch.zeros(outputs, outputs, dtype=torch.bool, device=device)
    if scenario == "task":
        for columns in tasks:
            rows = torch.tensor(columns, device=device)
            open_[rows[:, None], rows] = True
    elif scenario in ("class", "domain"):
        seen = torch.tensor(sorted({column for columns in tasks for column in columns}), device=device)
        open_[:, seen] = True
    else:
        raise InputError(f"unknown scenario {scenario!r}; choose from task, class, domain")
    return Criterion(open_)
