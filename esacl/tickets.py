"""The queue: a ticket for every job that is owed, whose name says where it stands and whose content how to start it.

A ticket is drawn before its process exists and torn up after its end is noted, so that whatever dies, what is owed
stays written down. Whose turn it is depends on the names alone: analyses before runs, then first come, first served.
"""

import contextlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esacl.durable import read_json, replace_json
from esacl.errors import RunUnreadable

ANALYSIS, RUN = 0, 1  # what is short goes first
_NAME = re.compile(r"([a-z0-9]{1,32})\.(\d)\.(\d{20})\.(waiting|working)\.([A-Za-z0-9_-]{1,64})\.json")


@dataclass(frozen=True, order=True)
class Ticket:
    """A place in the queue of a device; they compare as they are served."""

    priority: int
    number: int
    run_id: str
    device: str
    working: bool
    path: Path


class Queue:
    """The tickets below the runs folder `root`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / ".queue"

    def draw(self, run_id: str, device: str, priority: int, content: dict[str, Any]) -> Ticket:
        """A ticket at the end of its queue; an older one of the same run is torn up.

        Raises:
            OSError: it cannot be written.
        """
        with self.drawn(run_id, device, priority, content) as ticket:
            return ticket

    @contextlib.contextmanager
    def drawn(self, run_id: str, device: str, priority: int, content: dict[str, Any]) -> Iterator[Ticket]:
        """As `draw`; but if the body of the `with` raises, the run has again what it had before, an older one or none.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        before = self._files()
        # A clock that was set back must not put the newcomer first.
        number = max([time.time_ns(), *(ticket.number + 1 for ticket in before)])
        ticket = self._at(run_id, plain(device), priority, number, working=False)
        replace_json(ticket.path, content)
        # The older one stays where it is, and counts no more: whoever dies in here leaves nothing half done.
        try:
            yield ticket
        except BaseException:
            _delete(one for one in self._files() if (one.run_id, one.number) == (run_id, number))
            raise
        _delete(one for one in before if one.run_id == run_id)

    def tickets(self) -> list[Ticket]:
        """All of them, as they are served. Of two of one run only that which was drawn last counts."""
        last: dict[str, Ticket] = {}
        for one in sorted(self._files(), key=lambda ticket: ticket.number):
            last[one.run_id] = one
        return sorted(last.values())

    def _files(self) -> list[Ticket]:
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = [path.name for path in self.folder.iterdir()]
        found = (_NAME.fullmatch(name) for name in names)
        return [Ticket(int(m[2]), int(m[3]), m[5], m[1], m[4] == "working", self.folder / m[0]) for m in found if m]

    def strange(self) -> list[Path]:
        """What lies among the tickets and is none.

        Raises:
            OSError: the folder cannot be read.
        """
        paths = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return [path for path in paths if not _NAME.fullmatch(path.name)]

    def of(self, run_id: str) -> Ticket | None:
        """The run's ticket, if it has one."""
        return next((ticket for ticket in self.tickets() if ticket.run_id == run_id), None)

    def content(self, ticket: Ticket) -> dict[str, Any]:
        """What the ticket says; {} where it cannot be read."""
        try:
            return read_json(ticket.path)
        except RunUnreadable:
            return {}

    def ahead(self, run_id: str) -> list[Ticket]:
        """The tickets that wait for the same device and are served before the run's."""
        tickets = self.tickets()
        mine = next((ticket for ticket in tickets if ticket.run_id == run_id), None)
        if mine is None:
            return []
        return [one for one in tickets if one.device == mine.device and not one.working and one < mine]

    def begin(self, run_id: str) -> None:
        """Note that the run's turn has come."""
        self._rename(run_id, working=True)

    def put_back(self, ticket: Ticket, content: dict[str, Any]) -> None:
        """Let a job whose process died wait again, at its old place.

        Raises:
            OSError: the ticket cannot be written.
        """
        replace_json(ticket.path, content)
        self._rename(ticket.run_id, working=False)

    def tear_up(self, run_id: str) -> None:
        """Nothing is owed to the run any more."""
        _delete(one for one in self._files() if one.run_id == run_id)

    def _rename(self, run_id: str, *, working: bool) -> None:
        ticket = self.of(run_id)
        if ticket is not None and ticket.working != working:
            new = self._at(run_id, ticket.device, ticket.priority, ticket.number, working=working)
            with contextlib.suppress(FileNotFoundError):
                ticket.path.rename(new.path)

    def _at(self, run_id: str, device: str, priority: int, number: int, *, working: bool) -> Ticket:
        state = "working" if working else "waiting"
        path = self.folder / f"{device}.{priority}.{number:020d}.{state}.{run_id}.json"
        return Ticket(priority, number, run_id, device, working, path)


def _delete(tickets: Iterable[Ticket]) -> None:
    for ticket in sorted(tickets, key=lambda one: one.number):  # an older one must not be left to count again
        with contextlib.suppress(OSError):
            ticket.path.unlink(missing_ok=True)


def plain(device: str) -> str:
    """The device's name where it can be part of a file's name, whatever a config calls a device."""
    return re.sub(r"[^a-z0-9]", "", device.lower())[:32] or "other"
