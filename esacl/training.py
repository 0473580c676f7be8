"""Training on one task: a generator of events over one loop that every method shares.

A method is a choice of parts (`Learner`): a form of SDP or none, anchors or none, a rehearsal buffer or none, all
tasks at once or one after another. What changes weights, in the order of a step: the optimiser, the form's pull, the
anchors' pull.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from esacl import anchors as anchoring
from esacl import batchnorm, seeds
from esacl.anchors import Anchors
from esacl.batchnorm import Statistics
from esacl.buffer import Buffer
from esacl.co2l import VIEWS, Co2L
from esacl.config import RunConfig
from esacl.cost import Ledger
from esacl.errors import RunFailure
from esacl.events import CheckpointReady, Event, Stepped
from esacl.form import Form
from esacl.gate import Gate
from esacl.mask import Mask
from esacl.networks import Network, features
from esacl.ranking import Ranking, removed_share
from esacl.removal import Removal
from esacl.replay import DRAWS, Batch, loss_of, per_example
from esacl.schedule import Schedule
from esacl.selection import score, select
from esacl.stages import Stage
from esacl.tasks import Examples

REPORTS_PER_TASK = 100
FISHER_BATCHES, FISHER_BATCH_SIZE = 12, 128


@dataclass
class Learner:
    """The parts of a method and what it keeps between tasks.

    `prunable` are the weights that the mask is about, `shared` all parameters that are no private head. `ids` says
    whether the Fisher information comes from the instances that IDS chooses, or from all of them. `mask` is the last
    cut; None before the first one and for dense methods. `rehearsal` is a key of `replay.DRAWS`; `offers_steps`
    says whether the buffer is offered the fresh examples of every step, or those of a task once it is over;
    `freezes_rest` that shared parameters which cannot be pruned are learned in the first task only. With `contrast` the
    network is learned without its head, which is fitted once a task is over.
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
    rehearsal: str = "plain"
    offers_steps: bool = False
    removal: Removal = field(default_factory=lambda: Removal(0.0, 0))
    freezes_rest: bool = False
    contrast: Co2L | None = None
    mask: Mask | None = None
    form: Form = field(init=False)
    buffer: Buffer = field(init=False)
    gate: Gate = field(init=False)
    statistics: Statistics = field(init=False)
    ranking: Ranking = field(init=False)
    optimiser: torch.optim.SGD = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = dict(self.network.named_parameters())
        if self.contrast is not None:
            self.parameters |= self.contrast.parameters()
        self.weights = {name: self.parameters[name] for name in self.prunable}
        importance = self.anchors.importance if self.anchors else {}
        self.ranking = Ranking(self.weights, importance, self.config)
        self.form = self.make_form(self.ranking, self.config)
        self.buffer = Buffer(self.config.buffer.size, self.config.seed)
        self.gate = Gate(self.config.ids.train_fraction)
        self.statistics = Statistics(self.network, per_task=self.config.batchnorm.statistics == "task")
        self._restart_optimiser()

    def _restart_optimiser(self) -> None:
        self.optimiser = torch.optim.SGD(self.parameters.values(), lr=self.config.lr, momentum=self.config.momentum)

    # -- one task

    def learn(self, stage: Stage, resumed: CheckpointReady | None = None) -> Iterator[Event]:
        """Train on a stage, from the start or from an epoch's checkpoint; a checkpoint after every epoch.

        Raises:
            RunFailure: the loss is no longer finite.
        """
        config, per_epoch = self.config, math.ceil(len(stage.examples) / self.config.batch_size)
        schedule = Schedule(config.epochs * per_epoch, config.lr, config.sdp.ramp, config.schedule == "constant")
        self._restart_optimiser()
        if self.contrast is not None:
            self.contrast.begin(stage.task)
        self.form.begin(stage.task, schedule)
        self.removal.begin(len(stage.examples))
        first = 0
        if resumed is not None:
            first = resumed.epoch
            self.load(resumed)
        report_every = math.ceil(schedule.steps / REPORTS_PER_TASK)
        losses: list[Tensor] = []
        for epoch in range(first, config.epochs):
            order = torch.randperm(
                len(stage.examples), generator=seeds.torch_generator(config.seed, "batches", stage.task, epoch)
            ).to(stage.examples.targets.device)
            batches = self.removal.remaining(order).split(config.batch_size)
            for i, rows in enumerate(batches):
                step = epoch * per_epoch + i
                losses.append(self._step(stage, rows, step, schedule))
                if (step + 1) % report_every == 0 or i + 1 == len(batches):
                    yield self._report(stage, epoch, step, schedule, losses)
                    losses.clear()
            self.removal.after(stage.task, epoch + 1, config.epochs)
            yield self.checkpoint(stage.task, epoch + 1)
        if self.contrast is not None:
            self.contrast.classify(stage, self.buffer, self.form.mask.layer_densities())

    def _step(self, stage: Stage, rows: Tensor, step: int, schedule: Schedule) -> Tensor:
        fresh = stage.examples.take(rows)
        generator = seeds.torch_generator(self.config.seed, "step", stage.task, step) if self._draws else None
        batch = Batch(fresh.inputs, fresh.targets, len(rows))
        if len(self.buffer):
            assert generator is not None
            batch = DRAWS[self.rehearsal](fresh.inputs, fresh.targets, self.buffer, generator)
        if stage.augment is not None:
            assert generator is not None
            batch = replace(batch, inputs=stage.augment(batch.inputs, generator))
        for group in self.optimiser.param_groups:
            group["lr"] = schedule.lr(step)
        self.optimiser.zero_grad(set_to_none=True)
        densities = self.form.enter(step)
        with batchnorm.by_batch(self.network, len(batch), moving=not self.form.elsewhere):
            loss, backward_examples, outputs = self._loss(stage, batch, generator, step)
        if self.removal.active:
            self.removal.observe(rows, stage.criterion.correct(outputs[: batch.fresh], fresh.targets))
        loss.backward()
        if self.freezes_rest and stage.task > 0:
            self._freeze_rest()
        self.form.leave(step)
        self.optimiser.step()
        self.form.after(step)
        if self.anchors is not None:
            self.anchors.pull(self.parameters, schedule.lr(step))
            if self.form.survivors_only:
                # An anchor must not bring back what is removed for good.
                self.form.mask.apply_to(self.weights)
        self._bill(batch, backward_examples, densities)
        if self.offers_steps:
            self.buffer.offer(fresh.inputs, fresh.targets, outputs[: batch.fresh] if self._dark else None)
        return loss.detach()

    def _bill(self, batch: Batch, backward_examples: int, densities: Mapping[str, float] | None) -> None:
        views, updated = 1, self.form.updated()
        if self.contrast is not None:
            views, densities, updated = VIEWS, self.contrast.entered(densities), self.contrast.entered(updated)
        self.ledger.step(
            views * len(batch),
            backward_examples,
            densities=densities,
            survivors_only=self.form.survivors_only,
            updated=updated,
            replayed=views * (len(batch) - batch.fresh),
        )
        self.ledger.dense_step(batch.fresh)

    def _freeze_rest(self) -> None:
        for name in self.shared:
            if name not in self.weights:
                self.parameters[name].grad = None

    @property
    def _draws(self) -> bool:
        random = self.gate.active or self.config.augment != "none" or self.contrast is not None
        return random or len(self.buffer) > 0

    def _loss(
        self, stage: Stage, batch: Batch, generator: torch.Generator | None, step: int
    ) -> tuple[Tensor, int, Tensor]:
        """The loss (), how many examples the backward pass needs, and the outputs (n, c), detached."""
        if self.contrast is not None:
            assert generator is not None
            return self.contrast.loss(stage, batch, generator, self.mask)
        if not self.gate.active:
            outputs = self.network(batch.inputs)
            return loss_of(self.config, stage, outputs, batch), len(batch), outputs.detach()
        assert generator is not None
        seen = features(self.network, batch.inputs)
        outputs = self.network.head(seen)
        logits = stage.criterion.logits(outputs, batch.targets)
        rows, weights = self.gate.choose(logits, batch.targets, seen, step, generator)
        losses = per_example(self.config, stage, outputs[rows], batch.targets[rows], rows < batch.fresh)
        return (weights * losses).mean(), len(rows), outputs.detach()

    @property
    def _dark(self) -> bool:
        return self.rehearsal == "dark"

    def _report(self, stage: Stage, epoch: int, step: int, schedule: Schedule, losses: list[Tensor]) -> Stepped:
        loss, mask = float(torch.stack(losses).mean()), self.form.mask
        # A dense form has no mask, but a cut may await it all the same.
        coming = mask if mask.kept < mask.total else self.survivors() or mask
        doomed_share = removed_share(self.weights, coming)
        for what, value in (("loss", loss), ("share of the weights to be cut", doomed_share)):
            if not math.isfinite(value):
                raise RunFailure(
                    f"the {what} became {value} in task {stage.task} at step {step + 1} of {schedule.steps}; "
                    f"try a smaller lr than {self.config.lr}"
                )
        return Stepped(
            task=stage.task,
            epoch=epoch,
            step=step + 1,
            steps=schedule.steps,
            loss=loss,
            learning_rate=schedule.lr(step),
            ramp=schedule.ramp(step) if mask.kept < mask.total else 0.0,
            density=mask.density,
            flips=self.form.flips,
            doomed_share=doomed_share,
            selection_ratio=self.gate.ratio,
            selection_open=self.gate.open,
        )

    # -- between tasks

    def survivors(self) -> Mask | None:
        """The mask of the one-shot cut at today's weights; None where nothing is to be cut."""
        return self.form.survivors()

    def cut(self, mask: Mask | None) -> None:
        """One shot: every weight outside the mask becomes zero. No retraining follows."""
        self.mask = mask
        if mask is not None:
            mask.apply(self.network)

    def refresh(self, stage: Stage) -> None:
        """Recompute BatchNorm's running statistics, which a cut leaves those of the dense network; no retraining."""
        order = torch.randperm(
            len(stage.examples), generator=seeds.torch_generator(self.config.seed, "refresh", stage.task)
        )  # files are often sorted by class, and a batch of one class would be normalised by that class alone
        batchnorm.refresh(self.network, stage.examples.inputs[order.to(stage.examples.inputs.device)])
        self.ledger.forward(len(stage.examples), self.mask.layer_densities() if self.mask else None)

    def consolidate(self, stage: Stage) -> None:
        """Anchor today's solution, and offer today's examples to the buffer."""
        if self.anchors is not None and self.anchors.strength > 0:
            chosen, weights = self._fisher_examples(stage)
            fisher = anchoring.fisher_diagonal(
                self.network,
                lambda inputs: self._logits(stage, inputs),
                chosen.inputs,
                weights,
                self.shared,
                batches=FISHER_BATCHES,
                batch_size=FISHER_BATCH_SIZE,
                generator=seeds.torch_generator(self.config.seed, "fisher", stage.task),
            )
            self.ledger.gradient(FISHER_BATCHES * min(FISHER_BATCH_SIZE, len(chosen)))
            self.anchors.consolidate(self.parameters, fisher, self.mask or Mask({}))
        if not self.offers_steps:
            self.buffer.offer(stage.examples.inputs, stage.examples.targets)

    def _logits(self, stage: Stage, inputs: Tensor) -> Tensor:
        # All examples of a stage compete among the same columns as its first one does.
        open_ = stage.criterion.open[stage.examples.targets[0]]
        return self.network(inputs)[:, open_]

    @torch.no_grad()
    def _fisher_examples(self, stage: Stage) -> tuple[Examples, Tensor]:
        examples = stage.examples
        if not self.ids:
            return examples, torch.ones(len(examples), device=examples.targets.device)
        seen = features(self.network, examples.inputs)
        logits = stage.criterion.logits(self.network.head(seen), examples.targets)
        self.ledger.forward(len(examples))
        scores = score(self.config.ids.score, logits, examples.targets, seen)
        rows, weights = select(scores, self.config.ids.fraction, self.config.seed + stage.task)
        return examples.take(rows), weights

    # -- resume

    def checkpoint(self, task: int, epoch: int) -> CheckpointReady:
        """Everything needed to go on after `epoch` epochs of a task; the arrays share memory with the network.

        Epoch 0 stands between two tasks: the form and the momentum begin anew and are left out.
        """
        groups: dict[str, Mapping[str, Tensor]] = {
            "network": dict(self.network.named_parameters()),
            "momentum": self._momentum() if epoch else {},
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

    def _momentum(self) -> dict[str, Tensor]:
        states = {name: self.optimiser.state.get(p, {}) for name, p in self.parameters.items()}
        return {n: s["momentum_buffer"] for n, s in states.items() if s.get("momentum_buffer") is not None}

    @torch.no_grad()
    def load(self, checkpoint: CheckpointReady) -> None:
        """Go on from a checkpoint. One inside a task is for `learn` to load, once the task has begun."""
        device = next(iter(self.parameters.values())).device
        groups: dict[str, dict[str, Tensor]] = {}
        for key, array in checkpoint.tensors.items():
            group, name = key.split("/", 1)
            groups.setdefault(group, {})[name] = torch.from_numpy(array.copy()).to(device)
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
