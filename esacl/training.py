"""Training on one task: a generator of events over one loop that every method shares.

A method is a choice of parts (`Learner`): a form of SDP or none, anchors or none, a rehearsal buffer or none, all
tasks at once or one after another. What changes weights, in the order of a step: the optimiser, the form's pull, the
anchors' pull.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from esacl import batchnorm, seeds, sharpness
from esacl.anchors import pull_rate
from esacl.co2l import VIEWS
from esacl.distillation import Teacher, distillation, spare, teacher
from esacl.errors import RunFailure
from esacl.events import CheckpointReady, Event, Stepped
from esacl.form import Settled
from esacl.mask import Mask
from esacl.networks import with_features
from esacl.parts import Parts
from esacl.ranking import removed_share
from esacl.replay import DRAWS, Batch, log_prior, loss_of, per_example, shifted
from esacl.revival import revive
from esacl.schedule import Schedule
from esacl.sparse_steps import Rates, SparseSteps, pays
from esacl.stages import Stage

REPORTS_PER_TASK = 100


class Learner(Parts):
    """A method at work: one loop over the parts."""

    def learn(
        self,
        stage: Stage,
        at_cut: Callable[[], Iterator[Event]],
        resumed: CheckpointReady | None = None,
        watch: Callable[[int], Iterator[Event]] | None = None,
    ) -> Iterator[Event]:
        """Train on a stage, from the start or from an epoch's checkpoint; a checkpoint after every epoch.

        Args:
            stage: what to learn.
            at_cut: cuts the network, once, where the schedule says: in the middle, so that sparse steps follow, or at
                the end; its events are passed on.
            resumed: a checkpoint inside this task.
            watch: looks at the network after so many steps, `curvature.during` times; its events are passed on.

        Raises:
            RunFailure: the loss is no longer finite.
        """
        config, schedule = self.config, Schedule.of(self.config, len(stage.examples))
        per_epoch = schedule.steps // config.epochs
        self.restart_optimiser()
        self.form = self.preparing
        if self.contrast is not None:
            self.contrast.begin(stage.task)
        if config.sdp.revive and stage.task > 0:
            self._revive(stage)
        self.form.begin(stage.task, schedule)
        self.removal.begin(len(stage.examples))
        first = resumed.epoch if resumed else 0
        if resumed is not None:
            self.load(resumed)
            if first * per_epoch > schedule.cut_step:
                self._settle(self.mask)
        self.teacher = self._teacher(stage, billed=resumed is None)
        report_every = math.ceil(schedule.steps / REPORTS_PER_TASK)
        losses: list[Tensor] = []
        told = first * per_epoch
        for epoch in range(first, config.epochs):
            order = torch.randperm(
                len(stage.examples), generator=seeds.torch_generator(config.seed, "batches", stage.task, epoch)
            ).to(stage.examples.targets.device)
            remaining = self.removal.remaining(order)
            batches = remaining.split(config.batch_size)
            self.ledger.dense_step(len(order) - len(remaining))  # dense SGD would have learned from them
            for i, rows in enumerate(batches):
                step = epoch * per_epoch + i
                if step == schedule.cut_step:
                    yield from at_cut()
                    self._settle(self.mask)
                self._choose_steps(step)
                losses.append(self._step(stage, rows, step, schedule))
                last = i + 1 == len(batches)
                if (step + 1) % report_every == 0 or last:
                    yield self._report(stage, epoch, step, schedule, losses)
                    losses.clear()
                    now = (epoch + 1) * per_epoch if last else step + 1  # an epoch that dropped examples ends there too
                    if watch is not None and schedule.passes(told, now, config.curvature.during):
                        if self.sparse_steps is not None:
                            self.sparse_steps.give_back()
                        yield from watch(step + 1)
                    told = now
            self.removal.after(stage.task, epoch + 1, config.epochs)
            self._whole_again()  # a resumed run begins here, with the numbers of the checkpoint
            yield self.checkpoint(stage.task, epoch + 1)
        if self.contrast is not None:
            self.contrast.classify(stage, self.buffer, self.form.mask.layer_densities())
        if schedule.cut_step == schedule.steps:
            yield from at_cut()

    def _revive(self, stage: Stage) -> None:
        """Units that earlier cuts have left dead learn again."""
        private = self.config.scenario == "task"
        past = torch.cat([groups.flatten() for groups in stage.past]) if private else None
        anchors = self.anchors
        importance, solution = (anchors.importance, anchors.solution) if anchors is not None else ({}, {})
        generator = seeds.torch_generator(self.config.seed, "revive", stage.task)
        revive(self.network, importance, solution, past, generator)

    def _teacher(self, stage: Stage, *, billed: bool) -> Teacher | None:
        """Who says what today's examples used to mean to the heads of earlier tasks."""
        if self.anchors is None or not self.distils or not stage.past:
            return None
        ledger = self.ledger if billed else None
        return teacher(self.network, self.anchors.solution, stage, self.prunable, ledger, self.group)

    @property
    def settled(self) -> bool:
        """Whether sparse steps have come after the cut of the task that was learned last."""
        return isinstance(self.form, Settled)

    def _settle(self, mask: Mask | None) -> None:
        """From the cut on: nothing that it removed moves any more."""
        assert mask is not None, "only a form that prunes is cut before the end"
        self.form = Settled(self.ranking, self.config, mask)
        for name, momentum in self.momentum().items():
            if name in mask:
                momentum.mul_(mask[name])

    def _step(self, stage: Stage, rows: Tensor, step: int, schedule: Schedule) -> Tensor:
        fresh = stage.examples.take(rows)
        generator = seeds.torch_generator(self.config.seed, "step", stage.task, step) if self._draws else None
        batch = Batch(fresh.inputs, fresh.targets, len(rows))
        if len(self.buffer):
            assert generator is not None
            batch = DRAWS[self.config.buffer.rehearsal](fresh.inputs, fresh.targets, self.buffer, generator)
        if self.config.balance_logits > 0:
            batch = replace(batch, prior=log_prior(self.config, stage, self.buffer, len(rows)))
        if stage.augment is not None:
            assert generator is not None
            batch = replace(batch, inputs=stage.augment(batch.inputs, generator))
        if self.gate.active and not self.gate.asks(step):
            assert generator is not None
            rows, batch = self._at_random(rows, batch, generator)
        lr, momentum = schedule.lr(step), self.config.momentum
        rates = Rates(lr, momentum, pull_rate(lr, momentum))
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.zero_grad(set_to_none=True)
        taught = self._taught(rows, batch)
        densities = self.form.enter(step) if self.sparse_steps is None else self.sparse_steps.densities
        with self._uphill(stage, batch, densities, step):
            with batchnorm.by_batch(self.network, len(batch), moving=not (self.form.elsewhere or self._climbs(step))):
                loss, backward_examples, outputs = self._loss(stage, batch, taught, generator, step)
            loss.backward()
        if self.removal.active:
            self.removal.observe(rows, stage.criterion.correct(outputs[: batch.fresh], fresh.targets))
        self.group.add_up(self.parameters.values())
        if self.freezes_rest and stage.task > 0:
            self._freeze_rest()
        if taught is not None and self.config.scenario == "task":
            spare(self.network.head, stage.past)
        self._update(step, rates)
        self._bill(batch, backward_examples, densities)
        self.ledger.dense_step(len(fresh))
        if self.offers_steps:
            self.buffer.offer(fresh.inputs, fresh.targets, outputs[: batch.fresh] if self._dark else None)
        return loss.detach()

    def _update(self, step: int, rates: Rates) -> None:
        """What a step's gradients do to the weights."""
        if self.sparse_steps is not None:
            self.sparse_steps.update(rates)
            self.optimiser.step()
            if self.anchors is not None:
                self.anchors.pull(self.unmasked, rates.pull)
            return
        self.form.leave(step)
        self.optimiser.step()
        self.form.after(step)
        if self.anchors is not None:
            self.anchors.pull(self.parameters, rates.pull)
            if self.form.survivors_only:
                # An anchor must not bring back what is removed for good.
                self.form.mask.apply_to(self.weights)

    def _choose_steps(self, step: int) -> None:
        """By what is left where the mask stays, enough is gone, and nothing else needs the whole network."""
        wants_whole = self.contrast is not None or self.gate.active or self.config.sdp.radius > 0
        if not self.shrinks or wants_whole or not self.form.stays(step) or not pays(self.form.mask):
            self._whole_again()
        elif self.sparse_steps is None:
            moments = None if self.settled else self.ranking.moments
            self.sparse_steps = SparseSteps(self.network, self.form.mask, self.anchors, self.momentum(), moments)

    def _whole_again(self) -> None:
        """Go on with whole steps, until sparse ones are chosen."""
        if self.sparse_steps is not None:
            self.sparse_steps.give_back()
        self.sparse_steps = None

    def _climbs(self, step: int) -> bool:
        """Whether a step takes its gradient uphill; BatchNorm's running statistics, which are theta's, then stay."""
        return self.config.sdp.radius > 0 and self.form.survivors_only and step % sharpness.EVERY == 0

    def _uphill(
        self, stage: Stage, batch: Batch, densities: Mapping[str, float] | None, step: int
    ) -> AbstractContextManager[None]:
        """Where the gradient of a step is taken: at today's weights, or a little uphill of them."""
        mask = self.form.mask
        if not self._climbs(step):
            return nullcontext()
        part = batch.take(*sharpness.some(batch.fresh, len(batch) - batch.fresh))
        with batchnorm.by_batch(self.network, len(part), moving=False):
            loss_of(self.config, stage, self.group.spread(self.network, part.inputs), part).backward()
        self.group.add_up(self.parameters.values())
        gradients = {name: cast(Tensor, w.grad) * mask[name] for name, w in self.weights.items()}
        self.optimiser.zero_grad(set_to_none=True)
        self.ledger.gradient(len(part), densities, item="other", updated=densities)
        return sharpness.uphill(self.weights, gradients, self.config.sdp.radius)

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

    def _at_random(self, rows: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Fewer of the fresh examples, whose rows they are, and fewer of those that are replayed beside them."""
        fresh, replayed = self.gate.rows_at_random(batch.fresh, len(batch) - batch.fresh, generator)
        return rows[fresh.to(rows.device)], batch.take(fresh, replayed)

    def _freeze_rest(self) -> None:
        for name in self.shared:
            if name not in self.weights:
                self.parameters[name].grad = None

    def _taught(self, rows: Tensor, batch: Batch) -> Tensor | None:
        """What the teacher says (b, c) of the fresh examples of a batch; only these: what is replayed has labels."""
        if self.teacher is None:
            return None
        return self.teacher.of(rows, batch.inputs, self.ledger)

    @property
    def _draws(self) -> bool:
        random = self.gate.active or self.config.augment != "none" or self.contrast is not None
        return random or len(self.buffer) > 0

    def _loss(
        self, stage: Stage, batch: Batch, taught: Tensor | None, generator: torch.Generator | None, step: int
    ) -> tuple[Tensor, int, Tensor]:
        """The loss (), how many examples the backward pass needs, and the outputs (n, c), detached."""
        if self.contrast is not None:
            assert generator is not None
            return self.contrast.loss(stage, batch, generator, self.mask)
        strength = self.config.anchor.distillation
        if not self.gate.asks(step):
            forward = self.forward if self.sparse_steps is None else self.sparse_steps.forward
            outputs = self.group.spread(forward, batch.inputs)
            loss = loss_of(self.config, stage, outputs, batch)
            if taught is not None:
                loss = loss + strength * distillation(outputs[: batch.fresh], taught, stage.past).mean()
            return loss, len(batch), outputs.detach()
        assert generator is not None
        seen, outputs = self.group.spread(partial(with_features, self.network), batch.inputs)
        logits = stage.criterion.logits(shifted(outputs, batch.prior), batch.targets)
        rows, weights = self.gate.choose(logits, batch.targets, seen, step, generator, fresh=batch.fresh)
        losses = per_example(self.config, stage, outputs[rows], batch.targets[rows], rows < batch.fresh, batch.prior)
        if taught is not None:
            moved = outputs.new_zeros(len(batch))
            # A mean over the fresh examples, whatever comes from the buffer beside them.
            moved[: batch.fresh] = distillation(outputs[: batch.fresh], taught, stage.past) * (len(batch) / batch.fresh)
            losses = losses + strength * moved[rows]
        return (weights * losses).mean(), len(rows), outputs.detach()

    @property
    def _dark(self) -> bool:
        return self.config.buffer.rehearsal == "dark"

    def _report(self, stage: Stage, epoch: int, step: int, schedule: Schedule, losses: list[Tensor]) -> Stepped:
        loss, mask = float(torch.stack(losses).mean()), self.form.mask
        self._check("loss", loss, stage, step, schedule)
        # A dense form has no mask, but a cut may await it all the same.
        coming = mask if mask.kept < mask.total else self.survivors() or mask
        doomed_share, densities = removed_share(self.weights, coming), mask.layer_densities()
        self._check("share of the weights to be cut", doomed_share, stage, step, schedule)
        return Stepped(
            task=stage.task,
            epoch=epoch,
            step=step + 1,
            steps=schedule.steps,
            loss=loss,
            learning_rate=schedule.lr(step),
            ramp=schedule.ramp(step) if self.config.method == "esacl" and mask.kept < mask.total else 0.0,
            density=mask.density,
            flips=self.form.flips,
            doomed_share=doomed_share,
            selection_ratio=self.gate.ratio,
            selection_open=self.gate.open,
            layer_density=tuple(densities[name] for name in self.weights),
        )

    def _check(self, what: str, value: float, stage: Stage, step: int, schedule: Schedule) -> None:
        if not math.isfinite(value):
            raise RunFailure(
                f"the {what} became {value} in task {stage.task} at step {step + 1} of {schedule.steps}; "
                f"try a smaller lr than {self.config.lr}"
            )
