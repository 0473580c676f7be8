"""What a run's folder says when it is read: its record, its status, its growing list of events."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from esacl import strict_json
from esacl.config import RunConfig
from esacl.durable import open_regular, read_bounded, read_json
from esacl.errors import InputError, RunUnreadable
from esacl.event_lines import from_line
from esacl.events import Event
from esacl.formats import settings_of
from esacl.labels import label_of

MOST_EVENT_BYTES = 512 * 2**20
MOST_LINE_BYTES = 2**20
E = TypeVar("E", bound=Event)
STATES = ("queued", "loading", "running", "finished", "failed", "cancelled", "lost", "unreadable")
LIVE = ("queued", "loading", "running")


@dataclass(frozen=True)
class Status:
    """How a run stands. `position` counts from 1 in the queue of its device, which is that of its runs folder."""

    state: str  # one of STATES
    detail: str = ""  # why it failed, was lost or cannot be read
    position: int | None = None
    elsewhere: bool = False  # it is the first here, and a job of another runs folder has the device

    @property
    def live(self) -> bool:
        """Whether a process is at work on it or waits to be."""
        return self.state in LIVE


@dataclass(frozen=True)
class RunRecord:
    """All that is kept of a run except its arrays and checkpoints."""

    run_id: str
    config: RunConfig
    status: Status
    events: tuple[Event, ...] = ()
    measured: tuple[dict[str, Any], ...] = ()  # {"events", "seconds", "training_seconds", "peak_bytes", ...}, ascending
    machine: dict[str, Any] = field(default_factory=dict)  # {"versions": {...}, "hardware": {...}}


class Tail:
    """Follows a growing file of event lines.

    `events` holds all that was read so far and `poll` returns what is new. Where the file was cut back (a
    resumed run drops what came after its checkpoint), `poll` starts anew: `events` is replaced, `restarts`
    counts up.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self.restarts = 0
        self._offset = 0
        self._last = b""

    def poll(self) -> list[Event]:
        """The events of the whole lines that were written since the last poll.

        Raises:
            RunUnreadable: a line that is no event, named by its number.
        """
        try:
            with open_regular(self.path) as file:
                if self._was_cut(file.fileno()):
                    self.events, self._offset, self._last = [], 0, b""
                    self.restarts += 1
                file.seek(self._offset)
                fresh_bytes = max(0, os.fstat(file.fileno()).st_size - self._offset)
                data = file.read(min(MOST_EVENT_BYTES, fresh_bytes))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunUnreadable(f"{self.path} cannot be read ({error.strerror}); mend it") from None
        whole = data[: data.rfind(b"\n") + 1]
        fresh = parse_lines(whole, self.path, first=len(self.events) + 1)
        if whole:
            self._last = whole[whole.rfind(b"\n", 0, -1) + 1 :]
            self._offset += len(whole)
            self.events += fresh
        return fresh

    def _was_cut(self, descriptor: int) -> bool:
        # The line before our place must still stand there: a file cut and grown again is caught too.
        before = os.pread(descriptor, len(self._last), self._offset - len(self._last))
        return before != self._last


def parse_lines(data: bytes, path: Path, first: int = 1, *, without: tuple[bytes, ...] = ()) -> list[Event]:
    """The events of whole lines, but those that start with one of `without`.

    Raises:
        RunUnreadable: a line that is no event, named by file and number.
    """
    events = []
    for number, line in enumerate(data.splitlines(), first):
        if line.startswith(without):
            continue
        try:
            if len(line) > MOST_LINE_BYTES:
                raise RunUnreadable("too long for an event")
            events.append(from_line(line))
        except RunUnreadable as error:
            raise RunUnreadable(f"{path}, line {number}: {error}; restore it or delete the run") from None
    return events


def read_events(path: Path, *, without: Sequence[type[Event]] = ()) -> tuple[Event, ...]:
    """All events of a file but those of the kinds `without`; none where there is no file.

    A torn last line is left out: it was being written when its process died.

    Raises:
        RunUnreadable: a line that is no event, or a file too large.
    """
    return tuple(parse_lines(_whole_lines(path), path, without=tuple(map(start_of, without))))


def read_events_of(path: Path, kind: type[E]) -> tuple[E, ...]:
    """The events of one kind, as `read_events` and much faster.

    Raises:
        RunUnreadable: a line of this kind that is no event, or a file too large.
    """
    mark = start_of(kind)
    lines = (line for line in _whole_lines(path).splitlines() if line.startswith(mark))
    events = parse_lines(b"\n".join(lines), path)
    return tuple(event for event in events if isinstance(event, kind))


def start_of(kind: type[Any]) -> bytes:
    """How every line of an event of this kind begins."""
    return b'{"event":"%s"' % kind.__name__.encode()


def _whole_lines(path: Path) -> bytes:
    data = read_bounded(path, MOST_EVENT_BYTES) if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def read_config_file(folder: Path) -> RunConfig:
    """The config of a run's folder, under the name that the run has now.

    Raises:
        RunUnreadable: missing, damaged, or of another version.
    """
    path = folder / "config.json"
    fields = settings_of(read_json(path), path)
    try:
        config = RunConfig.from_dict(fields)
    except InputError as error:
        raise RunUnreadable(f"{path}: {error}; the run may come from another version") from None
    name = label_of(folder)
    return config if name is None else config.model_copy(update={"name": name})


def read_measured(path: Path) -> tuple[dict[str, Any], ...]:
    """The lines of measured.jsonl that can be read: an extra, so damage here is passed over."""
    try:
        return tuple(entry for _, entry in measured_lines(path) if entry is not None)
    except RunUnreadable:
        return ()


def check_measured(path: Path) -> None:
    """Read it as strictly as events are; no file is none the worse.

    Raises:
        RunUnreadable: a whole line that nothing can have been measured as, or the file cannot be read.
    """
    for number, (line, entry) in enumerate(measured_lines(path) if path.exists() else (), 1):
        if entry is None and line.endswith(b"\n"):
            raise RunUnreadable(f"{path}, line {number}: nothing that was measured; restore it or delete that line")


def measured_lines(path: Path) -> list[tuple[bytes, dict[str, Any] | None]]:
    """Each line, and what it says was measured; None where it says something else.

    Raises:
        RunUnreadable: the file cannot be read, or is too large.
    """
    return [(line, _measured(line)) for line in read_bounded(path, 64 * 2**20).splitlines(keepends=True)]


def _measured(line: bytes) -> dict[str, Any] | None:
    try:
        entry = strict_json.decode(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not all(is_number(entry.get(key)) for key in ("events", "seconds")):
        return None
    return entry if all(value is None or is_number(value) for value in entry.values()) else None


def is_number(value: Any) -> bool:
    """Whether a measured value can be one: finite, no time before the beginning."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e15
