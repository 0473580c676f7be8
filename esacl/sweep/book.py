"""The record of a sweep in the hands of the one process that works on it, written at every change."""

import contextlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from esacl import locks
from esacl.config import RunConfig
from esacl.durable import replace_json
from esacl.errors import InputError
from esacl.store import RunStore
from esacl.sweep.record import (
    CANCEL,
    FILE,
    FOLDER,
    FORMAT,
    LOG,
    SweepState,
    content_of,
    read_sweep,
    standing_of,
    state_of,
    worked_on,
)
from esacl.sweep.spec import Sweep
from esacl.sweep.taking_over import runs_by_key, runs_of_others

_TOKEN = re.compile(r"[0-9a-f]{32}")


class Book:
    """The record of a sweep while this process works on it. Made by `opened`."""

    def __init__(
        self, store: RunStore, folder: Path, sweep: Sweep, engine: str, workers: int, asked: Mapping[str, Any]
    ) -> None:
        before = content_of(folder) if (folder / FILE).exists() else {}
        _refuse_another(before, sweep)
        known = runs_by_key(store, before)
        keys = {row.key for row in sweep.rows}
        found = runs_of_others(store, folder, keys - known.keys())
        self.store, self.folder = store, folder
        self.configs: tuple[RunConfig, ...] = tuple(row.config for row in sweep.rows)
        self.entries = [standing_of(store, row.label, (found | known).get(row.key)) for row in sweep.rows]
        self.taken_over: int = len(found)  # runs of other sweeps that are rows of this one
        self._head = {
            "format": FORMAT,
            "sweep": sweep.name,
            "file": str(sweep.path.absolute()),
            "token": before["token"] if _TOKEN.fullmatch(str(before.get("token"))) else uuid.uuid4().hex,
            "engine": engine,
            "workers": workers,
            "asked": dict(asked),  # what another process needs to be told to go on with it
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
        return state_of(self._content(), self.entries, live=True)

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
def opened(
    store: RunStore,
    sweep: Sweep,
    engine: str,
    workers: int,
    asked: Mapping[str, Any] | None = None,
    held: int | None = None,
) -> Iterator[Book]:
    """Be the one that works on a sweep.

    Args:
        store: where its runs are.
        sweep: its file.
        engine: by name.
        workers: that are to work on it.
        asked: the options that it was started with.
        held: the descriptor of its lock, where the process that started this one has taken it.

    Raises:
        InputError: another process does, its record is damaged or of another file of that name, or the runs folder
            cannot be written.
    """
    folder = store.root / FOLDER / sweep.name
    new = [path for path in (folder, *folder.parents[:2]) if not path.exists()]  # innermost first
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = locks.take_patiently(folder / "lock") if held is None else _adopted(folder, held)
    except OSError as error:
        raise InputError(f"{folder.absolute()} cannot be written ({error.strerror}); mend it") from None
    if descriptor is None:
        raise InputError(worked_on(sweep.name))
    try:
        if held is None:  # else a request to stop may have come meanwhile, and the log is this process's
            for name in (CANCEL, LOG):
                (folder / name).unlink(missing_ok=True)
        yield Book(store, folder, sweep, engine, workers, asked or {})
    except InputError:
        if folder in new and not any(row.run for row in read_sweep(folder).rows):
            _undo(new)
        raise
    finally:
        os.close(descriptor)


def _adopted(folder: Path, held: int) -> int:
    """The lock that was taken for this process.

    Raises:
        InputError: it is no open file, or the lock of something else.
    """
    try:
        same = os.path.samestat(os.fstat(held), os.stat(folder / "lock"))
    except OSError:
        same = False
    if not same:
        raise InputError(f"--held-lock {held} is not the lock of {folder}; leave it out")
    os.set_inheritable(held, False)
    return held


def _undo(new: list[Path]) -> None:
    """Leave nothing of a sweep that was refused before any run of it was made."""
    for name in (FILE, "lock"):
        (new[0] / name).unlink(missing_ok=True)
    for path in new:
        with contextlib.suppress(OSError):  # somebody else has come meanwhile
            path.rmdir()


def _refuse_another(before: dict[str, Any], sweep: Sweep) -> None:
    """Two files of one stem are two sweeps; a file that was moved is still the same one."""
    file = Path(str(before.get("file", sweep.path)))
    try:
        same = file.samefile(sweep.path)
    except (OSError, ValueError):  # it is gone, or was never a path
        same = True
    if not same:
        raise InputError(f"the sweep {sweep.name} of this runs folder is {file}; give {sweep.path} another name")
