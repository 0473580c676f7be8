"""The list of a folder's runs, kept between script runs: a run is read again only where its files have changed."""

import os
import threading
import time

from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.records import Status
from esacl.store import RunStore

FILES = ("config.json", "label.json", "done.json")
_TICK = 0.1  # seconds within which a file system may give two changes one time

Stamp = tuple[int, ...]
Known = tuple[str, RunConfig | None, Status, Stamp]  # id; None where it cannot be read; how it stands; of FILES


class Listing:
    """The runs of one store, newest first; safe to share between sessions."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._known: dict[str, tuple[Stamp, Known]] = {}
        self._ids: tuple[str, ...] = ()
        self._seen: tuple[int, float] | None = None  # the root's time of change, and when we looked
        self._lock = threading.Lock()

    def read(self) -> list[Known]:
        """Every run that is there now."""
        with self._lock:
            fresh: dict[str, tuple[Stamp, Known]] = {}
            for run_id in self._run_ids():
                mark = stamp(self._store, run_id, *FILES)
                alive = mark[-1] == -1 and self._store.workers.alive(run_id)  # no end is noted
                before = self._known.get(run_id)
                if before is not None and before[0] == (*mark, alive) and not alive:
                    fresh[run_id] = before
                    continue
                try:
                    fresh[run_id] = (*mark, alive), (run_id, *self._store.look(run_id), mark)
                except InputError:
                    continue  # deleted while the list was read
            self._known = fresh
            return [known for _, known in fresh.values()]

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
