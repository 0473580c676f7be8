"""Consolidation: the Fisher information of a task that was just learned, from the instances that IDS chooses."""

import torch
from torch import Tensor

from esacl import anchors, seeds
from esacl.config import RunConfig
from esacl.cost import Ledger
from esacl.mask import Mask
from esacl.networks import Network, features
from esacl.selection import score, select
from esacl.stages import Stage
from esacl.tasks import Examples

# The variance falls with the number of batches, the cost rises with the examples in all of them.
FISHER_BATCHES, FISHER_BATCH_SIZE = 12, 32
# Scoring more costs a forward pass each and tells no more: so few gradients are taken.
POOL = 2_000


def fisher_information(
    config: RunConfig,
    network: Network,
    stage: Stage,
    names: tuple[str, ...],
    mask: Mask | None,
    ledger: Ledger,
    *,
    ids: bool,
) -> dict[str, Tensor]:
    """Diagonal Fisher information of `names` at today's weights, billed at the density of `mask`.

    Forward passes and gradients of the inputs are sparse where the network is; the gradients of the weights are not,
    since regrown weights are to be anchored too.
    """
    densities = mask.layer_densities() if mask else None
    chosen, weights = stage.examples, torch.ones(len(stage.examples), device=stage.examples.targets.device)
    if ids:
        pool = _pool(config, stage)
        chosen, weights = _chosen(config, network, stage, pool)
        ledger.forward(len(pool), densities)

    def logits(inputs: Tensor) -> Tensor:
        # All examples of a stage compete among the same columns as its first one does.
        open_ = stage.criterion.open[stage.examples.targets[0]]
        return network(inputs)[:, open_]

    asked = {name: float(name in names) for name, _ in network.named_parameters()}
    ledger.gradient(FISHER_BATCHES * min(FISHER_BATCH_SIZE, len(chosen)), densities, updated=asked)
    return anchors.fisher_diagonal(
        network,
        logits,
        chosen.inputs,
        weights,
        names,
        batches=FISHER_BATCHES,
        batch_size=FISHER_BATCH_SIZE,
        generator=seeds.torch_generator(config.seed, "fisher", stage.task),
    )


def _pool(config: RunConfig, stage: Stage) -> Examples:
    """What is scored: a stage's examples, or as many of them as are enough."""
    n = len(stage.examples)
    if n <= POOL:
        return stage.examples
    order = torch.randperm(n, generator=seeds.torch_generator(config.seed, "fisher pool", stage.task))
    return stage.examples.take(order[:POOL].sort().values.to(stage.examples.targets.device))


@torch.no_grad()
def _chosen(config: RunConfig, network: Network, stage: Stage, examples: Examples) -> tuple[Examples, Tensor]:
    seen = features(network, examples.inputs)
    logits = stage.criterion.logits(network.head(seen), examples.targets)
    scores = score(config.ids.score, logits, examples.targets, seen)
    rows, weights = select(scores, config.ids.fraction, seeds.number(config.seed, "fisher instances", stage.task))
    return examples.take(rows), weights
