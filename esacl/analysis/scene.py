"""A scene: the network at its dense point right before the cut of a task, and everything it is looked at with."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from esacl import landscape, seeds
from esacl.batchnorm import Statistics
from esacl.config import RunConfig
from esacl.cost import Ledger
from esacl.criterion import Criterion
from esacl.curvature import LossRise
from esacl.curvature.objective import Objective
from esacl.mask import Mask
from esacl.networks import Network, features
from esacl.pruning import keep_top
from esacl.ranking import thrift
from esacl.selection import score, select
from esacl.tasks import Examples, TaskStream
from esacl.units import units_of


@dataclass(frozen=True)
class Scene:
    """A network at its dense point, the cut that awaits it, and the data it is looked at with.

    Attributes:
        saliency: number per prunable weight that ranks the cuts at every level.
        curvature: h + Omega per prunable weight, what the second-order saliency is made of.
        mask: survivors of the run's own cut; None for a dense run.
        pool: training examples of the task, at most `curvature.examples`.
        chosen: (m,) positions in the pool that IDS chose, with weights (m,) of mean 1.
        judged_on: evaluation examples of each task seen so far, wherever they lie.
        statistics: BatchNorm's, of the earlier tasks too where each has its own.
        stream: the data of all tasks.
    """

    config: RunConfig
    task: int
    network: Network
    criterion: Criterion
    ledger: Ledger
    saliency: dict[str, Tensor]
    curvature: dict[str, Tensor]
    mask: Mask | None
    pool: Examples
    scores: Tensor
    chosen: Tensor
    weights: Tensor
    judged_on: tuple[Examples, ...]
    class_names: dict[int, str]
    pixels: Callable[[Tensor], np.ndarray]
    statistics: Statistics
    stream: TaskStream

    @cached_property
    def evaluation(self) -> tuple[Examples, ...]:
        """The evaluation examples of each task seen so far, on the network's device once somebody asks for them."""
        return tuple(examples.to(self.pool.targets.device) for examples in self.judged_on)

    @property
    def whole(self) -> tuple[Tensor, ...]:
        """The pool as data for curvature."""
        return self.pool.inputs, self.pool.targets

    @property
    def sample(self) -> tuple[Tensor, ...]:
        """The chosen instances with their weights."""
        part = self.pool.take(self.chosen)
        return part.inputs, part.targets, self.weights

    def cut_to(self, sparsity: float, saliency: Mapping[str, Tensor] | None = None, allocation: str = "") -> Mask:
        """The survivors of a cut to a sparsity; by the scene's own saliency and the run's allocation, or others."""
        chosen = allocation or self.config.pruning.allocation
        return keep_top(self.saliency if saliency is None else saliency, sparsity, chosen, units_of(self.network))

    def weighed(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A saliency (out, in, ...) by name, weighed by what a weight costs where the run's own was."""
        factors = thrift(self.config, {name: self.ledger.uses(name, s.numel()) for name, s in found.items()})
        return {name: s * factors.get(name, 1.0) for name, s in found.items()}

    def displacement(self, mask: Mask) -> dict[str, Tensor]:
        """D = -(1 - m) theta."""
        return landscape.pruning_direction(self.network, mask)


def draw_seed(config: RunConfig, task: int, draw: int) -> int:
    """The seed of a draw of instances from the pool of a task; draw 0 is the scene's own."""
    return seeds.number(config.seed, "instances", task, draw)


def scene(
    config: RunConfig,
    task: int,
    *,
    network: Network,
    criterion: Criterion,
    ledger: Ledger,
    saliency: dict[str, Tensor],
    curvature: dict[str, Tensor],
    mask: Mask | None,
    train: Examples,
    stream: TaskStream,
    statistics: Statistics | None = None,
) -> Scene:
    """Draw the pool, score it by one forward pass, and let IDS choose."""
    order = torch.randperm(len(train), generator=seeds.torch_generator(config.seed, "pool", task))
    pool = train.take(order[: config.curvature.examples].sort().values.to(train.targets.device))
    with torch.no_grad():
        seen = features(network, pool.inputs)
        logits = criterion.logits(network.head(seen), pool.targets)
    scores = score(config.ids.score, logits, pool.targets, seen)
    chosen, weights = select(scores, config.ids.fraction, draw_seed(config, task, 0))
    ledger.analysis(forward_examples=len(pool))
    tasks = stream[: task + 1]
    return Scene(
        config=config,
        task=task,
        network=network,
        criterion=criterion,
        ledger=ledger,
        saliency=saliency,
        curvature=curvature,
        mask=mask,
        pool=pool,
        scores=scores,
        chosen=chosen,
        weights=weights,
        judged_on=tuple(t.evaluation for t in tasks),
        class_names={c: name for t in tasks for c, name in zip(t.classes, t.class_names, strict=True)},
        pixels=stream.pixels,
        statistics=statistics or Statistics(network, per_task=False),
        stream=stream,
    )


@contextmanager
def at_cut(network: nn.Module, mask: Mask) -> Iterator[None]:
    """The network at the pruned point for the length of a block; never yield an event inside.

    BatchNorm's statistics stay those of the dense point: a cut moves weights and nothing else.
    """
    weights = {name: p for name, p in network.named_parameters() if name in mask}
    before = {name: w.detach().clone() for name, w in weights.items()}
    mask.apply_to(weights)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in before.items():
                weights[name].copy_(value)


def pool_gradient(scene: Scene, names: Iterable[str]) -> dict[str, Tensor]:
    """Of the pool's mean loss at the dense point, by the named parameters; in chunks that fit a memory."""
    scene.ledger.analysis(gradients=len(scene.pool))
    return Objective(scene.network, scene.criterion, scene.whole, names=names).gradient()


def bill_rise(scene: Scene, rise: LossRise, examples: int) -> None:
    """The cost of a `loss_rise`: its products, five gradients (one of them at the start), the loss at both ends."""
    scene.ledger.analysis(forward_examples=2 * examples, gradients=5 * examples, products=rise.products * examples)


def norm_of(network: nn.Module, names: tuple[str, ...] | None = None) -> float:
    """|theta| over the named parameters, by default all."""
    parameters = dict(network.named_parameters())
    return sum(float(parameters[n].detach().cpu().double().square().sum()) for n in names or tuple(parameters)) ** 0.5


def as_numpy(values: Any) -> np.ndarray:
    """Tensor or array -> array on the CPU."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
