"""run(config): the whole story of a run as a stream of events. It never touches a run's folder."""

import contextlib
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from esacl import analysis, networks
from esacl.billing import cost_so_far
from esacl.config import RunConfig
from esacl.cost import Ledger
from esacl.criterion import Criterion, criterion
from esacl.devices import device_name
from esacl.errors import InputError, RunFailure, is_out_of_memory
from esacl.events import (
    CheckpointReady,
    Evaluated,
    Event,
    Pruned,
    RunFinished,
    RunStarted,
    StatisticsRefreshed,
    TaskFinished,
    TaskStarted,
)
from esacl.flops import count_layers, count_product
from esacl.group import Group
from esacl.machine import keep_freed_memory
from esacl.mask import Mask
from esacl.methods import METHODS
from esacl.narrowest import too_sparse
from esacl.stages import Stage, stage_of
from esacl.structure import most_sparsity
from esacl.tasks import Examples, Task, TaskStream, task_stream
from esacl.training import Learner

# Numbers of the inputs that are evaluated at once. On a CPU few, so that a layer's activations stay in its cache: 64
# images of 3x32x32 at a time took 0.75 of the time of 512 (small CNN, AMD EPYC, one thread, 1,000 images, n = 1).
EVALUATION_NUMBERS = {"cpu": 64 * 3 * 32 * 32}
EVALUATION_NUMBERS_ELSEWHERE = 2000 * 28 * 28


class EventStream(Iterator[Event]):
    """The events of one run, made as they are asked for; `close()` stops the run where it stands.

    Attributes:
        config: the run's config.
    """

    def __init__(self, config: RunConfig, events: Callable[[], Iterator[Event]]) -> None:
        self.config = config
        self._events = events()

    def __iter__(self) -> "EventStream":
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        """Stop; asking on raises StopIteration."""
        self._events.close()  # type: ignore[attr-defined]


def run(
    config: RunConfig,
    state: CheckpointReady | None = None,
    *,
    data: Path | None = None,
    group: Group | None = None,
) -> EventStream:
    """The events of a run, from its beginning or from a checkpoint.

    Args:
        config: what to compute.
        state: go on from here (`RunStore.checkpoint`).
        data: where the data sets lie; default `$ESACL_DATA`, else the user's cache folder.
        group: the processes that do it together (`distributed.Processes`); default this one alone.

    Raises:
        InputError: while iterating, before `RunStarted`: no such device, a data set missing or damaged.
        RunFailure: while iterating: the loss is no longer finite.
    """
    return EventStream(config, lambda: _events(config, state, data, group or Group()))


def _events(config: RunConfig, state: CheckpointReady | None, data: Path | None, group: Group) -> Iterator[Event]:
    device = group.device(config.device)
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    stream = group.in_turn(lambda: task_stream(config, data))
    network = networks.placed(networks.build(config, stream), config, device)
    group.norms(network)
    learner = learner_of(config, stream, network, device, group)
    _check_units(learner)
    if state is None:
        yield _started(stream, learner, device)
        yield from _evaluate(learner, stream, after=-1)
    elif state.epoch == 0:
        learner.load(state)
    first = state.task if state else 0
    for task in range(first, len(stream)):
        if learner.joint and task < len(stream) - 1:
            continue
        resumed = state if state and state.task == task and state.epoch else None
        stage = _placed(learner, stream, task, device)
        if resumed is None:
            yield _task_started(config, stream[task], stage)
        yield from learner.learn(
            stage, partial(_cut, learner, stage, stream), resumed, partial(_watch, learner, stage, stream)
        )
        if learner.settled:
            yield from analysis.ending(_scene(learner, stage, stream, learner.mask))
        learner.statistics.keep(task)
        learner.consolidate(stage)
        yield from _evaluate(learner, stream, after=task)
        yield cost_so_far(learner, stage)
        yield TaskFinished(task=task, density=_density(learner))
        yield learner.checkpoint(task + 1, 0)
    yield RunFinished()


def _cut(learner: Learner, stage: Stage, stream: TaskStream) -> Iterator[Event]:
    """The one-shot cut, with everything that is measured before and after it; without a cut what is left of that."""
    task, mask = stage.task, learner.survivors()
    if mask is None:
        yield from analysis.measure(_scene(learner, stage, stream, None))
        learner.cut(None)
        return
    judged = [t.evaluation for t in (stream[: task + 1] if learner.joint else stream[task : task + 1])]
    dense_accuracy = _accuracy(learner, stage.criterion, judged)
    measured = yield from analysis.measure(_scene(learner, stage, stream, mask))
    assert measured is not None, "there is a mask"
    learner.cut(mask)
    pruned_accuracy = _accuracy(learner, stage.criterion, judged)
    yield Pruned(
        task=task,
        dense_accuracy=dense_accuracy,
        pruned_accuracy=pruned_accuracy,
        flips=learner.form.total_flips,
        **measured,
    )
    if learner.config.batchnorm.refresh:
        examples = learner.refresh(stage)
        yield StatisticsRefreshed(
            task=task,
            examples=examples,
            accuracy_before=pruned_accuracy,
            accuracy=_accuracy(learner, stage.criterion, judged),
        )


def _watch(learner: Learner, stage: Stage, stream: TaskStream, step: int) -> Iterator[Event]:
    """How sharp the loss is while a task is learned."""
    restricted = learner.form.survivors_only
    # Where only survivors are trained they are those of today's mask, which may be wider than that of the cut.
    mask = learner.form.mask if restricted else learner.survivors()
    try:
        scene = _scene(learner, stage, stream, mask)
    except InputError:  # scores that are not finite: training itself says if its loss is lost
        return
    yield from analysis.during(scene, step, restricted=restricted)


def learner_of(
    config: RunConfig,
    stream: TaskStream,
    network: networks.Network,
    device: torch.device,
    group: Group | None = None,
) -> Learner:
    """Who learns in a run, before it has learned anything; `Learner.load` goes on from a checkpoint."""
    private = networks.private_names(network, config.scenario)
    sample = torch.zeros(2, *stream.input_shape, device=device)  # all that counts is its shape
    ledger = Ledger(count_layers(network, sample), count_product(network, sample))
    return METHODS[config.method](
        config,
        network=network,
        prunable=networks.prunable_in(config, network),
        shared=tuple(name for name, _ in network.named_parameters() if name not in private),
        ledger=ledger,
        group=group or Group(),
    )


def _check_units(learner: Learner) -> None:
    """Raises InputError where whole units do not come to the sparsity, which not every config tells by itself."""
    config = learner.config
    if config.pruning.allocation == "neuron" and config.sparsity > 0:
        most = most_sparsity(learner.weights, learner.ranking.units)
        if problem := too_sparse(config.sparsity, most):
            raise InputError(problem)


def _scene(learner: Learner, stage: Stage, stream: TaskStream, mask: Mask | None) -> analysis.Scene:
    return analysis.scene(
        learner.config,
        stage.task,
        network=learner.network,
        criterion=stage.criterion,
        ledger=learner.ledger,
        saliency=learner.form.saliency(),
        curvature=learner.ranking.curvature(),
        mask=mask,
        train=stage.examples,
        stream=stream,
        statistics=learner.statistics,
    )


def _evaluate(learner: Learner, stream: TaskStream, after: int) -> Iterator[Event]:
    """Every task seen so far; in domain-IL and before training every task, for the forward transfer."""
    config, device = learner.config, next(learner.network.parameters()).device
    count = after + 1 if after >= 0 and config.scenario != "domain" else len(stream)
    seen = [t.classes for t in stream[: after + 1]] or [t.classes for t in stream]
    loss = criterion(config.scenario, seen, stream.outputs, device)
    known = criterion("task", [t.classes for t in stream], stream.outputs, device)
    for task in stream[:count]:
        alone = learner.form.known(task.index) if task.index <= after else contextlib.nullcontext()
        with alone, learner.statistics.of(task.index):
            outputs, targets = _outputs(learner, task.evaluation, device)
        value = loss.mean(outputs, targets)
        if not math.isfinite(value):
            raise RunFailure(
                f"the loss on task {task.index} is {value} after task {after}; try a smaller lr than {config.lr}"
            )
        yield Evaluated(
            after=after,
            on=task.index,
            accuracy=_mean(loss.correct(outputs, targets)),
            loss=value,
            accuracy_task=_mean(known.correct(outputs, targets)) if config.scenario == "class" else None,
            examples=len(targets),
        )


@torch.no_grad()
def _outputs(learner: Learner, examples: Examples, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = EVALUATION_NUMBERS.get(device.type, EVALUATION_NUMBERS_ELSEWHERE)
    size = max(1, numbers // max(28 * 28, examples.inputs[0].numel()))

    def outputs(inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([learner.network(part) for part in inputs.split(size)])

    try:
        there = examples.to(device)
        return learner.group.spread(outputs, there.inputs), there.targets
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        # Its batches are of a size of their own, which none of the settings that training is told to lower changes.
        what = f"out of memory on {device} while {len(examples)} images are judged, where batch_size does not matter"
        raise RunFailure(f"{what}; take another device, or a smaller network or resolution") from error


def _placed(learner: Learner, stream: TaskStream, task: int, device: torch.device) -> Stage:
    try:
        return stage_of(learner.config, stream, task, device, joint=learner.joint)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        images = sum(len(t.train) for t in (stream[: task + 1] if learner.joint else stream[task : task + 1]))
        what = f"out of memory on {device} while the {images} images of task {task} are placed there"
        raise RunFailure(f"{what}; take a smaller train_limit or resolution, or another device") from error


def _accuracy(learner: Learner, loss: Criterion, judged: list[Examples]) -> float:
    device = next(learner.network.parameters()).device
    found = [_outputs(learner, examples, device) for examples in judged]
    return _mean(torch.cat([loss.correct(outputs, targets) for outputs, targets in found]))


def _mean(hits: torch.Tensor) -> float:
    return float(hits.cpu().double().mean())


def _started(stream: TaskStream, learner: Learner, device: torch.device) -> RunStarted:
    return RunStarted(
        tasks=len(stream),
        classes=len(stream.class_names),
        network=learner.config.network,
        parameters=sum(p.numel() for p in learner.network.parameters()),
        prunable=sum(w.numel() for w in learner.weights.values()),
        device=str(device),
        device_name=device_name(device),
        shared=sum(learner.parameters[name].numel() for name in learner.shared),
        left_out=stream.left_out,
    )


def _task_started(config: RunConfig, task: Task, stage: Stage) -> TaskStarted:
    return TaskStarted(
        task=task.index,
        class_names=task.class_names,
        train_examples=len(stage.examples),
        evaluation_examples=len(task.evaluation),
        epochs=config.epochs,
        steps=config.epochs * -(-len(stage.examples) // config.batch_size),
    )


def _density(learner: Learner) -> float:
    alive = sum(int((w != 0).sum()) for w in learner.weights.values())
    return alive / sum(w.numel() for w in learner.weights.values())
