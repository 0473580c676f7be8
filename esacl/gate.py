"""IDS inside training: backward on a few instances of each batch, chosen only where choosing pays."""

import torch
from torch import Tensor

from esacl.break_even import BACKWARD_TO_FORWARD, opens_below
from esacl.selection import el2n, inclusion_probabilities, second_moment_ratio, systematic_sample

MEASURE_EVERY = 20
AVERAGE = 0.8


class Gate:
    """Trains on a part of each batch: chosen by score where that lowers the variance enough, at random elsewhere.

    Open, it wants a forward pass of the whole batch, whose scores choose `fraction` of it for the backward pass.
    Shut, it takes as many at random as the same FLOPs allow in a dense step, and nobody is asked for a score. Every
    20 steps the second moment of the importance-sampled gradient relative to random selection is estimated from the
    scores (a proxy of the gradient norms) and averaged; below `break_even.opens_below` the gate opens. Where all
    gradient norms are nearly equal no selection can pay, and it stays shut; it costs a forward pass of what is left out
    then, every 20 steps.

    Attributes:
        fraction: of a batch, for the backward pass.
        by_score: False: always at random, the baseline.
        backward_to_forward: FLOPs of the backward pass of an example, in those of its forward pass.
        ratio: the average; None before the first measurement.
    """

    def __init__(
        self, fraction: float, *, by_score: bool = True, backward_to_forward: float = BACKWARD_TO_FORWARD
    ) -> None:
        self.fraction, self.by_score, self.backward_to_forward = fraction, by_score, backward_to_forward
        self.ratio: float | None = None

    @property
    def active(self) -> bool:
        """Whether anything is left out at all."""
        return self.fraction < 1

    @property
    def open(self) -> bool:
        """Whether the score decides."""
        return self.ratio is not None and self.ratio < opens_below(self.fraction, self.backward_to_forward)

    def asks(self, step: int) -> bool:
        """Whether a step wants the scores of its whole batch: because it is open, or to see whether to open."""
        return self.active and self.by_score and (self.open or step % MEASURE_EVERY == 0)

    def at_random(self, n: int, generator: torch.Generator) -> Tensor:
        """Rows (m,), ascending, of n: m examples forth and back cost what n forth and `fraction` of them back do."""
        back = self.backward_to_forward
        kept = max(1, round((1 + back * self.fraction) / (1 + back) * n))
        return torch.randperm(n, generator=generator)[:kept].sort().values

    def rows_at_random(self, fresh: int, replayed: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The same of each part of a batch: rows (m,) of what is fresh, and (k,) of what is replayed beside it."""
        chosen = self.at_random(fresh, generator)
        return chosen, self.at_random(replayed, generator) if replayed else chosen[:0]

    @torch.no_grad()
    def choose(
        self, logits: Tensor, targets: Tensor, features: Tensor, step: int, generator: torch.Generator, *, fresh: int
    ) -> tuple[Tensor, Tensor]:
        """Rows of the batch to differentiate (m,) and their weights (m,): mean(weights * loss) is unbiased.

        Open, m is `fraction` of the batch; shut, the rows are those of `rows_at_random`. Of the batch the first `fresh`
        are no replayed ones.
        """
        n = len(targets)
        kept = max(1, round(self.fraction * n))
        norms = el2n(logits.detach().clone(), targets, features.detach())
        pi = inclusion_probabilities(norms, kept)
        if step % MEASURE_EVERY == 0:
            now = second_moment_ratio(norms, pi)
            self.ratio = now if self.ratio is None else AVERAGE * self.ratio + (1 - AVERAGE) * now
        if not self.open:  # the rows of a step that does not ask; BatchNorm alone has seen the whole batch
            first, second = self.rows_at_random(fresh, n - fresh, generator)
            rows = torch.cat([first, fresh + second])
            return rows.to(targets.device), torch.ones(len(rows)).to(logits)
        rows = systematic_sample(pi, generator)
        return rows.to(targets.device), (kept / (n * pi[rows])).to(logits)
