"""Stepwise computations as events: so that a consumer sees how far they are and can stop them within a second."""

from collections.abc import Generator, Iterator
from typing import TypeVar

from esacl.events import Analysing, Event, Pulse
from esacl.stepwise import Step, Steps, mapped

Result = TypeVar("Result")

PIECES = 10  # lines that one part of a stage leaves at most


def driven(steps: Steps[Result]) -> Generator[Event, None, Result]:
    """Drive to the end; a `Pulse` after each step."""
    return (yield from mapped(steps, lambda _: (Pulse(),)))


def reported(
    steps: Steps[Result], task: int, stage: str, part: int = 0, parts: int = 1
) -> Generator[Event, None, Result]:
    """Drive to the end; an `Analysing` at each tenth of this part of the stage, a `Pulse` at other steps.

    No tenth is left out, however many a step takes at once: how much a step does may follow from the clock, and equal
    runs are to leave equal lines.
    """
    yield Analysing(task=task, stage=stage, done=part * PIECES, total=parts * PIECES)
    last = 0

    def events(step: Step) -> Iterator[Event]:
        nonlocal last
        piece = min(PIECES - 1, PIECES * step.done // max(1, step.total))
        if piece <= last:
            yield Pulse()
        for passed in range(last + 1, piece + 1):
            yield Analysing(task=task, stage=stage, done=part * PIECES + passed, total=parts * PIECES)
        last = max(last, piece)

    return (yield from mapped(steps, events))
