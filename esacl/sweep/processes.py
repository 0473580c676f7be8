"""The engine that needs nothing: every run in a process of its own on this machine, so many at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from esacl import jobs, processes
from esacl.sweep.book import Book
from esacl.sweep.carry import carry
from esacl.sweep.driver import Ended
from esacl.sweep.gpus import pinned


class Processes:
    """`workers` runs at a time; a GPU each, in turns, where there are several."""

    def __init__(self, book: Book, workers: int, data: Path | None, gpus: Sequence[str] = ()) -> None:
        self._book, self._data, self._gpus = book, data, gpus
        self._places = tuple(str(number) for number in range(workers))
        self._at_work: dict[str, str] = {}  # place -> run id

    def places(self) -> Sequence[str]:
        """Always the same."""
        return self._places

    def work(self, place: str, index: int) -> Iterator[Ended | None]:
        """The row's run, begun or gone on with."""
        store, config = self._book.store, self._book.configs[index]
        run_id = self._book.entries[index].run
        if run_id is None:
            run_id = store.create(config)
            self._book.note(index, run=run_id)  # before it starts: a run that nobody knows of would be made twice
        self._at_work[place] = run_id
        for status in carry(store, run_id, self._data, pinned(config, self._gpus, int(place))):
            if status.live:
                yield None
        del self._at_work[place]
        state = status.state if status.state in ("finished", "cancelled") else "failed"
        yield Ended(state, status.detail, run_id)

    def cancel(self, requests: int) -> None:
        """Ask each run to stop at its next event; who asks twice has them ended where they stand."""
        store = self._book.store
        for run_id in self._at_work.values():
            if store.workers.alive(run_id) and not (store.folder(run_id) / "CANCEL").exists():
                jobs.cancel(store, run_id)
            if requests > 1:
                processes.kill(store, run_id)
        jobs.reap(store)

    def done(self) -> None:
        """Nothing was left anywhere."""
