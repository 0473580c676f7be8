"""Long computations as generators: one `Step` after each piece of work, the result at the end.

A generator can be left between two steps, so whoever drives it can show how far it is, and can stop it.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")
Out = TypeVar("Out")


@dataclass(frozen=True)
class Step:
    """How far a computation is, in pieces of about the same size (products, points of a grid)."""

    done: int
    total: int  # where the end depends on what is found: the most it can be


Steps = Generator[Step, None, Result]


def finish(steps: Steps[Result]) -> Result:
    """Drive a stepwise computation to its end; its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def mapped(steps: Steps[Result], each: Callable[[Step], Iterable[Out]]) -> Generator[Out, None, Result]:
    """The same computation with other things to yield: what `each` makes of each step, none or several."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        yield from each(step)
