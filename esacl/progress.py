"""Progress bars with the time that is left, on stderr, from the stream of events."""

import io
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Self

from tqdm import tqdm

from esacl.config import RunConfig
from esacl.events import Analysing, Evaluated, Event, Loading, RunStarted, Stepped, TaskFinished, TaskStarted

WATCHED = 0.1  # seconds between two drawings on a terminal
LOGGED = 10.0  # and between two lines where the output is kept in a file


class Bar:
    """A tqdm bar that is drawn in place on a terminal, and as a line now and then in a file.

    The time left is reckoned from the mean pace so far, so that it counts the measurements between the steps too.
    `form` is tqdm's `bar_format`, for who knows better.
    """

    def __init__(self, unit: str, form: str | None = None) -> None:
        self._watched = sys.stderr.isatty()
        out = sys.stderr if self._watched else io.StringIO()
        self._bar = tqdm(unit=f" {unit}", smoothing=0, leave=False, file=out, bar_format=form)
        self._drawn = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def set(self, what: str, done: int | None = None, total: int | None = None, remark: str = "") -> None:
        """Say what is under way and how far it is; draws when the last drawing is long enough ago."""
        if done is not None:
            if self._bar.total is None:
                self._bar.reset(total)
                self._bar.initial = done  # what an earlier process did is not this one's pace
            self._bar.total, self._bar.n = total, done
        self._bar.set_description_str(what, refresh=False)
        if remark:
            self._bar.set_postfix_str(remark, refresh=False)
        if time.monotonic() - self._drawn >= (WATCHED if self._watched else LOGGED):
            self.draw()

    def draw(self) -> None:
        """Draw now."""
        self._drawn = time.monotonic()
        if self._watched:
            self._bar.refresh()
        else:
            print(self._bar, file=sys.stderr)

    def load(self, what: str) -> None:
        """Say what is being loaded, where somebody watches."""
        self._bar.set_description_str(f"loading {what}", refresh=False)
        if self._watched:
            self._bar.refresh()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._bar.write(line, file=sys.stderr)


def with_bar(events: Iterable[Event], config: RunConfig) -> Iterator[Event]:
    """Passes the events of a run on, drawing how many of its optimiser steps are done and what is under way."""
    accuracies: dict[int, float] = {}
    with Bar("steps") as bar:
        for event in events:
            match event:
                case Loading(what=what):
                    bar.load(what)
                case RunStarted(left_out=left_out) if left_out:
                    bar.say(_left_out(left_out, event.classes, config.tasks))
                case TaskStarted(task=task, steps=steps):
                    bar.set(f"task {task + 1}/{config.tasks} training", task * steps, config.tasks * steps)
                case Stepped(task=task, step=step, steps=steps):
                    # Tasks differ a little in size, so the end is known exactly only in the last.
                    done, total = task * steps + step, config.tasks * steps
                    remark = f"loss {event.loss:.3g}, kept {event.density:.0%}"
                    bar.set(f"task {task + 1}/{config.tasks} training", done, total, remark)
                case Analysing(task=task):
                    bar.set(f"task {task + 1}/{config.tasks} {event.stage} {event.done}/{event.total}")
                case Evaluated(on=task, accuracy=accuracy):
                    accuracies[task] = accuracy
                case TaskFinished(task=task, density=density):
                    bar.say(_learned(task, config.tasks, accuracies, density))
                    bar.draw()
            yield event


def with_stages(events: Iterable[Event]) -> Iterator[Event]:
    """Passes the events of an analysis on, drawing how far its present stage is."""
    with Bar("parts") as bar:
        for event in events:
            if isinstance(event, Loading):
                bar.load(event.what)
            elif isinstance(event, Analysing):
                bar.set(f"task {event.task + 1} {event.stage}", event.done, event.total)
            yield event


def _left_out(left_out: int, classes: int, tasks: int) -> str:
    there = classes + left_out
    last = f"the last {left_out} of them are" if left_out > 1 else "the last of them is"
    return f"{there} classes do not come out even in {tasks} tasks: {last} in no task"


def _learned(task: int, tasks: int, accuracies: dict[int, float], density: float) -> str:
    seen = [accuracies[t] for t in range(task + 1) if t in accuracies]
    mean = f", accuracy {sum(seen) / len(seen):.1%} on the tasks so far" if seen else ""
    return f"task {task + 1}/{tasks} learned{mean}, {density:.1%} of the weights kept"
