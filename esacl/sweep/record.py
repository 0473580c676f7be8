"""What is known of a sweep: which row of its file is which run, and how each stands.

    RUNS/sweeps/NAME/sweep.json   replaced whole at every change
    RUNS/sweeps/NAME/lock         held by the process that works on the sweep
    RUNS/sweeps/NAME/CANCEL       a request to stop

Rows know their runs by what these compute, so a sweep whose file got more rows goes on with those that are new, and one
whose file got another name finds what was done under the old one. A run that no sweep made belongs to none: who starts
one config twice has two runs.
"""

import contextlib
import os
import re
import statistics
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from esacl import locks
from esacl.config import RunConfig
from esacl.durable import read_json, replace_json
from esacl.errors import InputError, RunUnreadable
from esacl.store import RunStore
from esacl.sweep.spec import Sweep

FOLDER, FILE, CANCEL = "sweeps", "sweep.json", "CANCEL"
MOST_BYTES = 16 * 2**20
MOST_WORKERS = 100_000  # that a record may name
FORMAT = 1
ROW_STATES = ("waiting", "running", "finished", "failed", "cancelled")
_TOKEN = re.compile(r"[0-9a-f]{32}")


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


class Book:
    """The record of a sweep while this process works on it. Made by `opened`."""

    def __init__(self, store: RunStore, folder: Path, sweep: Sweep, engine: str, workers: int) -> None:
        before = _content(folder) if (folder / FILE).exists() else {}
        _refuse_another(before, sweep)
        known = _runs_by_key(store, before)
        keys = {row.key for row in sweep.rows}
        found = _runs_of_others(store, folder, keys - known.keys())
        self.store, self.folder = store, folder
        self.configs: tuple[RunConfig, ...] = tuple(row.config for row in sweep.rows)
        self.entries = [_standing(store, row.label, (found | known).get(row.key)) for row in sweep.rows]
        self.taken_over: int = len(found)  # runs of other sweeps that are rows of this one
        self._head = {
            "format": FORMAT,
            "sweep": sweep.name,
            "file": str(sweep.path.absolute()),
            "token": before["token"] if _TOKEN.fullmatch(str(before.get("token"))) else uuid.uuid4().hex,
            "engine": engine,
            "workers": workers,
            "others": [run_id for key, run_id in known.items() if key not in keys],  # of rows the file has no more
        }
        self._save()

    @property
    def token(self) -> str:
        """What no other sweep is called, on whatever machine: 32 hex digits."""
        return str(self._head["token"])

    def due(self) -> list[int]:
        """The rows that are not finished; first those that somebody is at work on, then those begun, then the rest."""
        found = [index for index, entry in enumerate(self.entries) if entry.state != "finished"]
        return sorted(found, key=self._how_far)

    def note(self, index: int, **changes: Any) -> None:
        """Write down what has changed about a row, before anything is done that rests on it.

        Raises:
            InputError: the record cannot be written.
        """
        self.entries[index] = replace(self.entries[index], **changes)
        self._save()

    def staffed(self, workers: int) -> None:
        """Write down how many work on it now."""
        if self._head["workers"] != workers:
            self._head["workers"] = workers
            self._save()

    def state(self) -> SweepState:
        """How the sweep stands."""
        return _state(self._content(), self.entries, live=True)

    def cancelled(self) -> bool:
        """Whether somebody has asked to stop."""
        return (self.folder / CANCEL).exists()

    def _how_far(self, index: int) -> int:
        run_id = self.entries[index].run
        return 2 if run_id is None else 0 if self.store.workers.alive(run_id) else 1

    def _content(self) -> dict[str, Any]:
        return {**self._head, "rows": [asdict(entry) for entry in self.entries]}

    def _save(self) -> None:
        try:
            replace_json(self.folder / FILE, self._content())
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written ({error.strerror}); make room or mend it") from None


@contextlib.contextmanager
def opened(store: RunStore, sweep: Sweep, engine: str, workers: int) -> Iterator[Book]:
    """Be the one that works on a sweep.

    Raises:
        InputError: another process does, its record is damaged or of another file of that name, or the runs folder
            cannot be written.
    """
    folder = store.root / FOLDER / sweep.name
    new = [path for path in (folder, *folder.parents[:2]) if not path.exists()]  # innermost first
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = locks.take_patiently(folder / "lock")
    except OSError as error:
        raise InputError(f"{folder.absolute()} cannot be written ({error.strerror}); mend it") from None
    if descriptor is None:
        raise InputError(f"sweep {sweep.name} is being worked on by another process; wait for its end, or stop it")
    try:
        (folder / CANCEL).unlink(missing_ok=True)
        yield Book(store, folder, sweep, engine, workers)
    except InputError:
        if folder in new and not any(row.run for row in read_sweep(folder).rows):
            _undo(new)
        raise
    finally:
        os.close(descriptor)


def sweeps_of(root: Path) -> tuple[Path, ...]:
    """The folders of the sweeps below a runs folder, by name."""
    return tuple(sorted(path.parent for path in (root / FOLDER).glob(f"*/{FILE}")))


def cancel(folder: Path) -> None:
    """Ask whoever works on the sweep in `folder` to stop; its runs can be gone on with.

    Raises:
        OSError: the folder cannot be written.
    """
    (folder / CANCEL).touch()


def read_sweep(folder: Path) -> SweepState:
    """How the sweep in RUNS/sweeps/NAME stands, whether or not somebody works on it.

    Raises:
        RunUnreadable: there is no sweep, or its record is damaged.
    """
    content, live = _content(folder), locks.is_held(folder / "lock")
    rows = [_entry(one) for one in content["rows"]]
    if not live:  # who was to write down how they ended may be gone
        store = RunStore(folder.parent.parent)
        rows = [_standing(store, row.label, row.run) if row.state == "running" else row for row in rows]
    return _state(content, rows, live=live)


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


def _undo(new: list[Path]) -> None:
    """Leave nothing of a sweep that was refused before any run of it was made."""
    for name in (FILE, "lock"):
        (new[0] / name).unlink(missing_ok=True)
    for path in new:
        with contextlib.suppress(OSError):  # somebody else has come meanwhile
            path.rmdir()


def _state(content: dict[str, Any], rows: list[Entry], *, live: bool) -> SweepState:
    workers = content.get("workers")
    workers = workers if type(workers) is int and 0 < workers <= MOST_WORKERS else 1
    left = time_left(rows, workers, time.time()) if live else None
    name, file, engine = (str(content.get(key) or "") for key in ("sweep", "file", "engine"))
    return SweepState(name, file, engine, workers, live, tuple(rows), left)


def _content(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    content = read_json(path, MOST_BYTES)
    rows, others = content.get("rows"), content.get("others", [])
    if content.get("format") != FORMAT or not isinstance(rows, list) or not isinstance(others, list):
        raise RunUnreadable(f"{path} is no record of a sweep that this EsaCL reads; move it away to begin anew")
    if not all(isinstance(row, dict) for row in rows):
        raise RunUnreadable(f"{path} is damaged; move it away to begin anew")
    return content


def _refuse_another(before: dict[str, Any], sweep: Sweep) -> None:
    """Two files of one stem are two sweeps; a file that was moved is still the same one."""
    file = Path(str(before.get("file", sweep.path)))
    try:
        same = file.samefile(sweep.path)
    except (OSError, ValueError):  # it is gone, or was never a path
        same = True
    if not same:
        raise InputError(f"the sweep {sweep.name} of this runs folder is {file}; give {sweep.path} another name")


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


def _runs_by_key(store: RunStore, content: dict[str, Any]) -> dict[str, str]:
    """The runs of a record that are still there, by what they compute: read from their own configs."""
    ids = [row.get("run") for row in content.get("rows", [])] + content.get("others", [])
    found: dict[str, str] = {}
    for run_id in ids:
        with contextlib.suppress(InputError):  # deleted, or damaged: it is to be computed again
            found[store.config(str(run_id)).digest] = str(run_id)
    return found


def _runs_of_others(store: RunStore, own: Path, keys: set[str]) -> dict[str, str]:
    """Runs of other sweeps of this folder that compute what is asked for by `keys`.

    Of a sweep whose file is still there only what is finished: the rest is that sweep's to go on with. Of one whose
    file is gone, as after a renaming, all that no other sweep has taken over meanwhile.
    """
    claimed: set[str] = set()
    begun: dict[str, str] = {}
    finished: dict[str, str] = {}
    for folder in sweeps_of(store.root) if keys else ():
        with contextlib.suppress(InputError, OSError, ValueError):  # damaged, or no path: not this sweep's to tell
            content = _content(folder) if folder != own else {}
            runs, gone = _runs_by_key(store, content), _is_gone(folder, content)
            if not gone:
                claimed |= set(runs.values())
            for key in runs.keys() & keys:
                if store.status(runs[key]).state == "finished":
                    finished.setdefault(key, runs[key])
                elif gone:
                    begun.setdefault(key, runs[key])
    return {key: run_id for key, run_id in begun.items() if run_id not in claimed} | finished


def _is_gone(folder: Path, content: dict[str, Any]) -> bool:
    """Whether nobody can go on with a sweep under its own name: its file is no more, and no process works on it."""
    file = content.get("file")
    return isinstance(file, str) and not Path(file).exists() and not locks.is_held(folder / "lock")


def _standing(store: RunStore, label: str, run_id: str | None) -> Entry:
    """A row as its run's folder says it stands."""
    if run_id is None:
        return Entry(label)
    try:
        status = store.status(run_id)
    except InputError:
        return Entry(label)
    state = "running" if status.live else status.state if status.state in ROW_STATES else "waiting"
    return Entry(label, run_id, state, status.detail if state == "failed" else "")
