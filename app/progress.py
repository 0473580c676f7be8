"""How far a run is, and how long it will take: from its events and from what was measured beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.language import marked, text
from esacl.config import RunConfig
from esacl.events import (
    Analysing,
    Cancelled,
    Event,
    Failed,
    Loading,
    RunFinished,
    RunStarted,
    Stepped,
    TaskFinished,
    TaskStarted,
)

STAGES = {  # in the order of the run; as it names them -> as the reader reads them
    "selection": marked("choosing instances"),
    "spectrum": marked("measuring curvature"),
    "sparsity": marked("cutting at every level"),
    "landscape": marked("slicing the landscape"),
}
ON_REQUEST = {  # stages that only an analysis after the run has
    "density": marked("measuring the whole spectrum"),
    "comparison": marked("cutting by every ranking"),
    "exact": marked("cutting at one level"),
    "deployment": marked("timing it outside of training"),
}
TRAINING = 0.4  # share of a task's time that training takes, until the first task has told


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    fraction: float  # 0..1
    stage: str
    seconds: float  # so far
    seconds_left: float | None  # None while nothing can be said


def progress(
    config: RunConfig, events: Sequence[Event], measured: Sequence[Mapping[str, Any]], waited: float = 0.0
) -> Progress:
    """Where a run stands after `events`; `waited`: seconds since the last measurement."""
    share = _training_share(events, measured)
    tasks = 1 if config.method == "joint" else config.tasks
    done, trained, looked, stage, measuring = 0, 0.0, 0.0, text("starting"), ""
    for event in events:
        match event:
            case Loading(what=what):
                stage = text("loading %(what)s", what=what)
            case RunStarted():
                stage = text("looking at the untrained network")
            case TaskStarted(task=task):
                trained, looked, measuring = 0.0, 0.0, ""
                stage = text("task %(task)d of %(tasks)d: training", task=task + 1, tasks=config.tasks)
            case Stepped(task=task, step=step, steps=steps, epoch=epoch):
                trained, looked = step / max(1, steps), 1.0 if measuring else 0.0
                stage = text(
                    "task %(task)d of %(tasks)d: training, epoch %(epoch)d of %(epochs)d",
                    task=task + 1,
                    tasks=config.tasks,
                    epoch=epoch + 1,
                    epochs=config.epochs,
                )
            case Analysing(task=task, stage=name, done=part, total=total):
                # The first event of a stage opens it (in old runs it counts stages); the others count its steps.
                inner = part / max(1, total) if name == measuring else 0.0
                measuring, looked = name, _begins(name) + inner / len(STAGES)
                about = {"task": task + 1, "tasks": config.tasks, "stage": text(STAGES.get(name, name))}
                stage = text("task %(task)d of %(tasks)d: %(stage)s", **about)
            case TaskFinished():
                done, trained, looked = done + 1, 0.0, 0.0
            case RunFinished():
                return Progress(1.0, text("finished"), _seconds(measured), 0.0)
    # A task is measured at its cut, which may be in the middle of its training.
    fraction = min(0.999, (done + share * trained + (1 - share) * looked) / max(1, tasks))
    seconds = _seconds(measured) + waited
    working = seconds - _seconds_at(measured, _loading_events(events))  # loading comes once, not with each task
    left = working * (1 - fraction) / fraction if fraction > 0.03 and working > 0.5 else None
    return Progress(fraction, stage, seconds, left)


@dataclass(frozen=True)
class Standing:
    """Where an analysis after the run stands: within its present stage."""

    fraction: float  # 0..1
    stage: str


def analysis_progress(events: Sequence[Event]) -> Standing:
    """Where the last analysis in a run's file of analyses stands."""
    now = Standing(0.0, text("starting"))
    for event in events:
        match event:
            case RunFinished() | Cancelled() | Failed():
                now = Standing(0.0, text("starting"))
            case Loading(what=what):
                now = Standing(0.0, text("loading %(what)s", what=what))
            case Analysing(stage=name, done=done, total=total):
                now = Standing(done / max(1, total), text(STAGES.get(name) or ON_REQUEST.get(name, name)))
    return now


def analysis_left(fraction: float, first: float, seconds: float) -> float | None:
    """Seconds left of a stage that came from `first` to `fraction` in `seconds`; None while nothing can be said."""
    moved = fraction - first
    return seconds * (1 - fraction) / moved if moved > 0.03 and seconds > 0.5 else None


def _begins(stage: str) -> float:
    # What part of a task's measurements lies before this stage.
    return list(STAGES).index(stage) / len(STAGES) if stage in STAGES else 0.0


def _loading_events(events: Sequence[Event]) -> int:
    return next((number for number, event in enumerate(events, 1) if isinstance(event, RunStarted)), 0)


def _training_share(events: Sequence[Event], measured: Sequence[Mapping[str, Any]]) -> float:
    """What part of the first task's time did not go into measuring it."""
    begin = first = last = finish = 0
    for number, event in enumerate(events, 1):
        match event:
            case TaskStarted():
                begin = begin or number
            case Analysing():
                first, last = first or number, number
            case TaskFinished():
                finish = number
                break
    if not finish or not last:
        return TRAINING
    # The last stage lasts until the event after the last one that told of it.
    start, since, until, end = (_seconds_at(measured, number) for number in (begin, first, last + 1, finish))
    return min(0.95, max(0.05, 1 - (until - since) / (end - start))) if end > start else TRAINING


def _seconds_at(measured: Sequence[Mapping[str, Any]], events: int) -> float:
    before = (0.0, 0.0)
    for entry in measured:
        here = (float(entry["events"]), float(entry["seconds"]))
        if here[0] >= events:
            width = here[0] - before[0]
            return before[1] + (here[1] - before[1]) * ((events - before[0]) / width if width else 1.0)
        before = here
    return before[1]


def _seconds(measured: Sequence[Mapping[str, Any]]) -> float:
    return float(measured[-1]["seconds"]) if measured else 0.0
