"""The list of a folder's runs, kept between script runs: a run is read again only where its files have changed."""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.records import Status
from esacl.store import RunStore

NAMED = ("config.json", "label.json")  # what a run was told, and what it is called
DONE = "done.json"
_TICK = 0.1  # seconds within which a file system may give two changes one time

Stamp = tuple[int, ...]
Known = tuple[str, RunConfig | None, Status, Stamp]  # id; None where it cannot be read; how it stands; of its files


@dataclass(frozen=True)
class _Read:
    """What was read of a run, and of what: its config and name, its end, and whether it was alive."""

    named: Stamp
    ended: Stamp
    alive: bool
    known: Known


class Listing:
    """The runs of one store, newest first; safe to share between sessions."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._read: dict[str, _Read] = {}
        self._ids: tuple[str, ...] = ()
        self._seen: tuple[int, float] | None = None  # the root's time of change, and when we looked
        self._lock = threading.Lock()

    def read(self) -> list[Known]:
        """Every run that is there now."""
        with self._lock:
            fresh: dict[str, _Read] = {}
            positions = functools.cache(self._store.workers.positions)  # asked for once, and only where one waits
            for run_id in self._run_ids():
                with contextlib.suppress(InputError):  # deleted while the list was read
                    fresh[run_id] = self._look(run_id, positions)
            self._read = fresh
            return [one.known for one in fresh.values()]

    def _look(self, run_id: str, positions: Callable[[], Mapping[str, int]]) -> _Read:
        named, ended = stamp(self._store, run_id, *NAMED), stamp(self._store, run_id, DONE)
        alive = ended == (-1,) and self._store.workers.alive(run_id)  # no end is noted
        before, mark = self._read.get(run_id), (*named, *ended)
        if before is not None and before.named == named and (config := before.known[1]) is not None:
            if before.ended == ended and not (alive or before.alive):
                return before
            # Of a run that waits or works only this changes; its config is the one that every visitor has.
            status = self._store.standing(run_id, positions() if alive else None)
        else:
            config, status = self._store.config_and_status(run_id)
        return _Read(named, ended, alive, (run_id, config, status, mark))

    def _run_ids(self) -> tuple[str, ...]:
        try:
            changed = os.stat(self._store.root).st_mtime_ns
        except OSError:
            return ()
        now = time.time()
        if self._seen is None or self._seen[0] != changed or self._seen[1] - changed / 1e9 < _TICK:
            self._ids = self._store.ids()
            self._seen = (changed, now)
        return self._ids


def stamp(store: RunStore, run_id: str, *names: str) -> Stamp:
    """What tells whether these files of a run have changed."""
    marks: list[int] = []
    folder = os.path.join(store.root, run_id)
    for name in names:
        try:
            facts = os.stat(f"{folder}{os.sep}{name}")
            marks += [facts.st_mtime_ns, facts.st_size]
        except OSError:
            marks.append(-1)
    return tuple(marks)
