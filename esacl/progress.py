"""Progress bars with the time that is left, on stderr, from the stream of events."""

import io
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Never

from tqdm import tqdm

from esacl.config import RunConfig
from esacl.events import Analysing, Evaluated, Event, Loading, Stepped, TaskFinished, TaskStarted

WATCHED = 0.1  # seconds between two drawings on a terminal
LOGGED = 10.0  # and between two lines where the output is kept in a file


def with_bar(events: Iterable[Event], config: RunConfig) -> Iterator[Event]:
    """Passes `events` on, drawing how many of the run's optimiser steps are done and what is under way.

    The time left is reckoned from the mean pace so far, so that it counts the measurements between the steps too.
    On a terminal the bar is drawn in place; in a file it is a line now and then.
    """
    watched = sys.stderr.isatty()
    accuracies: dict[int, float] = {}
    drawn = time.monotonic()
    with tqdm(unit=" steps", smoothing=0, leave=False, file=sys.stderr if watched else io.StringIO()) as bar:
        for event in events:
            due = time.monotonic() - drawn >= (WATCHED if watched else LOGGED)
            match event:
                case TaskStarted() | Stepped():
                    _advance(bar, event, config.tasks)
                case Analysing(task=task, stage=stage, done=done, total=total):
                    bar.set_description_str(f"task {task + 1}/{config.tasks} {stage} {done}/{total} ", refresh=False)
                case Loading(what=what):
                    bar.set_description_str(f"loading {what} ", refresh=False)
                    due = watched
                case Evaluated(on=task, accuracy=accuracy):
                    accuracies[task] = accuracy
                case TaskFinished(task=task, density=density):
                    bar.write(_learned(task, config.tasks, accuracies, density), file=sys.stderr)
                    due = True
            if due:
                drawn = time.monotonic()
                _draw(bar, watched)
            yield event


def _draw(bar: "tqdm[Never]", watched: bool) -> None:
    if watched:
        bar.refresh()
    else:
        print(bar, file=sys.stderr)


def _advance(bar: "tqdm[Never]", event: TaskStarted | Stepped, tasks: int) -> None:
    step = event.step if isinstance(event, Stepped) else 0
    done, total = event.task * event.steps + step, tasks * event.steps
    if bar.total is None:
        bar.reset(total)
        bar.initial = bar.n = done  # a resumed run must not count what an earlier process did as its own pace
    bar.total = total  # tasks differ a little in size, so the end is known exactly only in the last
    bar.n = done
    bar.set_description_str(f"task {event.task + 1}/{tasks} training ", refresh=False)
    if isinstance(event, Stepped):
        bar.set_postfix_str(f"loss {event.loss:.3g}, kept {event.density:.0%}", refresh=False)


def _learned(task: int, tasks: int, accuracies: dict[int, float], density: float) -> str:
    seen = [accuracies[t] for t in range(task + 1) if t in accuracies]
    mean = f", accuracy {sum(seen) / len(seen):.1%} on the tasks so far" if seen else ""
    return f"task {task + 1}/{tasks} learned{mean}, {density:.1%} of the weights kept"
