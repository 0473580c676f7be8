"""Rehearsal inside a training step: what comes from the buffer, and how it enters the loss."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from esacl.buffer import Buffer
from esacl.config import RunConfig
from esacl.criterion import CLOSED
from esacl.stages import Stage


@dataclass(frozen=True)
class Batch:
    """One step's examples, the fresh ones first.

    `logits` (m, c), where there are any, are those that the network once gave to the m examples after the fresh ones.
    `prior` (c,), where there is one, is added to the logits that a cross-entropy is taken of.
    """

    inputs: Tensor
    targets: Tensor
    fresh: int
    logits: Tensor | None = None
    prior: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, fresh: Tensor, replayed: Tensor) -> "Batch":
        """Rows of the fresh and of the replayed examples, each counted from the first of its kind; without logits."""
        rows = torch.cat([fresh, self.fresh + replayed]).to(self.targets.device)
        return Batch(self.inputs[rows], self.targets[rows], len(fresh), prior=self.prior)


Draw = Callable[[Tensor, Tensor, Buffer, torch.Generator], Batch]


def plain_batch(inputs: Tensor, targets: Tensor, buffer: Buffer, generator: torch.Generator) -> Batch:
    """As many from the buffer as are fresh: experience replay (Chaudhry et al. 2019)."""
    old = buffer.draw(len(targets), generator)
    return Batch(torch.cat([inputs, old.inputs]), torch.cat([targets, old.targets]), len(targets))


def dark_batch(inputs: Tensor, targets: Tensor, buffer: Buffer, generator: torch.Generator) -> Batch:
    """Two draws from the buffer, the first of them with its logits: DER++ (Buzzega et al. 2020, algorithm 2)."""
    first, second = (buffer.draw(len(targets), generator) for _ in range(2))
    return Batch(
        torch.cat([inputs, first.inputs, second.inputs]),
        torch.cat([targets, first.targets, second.targets]),
        len(targets),
        first.logits,
    )


DRAWS: dict[str, Draw] = {"plain": plain_batch, "dark": dark_batch}


def log_prior(config: RunConfig, stage: Stage, buffer: Buffer, fresh: int) -> Tensor:
    """`balance_logits` times the log of each column's share (c,) in the labels that a step's cross-entropies weigh.

    These are today's and the buffer's, of which a step draws as many as its `fresh` examples, where there are as many;
    what a selection within a step leaves out is not looked at. A class that is seen no more is closed.

    Added to the logits in training alone, it keeps a class that is seen often from being preferred for that: what is
    learned are the logits of classes that are all as frequent (balanced softmax: Ren et al. 2020; with a factor before
    the logarithm: the logit-adjusted cross-entropy of Menon et al. 2021).
    """
    columns = len(stage.criterion.open)

    def shares(targets: Tensor) -> Tensor:
        # Whole numbers in float32: exact in any order, and no device has to be waited for.
        ones = torch.ones(len(targets), device=targets.device)
        return torch.zeros(columns, device=targets.device).index_add_(0, targets, ones) / len(targets)

    # DER++'s term is a mean of its own; else all examples of a step are one mean.
    weight = config.derpp.beta if config.buffer.rehearsal == "dark" else min(len(buffer), fresh) / fresh
    counted = shares(stage.examples.targets)
    if len(buffer):
        counted = (counted + weight * shares(buffer.targets)) / (1 + weight)
    return (config.balance_logits * counted.log()).clamp(min=CLOSED)


def shifted(outputs: Tensor, prior: Tensor | None) -> Tensor:
    """Outputs (n, c) as a cross-entropy sees them."""
    return outputs if prior is None else outputs + prior


def per_example(
    config: RunConfig, stage: Stage, outputs: Tensor, targets: Tensor, fresh: Tensor, prior: Tensor | None = None
) -> Tensor:
    """Cross-entropy of each example (n,); of those that are `fresh` (n,) bool over today's columns, if so configured.

    Masking the logits of fresh examples keeps a new task from pushing the old classes down (as ER-ACE does: Caccia et
    al. 2022; and SparCL).
    """
    outputs = shifted(outputs, prior)
    losses = stage.criterion.per_example(outputs, targets)
    if not config.mask_logits:
        return losses
    return torch.where(fresh, stage.current.per_example(outputs, targets), losses)


def loss_of(config: RunConfig, stage: Stage, outputs: Tensor, batch: Batch) -> Tensor:
    """The loss () of a batch: its mean, or DER++'s three terms where the buffer gave logits (eq. 6)."""
    fresh = torch.arange(len(batch), device=outputs.device) < batch.fresh
    losses = per_example(config, stage, outputs, batch.targets, fresh, batch.prior)
    if batch.logits is None:
        return losses.mean()
    end = batch.fresh + len(batch.logits)
    middle = slice(batch.fresh, end)
    seen = torch.ones_like(batch.logits, dtype=torch.bool)
    if config.scenario == "task":  # an example has logits of its own head; of the others it was never asked
        seen = stage.criterion.open[batch.targets[middle]]
    apart = ((outputs[middle] - batch.logits).square() * seen).sum() / seen.sum()
    return losses[: batch.fresh].mean() + config.derpp.alpha * apart + config.derpp.beta * losses[end:].mean()
