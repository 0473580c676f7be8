"""What is known of a sweep: which row of its file is which run, and how each stands.

    RUNS/sweeps/NAME/sweep.json   replaced whole at every change
    RUNS/sweeps/NAME/lock         held by the process that works on the sweep
    RUNS/sweeps/NAME/CANCEL       a request to stop
    RUNS/sweeps/NAME/log.txt      what the process has said that was started last to go on with it, not from a terminal

The process that holds the lock writes the record, as a `Book`; everybody may read it, and ask to stop.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esacl import locks
from esacl.durable import read_json
from esacl.errors import InputError, RunUnreadable
from esacl.store import RunStore

FOLDER, FILE, CANCEL, LOG = "sweeps", "sweep.json", "CANCEL", "log.txt"
MOST_BYTES = 16 * 2**20
MOST_WORKERS = 100_000  # that a record may name
FORMAT = 1
REMEDY = "move it away, and the sweep begins anew; its runs stay"  # where the record is damaged
ROW_STATES = ("waiting", "running", "finished", "failed", "cancelled")


@dataclass(frozen=True)
class Entry:
    """How a row of a sweep stands."""

    label: str
    run: str | None = None  # its run's id, once there is one
    state: str = "waiting"  # one of ROW_STATES
    detail: str = ""  # why it failed
    since: float | None = None  # when its present or last attempt began, in seconds since 1970
    seconds: float | None = None  # that the attempt took


@dataclass(frozen=True)
class SweepState:
    """A sweep as a page shows it. A cancelled row waits to be gone on with."""

    name: str
    file: str
    engine: str
    workers: int  # that work, or worked last
    live: bool  # whether a process works on the sweep
    rows: tuple[Entry, ...]
    eta: float | None  # seconds that are left, as the runs so far tell; None before the first is done

    @property
    def done(self) -> int:
        """How many runs are finished."""
        return self._count("finished")

    @property
    def running(self) -> int:
        """How many are being computed."""
        return self._count("running")

    @property
    def failed(self) -> int:
        """How many failed."""
        return self._count("failed")

    @property
    def waiting(self) -> int:
        """How many are still to come, those that were cancelled included."""
        return self._count("waiting") + self._count("cancelled")

    def _count(self, state: str) -> int:
        return sum(row.state == state for row in self.rows)


def sweeps_of(root: Path) -> tuple[Path, ...]:
    """The folders of the sweeps below a runs folder, by name."""
    return tuple(sorted(path.parent for path in (root / FOLDER).glob(f"*/{FILE}")))


def cancel(folder: Path) -> None:
    """Ask whoever works on the sweep in `folder` to stop; its runs can be gone on with.

    Raises:
        OSError: the folder cannot be written.
    """
    (folder / CANCEL).touch()


def worked_on(name: str) -> str:
    """What is said to a second one who wants to work on a sweep."""
    return f"sweep {name} is being worked on by another process; wait for its end, or stop it"


def read_sweep(folder: Path) -> SweepState:
    """How the sweep in RUNS/sweeps/NAME stands, whether or not somebody works on it.

    Raises:
        RunUnreadable: there is no sweep, or its record is damaged.
    """
    content, live = content_of(folder), locks.is_held(folder / "lock")
    rows = [_entry(one) for one in content["rows"]]
    if not live:  # who was to write down how they ended may be gone
        store = RunStore(folder.parent.parent)
        rows = [standing_of(store, row.label, row.run) if row.state == "running" else row for row in rows]
    return state_of(content, rows, live=live)


def time_left(rows: list[Entry], workers: int, now: float) -> float | None:
    """Seconds until all are done: what the mean of the runs so far leaves to do, over those who work; None unknown."""
    took = [row.seconds for row in rows if row.state == "finished" and row.seconds is not None]
    if not took:
        return None
    mean = statistics.fmean(took)
    running = [row for row in rows if row.state == "running"]
    begun = sum(max(0.0, mean - (now - (now if row.since is None else row.since))) for row in running)
    waiting = sum(row.state == "waiting" for row in rows)
    return (waiting * mean + begun) / max(1, min(workers, waiting + len(running)))


def content_of(folder: Path) -> dict[str, Any]:
    """The record in a sweep's folder, of which only the outline is checked.

    Raises:
        RunUnreadable: it is missing or damaged.
    """
    path = folder / FILE
    content = read_json(path, MOST_BYTES, REMEDY)
    rows, others = content.get("rows"), content.get("others", [])
    if content.get("format") != FORMAT or not isinstance(rows, list) or not isinstance(others, list):
        raise RunUnreadable(f"{path} is no record of a sweep that this EsaCL reads; {REMEDY}")
    if not all(isinstance(row, dict) for row in rows):
        raise RunUnreadable(f"{path} is damaged; {REMEDY}")
    return content


def state_of(content: dict[str, Any], rows: list[Entry], *, live: bool) -> SweepState:
    """A sweep with what its record says of it, and its rows."""
    workers = content.get("workers")
    workers = workers if type(workers) is int and 0 < workers <= MOST_WORKERS else 1
    left = time_left(rows, workers, time.time()) if live else None
    name, file, engine = (str(content.get(key) or "") for key in ("sweep", "file", "engine"))
    return SweepState(name, file, engine, workers, live, tuple(rows), left)


def standing_of(store: RunStore, label: str, run_id: str | None) -> Entry:
    """A row as its run's folder says it stands."""
    if run_id is None:
        return Entry(label)
    try:
        status = store.status(run_id)
    except InputError:
        return Entry(label)
    state = "running" if status.live else status.state if status.state in ROW_STATES else "waiting"
    return Entry(label, run_id, state, status.detail if state == "failed" else "")


def _entry(fields: dict[str, Any]) -> Entry:
    run, state, since, seconds = (fields.get(key) for key in ("run", "state", "since", "seconds"))
    return Entry(
        label=str(fields.get("label", "")),
        run=run if isinstance(run, str) else None,
        state=state if state in ROW_STATES else "waiting",
        detail=str(fields.get("detail", "")),
        since=_seconds(since),
        seconds=_seconds(seconds),
    )


def _seconds(told: Any) -> float | None:
    """A time where it is one: whole numbers of a record may be too large for a float."""
    return float(told) if isinstance(told, (int, float)) and abs(told) < 1e15 else None
