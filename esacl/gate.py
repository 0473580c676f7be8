"""IDS inside training: backward on a few instances of each batch, chosen only where choosing pays."""

import torch
from torch import Tensor

from esacl.selection import el2n, inclusion_probabilities, second_moment_ratio, systematic_sample

MEASURE_EVERY = 20
AVERAGE = 0.8
OPEN_BELOW = 0.4


class Gate:
    """Chooses `fraction` of each batch: by score where that lowers the variance enough, at random elsewhere.

    Every 20 steps the second moment of the importance-sampled gradient relative to random selection is estimated from
    the scores (a proxy of the gradient norms) and averaged; below 0.4 the gate opens. Where all gradient norms are
    nearly equal (CIFAR) no selection can pay, and the gate stays shut.
    """

    def __init__(self, fraction: float) -> None:
        self.fraction = fraction
        self.ratio: float | None = None

    @property
    def active(self) -> bool:
        """Whether anything is left out at all."""
        return self.fraction < 1

    @property
    def open(self) -> bool:
        """Whether the score decides."""
        return self.ratio is not None and self.ratio < OPEN_BELOW

    @torch.no_grad()
    def choose(
        self, logits: Tensor, targets: Tensor, features: Tensor, step: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Rows of the batch to differentiate (m,) and their weights (m,): mean(weights * loss) is unbiased."""
        n = len(targets)
        kept = max(1, round(self.fraction * n))
        norms = el2n(logits.detach().clone(), targets, features.detach())
        pi = inclusion_probabilities(norms, kept)
        if step % MEASURE_EVERY == 0:
            now = second_moment_ratio(norms, pi)
            self.ratio = now if self.ratio is None else AVERAGE * self.ratio + (1 - AVERAGE) * now
        if not self.open:
            pi = torch.full_like(pi, kept / n)
        rows = systematic_sample(pi, generator)
        return rows.to(targets.device), (kept / (n * pi[rows])).to(logits)
