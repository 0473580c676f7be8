"""Progress bars with the time that is left, on stderr, from the stream of events."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Never

from tqdm import tqdm

from esacl.config import RunConfig
from esacl.events import Analysing, Evaluated, Event, Loading, Stepped, TaskFinished, TaskStarted

WATCHED = 0.1  # seconds between two drawings on a terminal
LOGGED = 10.0  # and where the output is kept in a file


def with_bar(events: Iterable[Event], config: RunConfig) -> Iterator[Event]:
    """Passes `events` on, drawing how many of the run's optimiser steps are done and what is under way.

    The time left is reckoned from the mean pace so far, so that it counts the measurements between the steps too.
    """
    pace = WATCHED if sys.stderr.isatty() else LOGGED
    accuracies: dict[int, float] = {}
    drawn = float("-inf")
    with tqdm(unit=" steps", smoothing=0, mininterval=pace, leave=False, file=sys.stderr, delay=pace) as bar:
        for event in events:
            match event:
                case TaskStarted() | Stepped():
                    _advance(bar, event, config.tasks)
                case Analysing(task=task, stage=stage, done=done, total=total):
                    bar.set_description(f"task {task + 1}/{config.tasks} {stage} {done}/{total}", refresh=False)
                case Loading(what=what):
                    bar.set_description(f"loading {what}", refresh=False)
                case Evaluated(on=task, accuracy=accuracy):
                    accuracies[task] = accuracy
                case TaskFinished(task=task, density=density):
                    bar.write(_learned(task, config.tasks, accuracies, density), file=sys.stderr)
            if time.monotonic() - drawn >= pace:
                bar.refresh()
                drawn = time.monotonic()
            yield event


def _advance(bar: "tqdm[Never]", event: TaskStarted | Stepped, tasks: int) -> None:
    step = event.step if isinstance(event, Stepped) else 0
    done, total = event.task * event.steps + step, tasks * event.steps
    if bar.total is None:
        bar.reset(total)
        bar.initial = bar.n = done  # a resumed run must not count what an earlier process did as its own pace
    bar.total = total  # tasks differ a little in size, so the end is known exactly only in the last
    bar.n = done
    bar.set_description(f"task {event.task + 1}/{tasks} training", refresh=False)
    if isinstance(event, Stepped):
        bar.set_postfix_str(f"loss {event.loss:.3g}, kept {event.density:.0%}", refresh=False)


def _learned(task: int, tasks: int, accuracies: dict[int, float], density: float) -> str:
    seen = [accuracies[t] for t in range(task + 1) if t in accuracies]
    mean = f", accuracy {sum(seen) / len(seen):.1%} on the tasks so far" if seen else ""
    return f"task {task + 1}/{tasks} learned{mean}, {density:.1%} of the weights kept"
