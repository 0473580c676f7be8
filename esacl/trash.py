"""Deleted runs, kept for a while: deleting is a move within the runs folder, and so is undoing it.

.trash/<nanoseconds since 1970>-<run id>
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esacl.errors import InputError
from esacl.store import RunStore

FOLDER = ".trash"
PURGED = ".purged-"  # how what is being deleted for good is called
KEPT_SECONDS = 7 * 24 * 3600
KEPT_RUNS = 200
_NAME = re.compile(r"(\d{1,20})-([A-Za-z0-9_-]{1,64})")


@dataclass(frozen=True)
class Deleted:
    """A run in the trash."""

    run_id: str
    when: float  # seconds since 1970
    path: Path


def discard(store: RunStore, run_id: str) -> None:
    """Move a run that nobody works on to the trash, and delete for good what has lain there too long.

    Raises:
        InputError: no such run, it is being worked on, or the folder cannot be written.
    """
    folder, trash = store.folder(run_id), store.root / FOLDER
    try:
        with store.workers.hold(run_id):
            _make(trash)
            folder.rename(trash / f"{time.time_ns()}-{run_id}")
    except OSError as error:
        raise InputError(f"run {run_id} cannot be deleted ({error.strerror}); mend {folder}") from None
    with contextlib.suppress(InputError):  # what was asked is done; the next deletion tidies up
        purge(store, older_than=KEPT_SECONDS, most=KEPT_RUNS)


def restore(store: RunStore, run_id: str) -> str:
    """Bring a deleted run back, the last one of that id or unique prefix (`latest`: deleted last); returns its id.

    Raises:
        InputError: it is not in the trash, there is a run of that id again, or the folder cannot be written.
    """
    found = find(store, run_id)
    target = store.root / found.run_id
    try:
        if os.path.lexists(target):
            raise InputError(f"there is a run {found.run_id} again; delete that one first")
        found.path.rename(target)
    except OSError as error:
        raise InputError(f"run {found.run_id} cannot be restored ({error.strerror}); mend {store.root}") from None
    return found.run_id


def deleted(store: RunStore) -> tuple[Deleted, ...]:
    """What is in the trash, deleted last first.

    Raises:
        InputError: it is there and cannot be read.
    """
    found = []
    try:
        for entry in os.scandir(store.root / FOLDER):
            match = _NAME.fullmatch(entry.name)
            if match and entry.is_dir(follow_symlinks=False):
                found.append(Deleted(match[2], int(match[1]) / 1e9, Path(entry.path)))
    except (FileNotFoundError, NotADirectoryError):  # nothing was deleted yet
        pass
    except OSError as error:
        raise InputError(f"{store.root / FOLDER} cannot be read ({error.strerror}); mend it") from None
    return tuple(sorted(found, key=lambda one: (one.when, one.run_id), reverse=True))


def purge(store: RunStore, *, older_than: float = 0.0, most: int = 0) -> int:
    """Delete for good what is in the trash, but the newest `most` of at most `older_than` seconds; returns how many.

    Raises:
        InputError: the folder cannot be written.
    """
    now = time.time()
    return forget(
        store, [one for place, one in enumerate(deleted(store)) if place >= most or now - one.when > older_than]
    )


def forget(store: RunStore, gone: Sequence[Deleted]) -> int:
    """Delete these for good; returns how many.

    Raises:
        InputError: the folder cannot be written.
    """
    trash = store.root / FOLDER
    try:
        for one in gone:  # out of reach first, so that nobody restores half a run
            with contextlib.suppress(FileNotFoundError):  # another tab has just done so
                one.path.rename(trash / f"{PURGED}{one.path.name}")
        for path in trash.glob(f"{PURGED}*"):
            shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{trash} cannot be emptied ({error.strerror}); mend it") from None
    return len(gone)


def find(store: RunStore, text: str) -> Deleted:
    """The run deleted last of that id or unique prefix, or of all (`latest`).

    Raises:
        InputError: it is not in the trash, or the prefix is not unique.
    """
    found = deleted(store)
    if text == "latest" and found:
        return found[0]
    exact = [one for one in found if one.run_id == text]
    matches = exact or [one for one in found if text and one.run_id.startswith(text)]
    if not matches:
        raise InputError(f"no run {text[:80]!r} among the deleted ones of {store.root.absolute()}")
    if len({one.run_id for one in matches}) > 1:
        names = ", ".join(one.run_id for one in matches[:5])
        raise InputError(f"run {text[:80]!r} may be {names}; write more of the id")
    return matches[0]


def _make(trash: Path) -> None:
    trash.mkdir(exist_ok=True)
    if trash.is_symlink():
        raise InputError(f"{trash} is a link; put a folder in its place")
