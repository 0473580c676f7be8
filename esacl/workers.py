"""Who works on which run: one process a run, known by a lock that the system drops when the process dies."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from esacl import locks
from esacl.durable import read_json
from esacl.errors import InputError, RunUnreadable
from esacl.tickets import Queue


class Workers:
    """The workers on the runs below `root`. The folders named here must be run folders that exist."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.queue = Queue(root)
        self._held: dict[tuple[str, int], int] = {}  # (run id, thread) -> descriptor of the lock it holds

    @contextlib.contextmanager
    def hold(self, run_id: str) -> Iterator[None]:
        """Be the one that works on a run; within the same thread it may be held again.

        Raises:
            InputError: another process works on it, or the folder cannot be written.
        """
        key = (run_id, threading.get_ident())
        if key in self._held:
            yield
            return
        path = self.root / run_id / "lock"
        try:
            descriptor = locks.take_patiently(path)
        except OSError as error:
            raise InputError(f"{path.parent} cannot be written ({error.strerror}); mend it") from None
        if descriptor is None:
            raise InputError(f"run {run_id} is being worked on; wait for its end, or cancel it")
        self._held[key] = descriptor
        try:
            yield
        finally:
            self._give_back(key)

    def adopt(self, run_id: str, descriptor: int) -> None:
        """Take over the lock that the process which started this one holds on the run."""
        os.set_inheritable(descriptor, False)
        self._held[run_id, threading.get_ident()] = descriptor

    def release(self, run_id: str) -> None:
        """Give back the lock at once, so that nobody waits for this process to tidy up."""
        self._give_back((run_id, threading.get_ident()))

    def _give_back(self, key: tuple[str, int]) -> None:
        descriptor = self._held.pop(key, None)
        if descriptor is not None:
            os.close(descriptor)

    def lend(self, run_id: str) -> int:
        """The descriptor of the lock held on a run, to hand on to a process that adopts it."""
        return self._held[run_id, threading.get_ident()]

    def alive(self, run_id: str) -> bool:
        """Whether a process works on the run, or waits to."""
        return locks.is_held(self.root / run_id / "lock")

    def about(self, run_id: str) -> dict[str, Any]:
        """Who works or worked on it: {"pid", "started", "waiting_for"?}; {} where unknown."""
        try:
            return read_json(self.root / run_id / "worker.json")
        except RunUnreadable:
            return {}

    def position(self, run_id: str) -> int:
        """The place of a waiting run, from 1, among those alive that wait for the same device."""
        return 1 + sum(self.alive(ticket.run_id) for ticket in self.queue.ahead(run_id))

    def is_next(self, run_id: str) -> bool:
        """Whether no run that is alive waits before it for the same device."""
        return not any(self.alive(ticket.run_id) for ticket in self.queue.ahead(run_id))

    def positions(self) -> dict[str, int]:
        """The place of every waiting run that is alive, as `position` tells it of one, with one look at the queue."""
        found: dict[str, int] = {}
        waiting: dict[str, int] = {}
        for ticket in self.queue.tickets():
            if not ticket.working and self.alive(ticket.run_id):
                waiting[ticket.device] = found[ticket.run_id] = waiting.get(ticket.device, 0) + 1
        return found
