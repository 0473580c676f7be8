"""run(config): the whole story of a run as a stream of events. It never touches a run's folder."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from esacl import analysis, judging, networks
from esacl.billing import cost_so_far
from esacl.config import RunConfig
from esacl.cost import Ledger
from esacl.devices import device_name
from esacl.errors import InputError, RunFailure, is_out_of_memory
from esacl.events import (
    CheckpointReady,
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
from esacl.tasks import Task, TaskStream, task_stream
from esacl.training import Learner


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
        yield from judging.evaluate(learner, stream, after=-1)
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
        yield from judging.evaluate(learner, stream, after=task)
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
    dense_accuracy = judging.accuracy(learner, stage.criterion, judged)
    measured = yield from analysis.measure(_scene(learner, stage, stream, mask))
    assert measured is not None, "there is a mask"
    learner.cut(mask)
    pruned_accuracy = judging.accuracy(learner, stage.criterion, judged)
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
            accuracy=judging.accuracy(learner, stage.criterion, judged),
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


def _placed(learner: Learner, stream: TaskStream, task: int, device: torch.device) -> Stage:
    try:
        return stage_of(learner.config, stream, task, device, joint=learner.joint)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        images = sum(len(t.train) for t in (stream[: task + 1] if learner.joint else stream[task : task + 1]))
        what = f"out of memory on {device} while the {images} images of task {task} are placed there"
        raise RunFailure(f"{what}; take a smaller train_limit or resolution, or another device") from error


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
