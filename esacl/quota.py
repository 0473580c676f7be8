"""What one person may have on a server that many share: jobs at a time, and bytes of runs; no limit until one is set.

The environment of the server sets both: `ESACL_USER_JOBS=2`, `ESACL_USER_BYTES=5GB`. Whom a run belongs to lies in its
folder; what nobody has signed for, because nobody had to log in, counts together. Deleted runs stay while there is room
for them: whoever comes to the limit with them loses those that were deleted first.
"""

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from esacl import locks, trash
from esacl.durable import read_json, replace_json
from esacl.errors import InputError, RunUnreadable
from esacl.printing import size
from esacl.store import RunStore

JOBS, BYTES = "ESACL_USER_JOBS", "ESACL_USER_BYTES"
OWNER, LOCK = "owner.json", ".quota-lock"
_MOST_OWNER = 200  # letters that are noted and compared
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE = re.compile(r"(\d{1,15})\s*([kmgt]b)?", re.IGNORECASE)


@dataclass(frozen=True)
class Quota:
    """The limits of one person; None is none."""

    jobs: int | None = None
    bytes: int | None = None


def quota(environment: Mapping[str, str] | None = None) -> Quota:
    """What the environment says.

    Raises:
        InputError: a value that is none.
    """
    given = os.environ if environment is None else environment
    jobs, room = given.get(JOBS, ""), given.get(BYTES, "")
    if jobs and not re.fullmatch(r"[1-9]\d{0,5}", jobs):
        raise InputError(f"{JOBS}={jobs!r:.40} is no number of jobs; give a whole number from 1 on")
    if room and not _SIZE.fullmatch(room):
        raise InputError(f"{BYTES}={room!r:.40} is no size; give bytes, or a whole number with kB, MB, GB or TB")
    found = _SIZE.fullmatch(room)
    return Quota(int(jobs) if jobs else None, int(found[1]) * _UNITS[(found[2] or "").lower()] if found else None)


def check(store: RunStore, owner: str, *, job: bool = True) -> None:
    """Whether somebody may have one more: a job, or only its bytes.

    Raises:
        InputError: a limit is reached, or one is malformed.
    """
    limits = quota()
    if job and limits.jobs is not None and (at_work := jobs_of(store, owner)) >= limits.jobs:
        raise InputError(
            f"{at_work} of your jobs are at work or wait, and this server allows {limits.jobs}; "
            "wait until one has ended, or cancel one"
        )
    if limits.bytes is not None and (held := bytes_of(store, owner)) >= limits.bytes:
        raise InputError(
            f"your runs take {size(held)}, and this server allows {size(limits.bytes)}; delete some on the Runs page"
        )


def room(store: RunStore, owner: str, most: int) -> int:
    """The bytes that somebody may still take in at once, `most` at the most.

    Raises:
        InputError: the limit is malformed.
    """
    limit = quota().bytes
    return most if limit is None else max(0, min(most, limit - bytes_of(store, owner)))


def make_room(store: RunStore, owner: str) -> None:
    """Delete for good what somebody had deleted first, where it and their runs take more than they may.

    It is called once what needed the room is there, so that nothing is lost for what came to nothing.
    """
    limit = quota().bytes
    if limit is None:
        return
    room, gone = limit - bytes_of(store, owner), []
    for one in trash.deleted(store):  # deleted last first
        if _signed(one.path) == _noted(owner):
            room -= _size(one.path)
            gone += [one] if room < 0 else []
    if gone:
        trash.forget(store, gone)


def restore(store: RunStore, run_id: str) -> str:
    """Bring a deleted run back (`trash.restore`) where its owner has room for it; returns its id.

    Raises:
        InputError: the limit would be passed, or what `trash.restore` says.
    """
    limit = quota().bytes
    if limit is None:
        return trash.restore(store, run_id)
    try:
        with locks.one_at_a_time(store.root / LOCK):  # two that are brought back at once have to fit together
            return _restore_within(store, trash.find(store, run_id), limit)
    except OSError as error:
        raise InputError(f"run {run_id} cannot be restored ({error.strerror}); mend {store.root}") from None


def _restore_within(store: RunStore, found: trash.Deleted, limit: int) -> str:
    owner, more = _signed(found.path), _size(found.path)
    if (held := bytes_of(store, owner)) + more > limit:
        raise InputError(
            f"run {found.run_id} takes {size(more)} beside the {size(held)} of its owner's other runs, "
            f"and this server allows {size(limit)}; delete some on the Runs page"
        )
    return trash.restore(store, found.run_id)


def claim(store: RunStore, run_id: str, owner: str) -> None:
    """Note whose run it is.

    Raises:
        OSError: it cannot be written.
    """
    if owner:
        replace_json(store.folder(run_id) / OWNER, {"owner": _noted(owner)})


def owner_of(store: RunStore, run_id: str) -> str:
    """Whose run it is; nothing where nobody has signed for it."""
    try:
        return _signed(store.folder(run_id))
    except InputError:
        return ""


def _noted(owner: str) -> str:
    """Somebody's name as a run has it, to which it is compared: a login may be of any length."""
    return owner[:_MOST_OWNER]


def _signed(folder: Path) -> str:
    try:
        return str(read_json(folder / OWNER).get("owner", ""))
    except RunUnreadable:
        return ""


def jobs_of(store: RunStore, owner: str) -> int:
    """How many jobs that somebody asked for are at work or wait."""
    queue = store.workers.queue
    return sum(
        _noted(str(queue.content(ticket).get("owner", ""))) == _noted(owner) and store.workers.alive(ticket.run_id)
        for ticket in queue.tickets()
    )


def bytes_of(store: RunStore, owner: str) -> int:
    """What somebody's runs take on the disk, but for deleted ones."""
    return sum(_size(store.folder(run_id)) for run_id in store.ids() if owner_of(store, run_id) == _noted(owner))


def _size(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):  # a folder may go while it is looked at
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                total += path.lstat().st_size
    return total
