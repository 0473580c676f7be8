"""The parts that a method is made of, what they keep between tasks, and how all of it is resumed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from esacl import batchnorm, seeds
from esacl.anchors import Anchors
from esacl.batchnorm import Statistics
from esacl.buffer import Buffer
from esacl.co2l import Co2L
from esacl.config import RunConfig
from esacl.consolidation import fisher_information
from esacl.cost import Ledger
from esacl.distillation import Teacher
from esacl.events import CheckpointReady
from esacl.form import Form
from esacl.gate import Gate
from esacl.graphed import Graphed, Pass
from esacl.group import Group
from esacl.mask import Mask
from esacl.networks import Network
from esacl.ranking import Ranking
from esacl.removal import Removal
from esacl.sparse_steps import SparseSteps, can_shrink
from esacl.stages import Stage
from esacl.units import units_of


@dataclass
class Parts:
    """The parts of a method and what it keeps between tasks.

    `prunable` are the weights that the mask is about, `shared` all parameters that are no private head. `ids` says
    whether the Fisher information comes from the instances that IDS chooses, or from all of them. `mask` is the last
    cut; None before the first one and for dense methods. `offers_steps` says whether the buffer is offered the
    fresh examples of every step, or those of a task once it is over; some settings ask for every step.
    `freezes_rest` that shared parameters which cannot be pruned are learned in the first task only. With `contrast` the
    network is learned without its head, which is fitted once a task is over. `group` are the processes that do it.
    """

    config: RunConfig
    network: Network
    prunable: tuple[str, ...]
    shared: tuple[str, ...]
    ledger: Ledger
    make_form: Callable[[Ranking, RunConfig], Form]
    anchors: Anchors | None = None
    ids: bool = False
    joint: bool = False
    offers_steps: bool = False
    removal: Removal = field(default_factory=lambda: Removal(0.0, 0))
    freezes_rest: bool = False
    contrast: Co2L | None = None
    group: Group = field(default_factory=Group)
    teacher: Teacher | None = field(default=None, init=False)
    mask: Mask | None = None
    form: Form = field(init=False)
    preparing: Form = field(init=False)
    buffer: Buffer = field(init=False)
    gate: Gate = field(init=False)
    statistics: Statistics = field(init=False)
    forward: Pass = field(init=False)
    sparse_steps: SparseSteps | None = field(default=None, init=False)
    ranking: Ranking = field(init=False)
    optimiser: torch.optim.SGD = field(init=False)

    def __post_init__(self) -> None:
        # Logits are those of a step; and behind masked logits only the buffer sets today's classes against the past, as
        # behind balanced ones it does so most.
        weighed = self.config.mask_logits or self.config.balance_logits > 0
        self.offers_steps |= self.config.buffer.rehearsal == "dark" or weighed
        # Several processes sum up inside a pass, which no recording holds.
        self.forward = Graphed(self.network) if type(self.group) is Group else self.network
        self.parameters = dict(self.network.named_parameters())
        if self.contrast is not None:
            self.parameters |= self.contrast.parameters()
        self.weights = {name: self.parameters[name] for name in self.prunable}
        self.unmasked = {name: parameter for name, parameter in self.parameters.items() if name not in self.weights}
        self.shrinks = type(self.group) is Group and can_shrink(self.network, self.config.pruning.allocation)
        importance = self.anchors.importance if self.anchors else {}
        thrifty = self.config.pruning.flops_exponent > 0
        uses = {name: self.ledger.uses(name, w.numel()) for name, w in self.weights.items()} if thrifty else None
        self.ranking = Ranking(self.weights, importance, self.config, units_of(self.network), uses)
        self.form = self.preparing = self.make_form(self.ranking, self.config)
        self.buffer = Buffer(self.config.buffer.size, self.config.seed)
        self.gate = Gate(
            self.config.ids.train_fraction,
            by_score=self.config.ids.score != "uniform",
            backward_to_forward=self.ledger.backward_to_forward,
        )
        self.statistics = Statistics(self.network, per_task=self.config.batchnorm.statistics == "task")
        self.restart_optimiser()

    def restart_optimiser(self) -> None:
        """Forget the momentum, and sparse steps, which hold some of it."""
        self.sparse_steps = None
        self.optimiser = torch.optim.SGD(self.parameters.values(), lr=self.config.lr, momentum=self.config.momentum)

    def survivors(self) -> Mask | None:
        """The mask of the one-shot cut at today's weights; None where nothing is to be cut."""
        return self.form.survivors()

    def cut(self, mask: Mask | None) -> None:
        """One shot: every weight outside the mask becomes zero."""
        self.mask = mask
        if mask is not None:
            mask.apply(self.network)

    def refresh(self, stage: Stage) -> int:
        """Recompute BatchNorm's running statistics, which a cut leaves those of the dense network; no retraining.

        From batches as steps see them: today's images and, where steps rehearse, as many of the buffer beside them.

        Returns:
            The number of images that passed.
        """
        inputs, generator = stage.examples.inputs, seeds.torch_generator(self.config.seed, "refresh", stage.task)
        # Files are often sorted by class, and a batch of one class would be normalised by that class alone.
        order = torch.randperm(len(inputs), generator=generator)
        passed = 0

        def batches() -> Iterator[Tensor]:
            nonlocal passed
            for rows in batchnorm.even(order.to(inputs.device)):
                drawn = [self.buffer.draw(len(rows), generator).inputs for _ in range(self.passes - 1)]
                batch = torch.cat([inputs[rows], *drawn])
                passed += len(batch)
                yield batch

        batchnorm.refresh(self.network, batches())
        self.ledger.forward(passed, self.mask.layer_densities() if self.mask else None, item="other")
        return passed

    def consolidate(self, stage: Stage) -> None:
        """Anchor today's solution, and offer today's examples to the buffer."""
        if self.anchors is not None and self.anchors.strength > 0:
            fisher = fisher_information(
                self.config, self.network, stage, self.shared, self.mask, self.ledger, ids=self.ids
            )
            self.group.agree(fisher.values())
            self.anchors.consolidate(self.parameters, fisher, self.mask or Mask({}))
        elif self.anchors is not None and self.distils:
            self.anchors.remember({name: self.parameters[name] for name in self.shared})
        if not self.offers_steps:
            self.buffer.offer(stage.examples.inputs, stage.examples.targets)

    @property
    def passes(self) -> int:
        """How many examples a training step takes through the network for each fresh one."""
        return 1 + ({"plain": 1, "dark": 2}[self.config.buffer.rehearsal] if len(self.buffer) else 0)

    @property
    def distils(self) -> bool:
        """Whether earlier outputs are kept: in domain-IL today's examples ask for the very columns of the past."""
        return self.config.anchor.distillation > 0 and self.config.scenario != "domain"

    # -- resume

    def checkpoint(self, task: int, epoch: int) -> CheckpointReady:
        """Everything needed to go on after `epoch` epochs of a task; the arrays share memory with the network.

        Epoch 0 stands between two tasks: the form and the momentum begin anew and are left out.
        """
        # What several devices computed alike may differ in the last bit, which the next epochs would make more of.
        self.group.agree([p.data for p in self.parameters.values()])
        self.group.agree(self.network.buffers())
        groups: dict[str, Mapping[str, Tensor]] = {
            "network": dict(self.network.named_parameters()),
            "momentum": self.momentum() if epoch else {},
            "form": self.form.tensors() if epoch else {},
            "anchors": self.anchors.state() if self.anchors else {},
            "buffer": self.buffer.state(),
            "cut": self.mask or {},
            "between": self.form.between(),
            "removal": self.removal.tensors() if epoch else {},
            "statistics": self.statistics.state(),
            "contrast": self.contrast.tensors(inside=epoch > 0) if self.contrast else {},
        }
        tensors = {f"{g}/{n}": t.detach().cpu().numpy() for g, ts in groups.items() for n, t in ts.items()}
        counters: dict[str, Any] = {
            "flips": self.form.flips,
            "total_flips": self.form.total_flips,
            "gate_ratio": self.gate.ratio,
            "buffer_seen": self.buffer.seen,
            "anchors_bytes": self.anchors.bytes if self.anchors else 0,
            "ledger": self.ledger.state(),
        }
        return CheckpointReady(task=task, epoch=epoch, tensors=tensors, counters=counters)

    def momentum(self) -> dict[str, Tensor]:
        """The optimiser's, by name of the parameter."""
        states = {name: self.optimiser.state.get(p, {}) for name, p in self.parameters.items()}
        return {n: s["momentum_buffer"] for n, s in states.items() if s.get("momentum_buffer") is not None}

    def _laid_out(self, key: str, value: Tensor) -> Tensor:
        """What belongs to a parameter in its layout, which no file keeps: sums are to run in the same order."""
        like = self.parameters.get(key.rpartition("/")[2])
        if like is None or like.shape != value.shape or value.dtype != like.dtype:
            return value
        return torch.empty_like(like).copy_(value)

    @torch.no_grad()
    def load(self, checkpoint: CheckpointReady) -> None:
        """Go on from a checkpoint. One inside a task is for `learn` to load, once the task has begun."""
        device = next(iter(self.parameters.values())).device
        groups: dict[str, dict[str, Tensor]] = {}
        for key, array in checkpoint.tensors.items():
            group, name = key.split("/", 1)
            groups.setdefault(group, {})[name] = self._laid_out(key, torch.from_numpy(array.copy()).to(device))
        for name, value in groups["network"].items():
            self.parameters[name].copy_(value)
        for name, value in groups.get("momentum", {}).items():
            self.optimiser.state[self.parameters[name]]["momentum_buffer"] = value
        counters = checkpoint.counters
        self.form.load_between(groups.get("between", {}))
        self.removal.load(groups.get("removal", {}))
        if "form" in groups:
            self.form.load(groups["form"], counters["flips"], counters["total_flips"])
        if self.anchors is not None:
            self.anchors.load(groups.get("anchors", {}), counters["anchors_bytes"])
        self.buffer.load(groups.get("buffer", {}), counters["buffer_seen"])
        self.gate.ratio = counters["gate_ratio"]
        self.mask = Mask(groups["cut"]) if "cut" in groups else None
        self.statistics.load(groups.get("statistics", {}))
        if self.contrast is not None:
            self.contrast.load(groups["contrast"])
        self.ledger.load(counters["ledger"])
