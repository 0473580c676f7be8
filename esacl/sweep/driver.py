"""The loop of every engine: give each free worker a row, look how those at work stand, until nothing is due."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from esacl.errors import InputError
from esacl.sweep.book import Book

POLL = 0.2  # seconds between two looks


class EngineGone(Exception):
    """What computed is not there any more; one line for the reader."""


@dataclass(frozen=True)
class Ended:
    """How a row ended: `finished`, `failed`, `cancelled`; or `again`: its worker was lost, another is to take it."""

    state: str
    detail: str = ""
    run: str | None = None


class Engine(Protocol):
    """Where rows are computed."""

    def places(self) -> Sequence[str]:
        """The workers that are there now; each computes one row at a time."""

    def work(self, place: str, index: int) -> Iterator[Ended | None]:
        """Compute a row: None while it lasts, then how it ended."""

    def cancel(self, requests: int) -> None:
        """Stop what is at work. Called again and again; `requests`: how often the user has asked."""

    def done(self) -> None:
        """Every row is finished, and what this engine has left elsewhere is not needed any more."""


def drive(book: Book, engine: Engine, requests: Callable[[], int]) -> Iterator[None]:
    """Compute what is due; yields after each look, when `book` says how it stands.

    Raises:
        InputError: something that would stop every run; what was at work is stopped first.
        EngineGone: nobody computes any more.
    """
    at_work: dict[str, tuple[int, Iterator[Ended | None]]] = {}
    try:
        yield from _drive(book, engine, requests, at_work)
    except EngineGone:
        for left, _ in at_work.values():
            book.note(left, state="cancelled")
        raise


def _drive(
    book: Book, engine: Engine, requests: Callable[[], int], at_work: dict[str, tuple[int, Iterator[Ended | None]]]
) -> Iterator[None]:
    waiting = deque(book.due())
    problem: InputError | None = None
    while at_work or (waiting and not problem and not requests()):
        if problem or requests():
            engine.cancel(requests())
        else:
            places = engine.places()
            book.staffed(max(len(places), 1))
            for place in places:
                if waiting and place not in at_work:
                    index = waiting.popleft()
                    book.note(index, state="running", detail="", since=time.time(), seconds=None)
                    at_work[place] = index, engine.work(place, index)
        for place, (index, task) in list(at_work.items()):
            try:
                ended = next(task)
            except InputError as error:
                problem, ended = problem or error, Ended("cancelled")
            if ended is not None:
                del at_work[place]
                _note(book, index, ended)
                if ended.state == "again":
                    waiting.appendleft(index)
        yield
        time.sleep(POLL)
    if problem:
        raise problem
    if all(entry.state == "finished" for entry in book.entries):
        engine.done()


def _note(book: Book, index: int, ended: Ended) -> None:
    entry = book.entries[index]
    book.note(
        index,
        state="waiting" if ended.state == "again" else ended.state,
        detail=ended.detail,
        run=ended.run or entry.run,
        seconds=time.time() - (entry.since or time.time()),
    )
