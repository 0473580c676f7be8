"""An event stream of two tasks with checkpoints, made of numbers instead of training; it can go on from any of them."""

from collections.abc import Callable, Iterator

import numpy as np

from esacl.config import RunConfig
from esacl.events import (
    ArrayRecorded,
    CheckpointReady,
    Evaluated,
    Event,
    Loading,
    RunFinished,
    RunStarted,
    Stepped,
    TaskFinished,
    TaskStarted,
)

TASKS, EPOCHS = 2, 3
CONFIG = RunConfig(tasks=TASKS, epochs=EPOCHS)


class SmallStream:
    """`before(event)` is called just before an event is yielded: to look, to wait, to raise."""

    def __init__(
        self,
        start: CheckpointReady | None = None,
        before: Callable[[Event], None] | None = None,
        config: RunConfig = CONFIG,
    ) -> None:
        self.config = config
        self.closed = False
        self._events = _events(start)
        self._before = before or (lambda event: None)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = next(self._events)
        self._before(event)
        return event

    def close(self) -> None:
        self.closed = True
        self._events.close()


def raising(error: BaseException, at: type) -> Callable[[Event], None]:
    """Raises `error` in place of the first event of a kind."""

    def before(event: Event) -> None:
        if isinstance(event, at):
            raise error

    return before


def step(task: int, epoch: int) -> Stepped:
    return Stepped(
        task=task, epoch=epoch, step=epoch, steps=EPOCHS, loss=1 / (1 + epoch), learning_rate=0.1, ramp=0.5,
        density=0.1, flips=3, doomed_share=0.2, selection_ratio=None, selection_open=False,
    )  # fmt: skip


def _events(start: CheckpointReady | None) -> Iterator[Event]:
    weight = np.zeros(4, np.float32) if start is None else start.tensors["weight"].copy()
    if start is None:
        yield Loading(what="torch")
        yield RunStarted(
            tasks=TASKS, classes=4, network="mlp", parameters=9, prunable=4, device="cpu", device_name="CPU"
        )
        for task in range(TASKS):
            yield _evaluated(-1, task, 0.5)
    else:
        yield Loading(what="torch")
    for task in range(start.task if start else 0, TASKS):
        first = start.epoch if start and start.task == task else 0
        if first == 0:
            yield TaskStarted(
                task=task, class_names=("a", "b"), train_examples=8, evaluation_examples=4, epochs=EPOCHS, steps=EPOCHS
            )
        for epoch in range(first + 1, EPOCHS + 1):
            weight = weight + task + epoch
            yield step(task, epoch)
            yield CheckpointReady(task=task, epoch=epoch, tensors={"weight": weight}, counters={"epoch": epoch})
        yield ArrayRecorded(name=f"weights-t{task}", arrays={"dense/w": weight, "names": np.array(["w", "layer"])})
        for on in range(task + 1):
            yield _evaluated(task, on, 0.9 + 0.05 * on - 0.1 * (task - on))
        yield TaskFinished(task=task, density=0.1)
        yield CheckpointReady(task=task + 1, epoch=0, tensors={"weight": weight}, counters={"epoch": 0})
    yield RunFinished()


def _evaluated(after: int, on: int, accuracy: float) -> Evaluated:
    return Evaluated(after=after, on=on, accuracy=accuracy, loss=0.1, accuracy_task=None, examples=4)
