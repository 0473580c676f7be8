"""What is wrong in a runs folder, and which of it can be mended without losing anything.

Safe is: what a killed writer left, a torn last line (nobody was ever told of it), a note of an end that the events
contradict, a checkpoint that cannot be read put aside, a ticket of no run. All else is only told, with what to do.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from esacl import origin, trash
from esacl.arrays import read_arrays
from esacl.checkpoints import aside_of, newest, readable
from esacl.durable import leftovers, open_regular, read_json, replace_file, replace_json
from esacl.errors import InputError, RunUnreadable
from esacl.events import ArrayRecorded, Cancelled, Event, Failed, RunFinished
from esacl.labels import FILE as LABEL
from esacl.labels import label_of
from esacl.recording import RESERVE
from esacl.records import measured_lines, read_config_file, read_events
from esacl.store import RunStore

_STALE = 3600.0  # seconds after which a folder in the making is taken for left behind
_IN_THE_MAKING = re.compile(r"\.(new|deleted)-.+")
_ENDS = {RunFinished: "finished", Failed: "failed", Cancelled: "cancelled"}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. `mend` puts it right and loses nothing; None: only a person can."""

    where: str  # the run, or "" for the folder as a whole
    what: str
    remedy: str
    mend: Callable[[], None] | None = None

    def told(self, *, mended: bool) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "run": self.where, "what": self.what, "remedy": self.remedy, "safe": self.mend is not None,
            "mended": mended,
        }  # fmt: skip


def check(store: RunStore, *, repair: bool) -> list[dict[str, Any]]:
    """All findings below a runs folder; with `repair` what is safe is mended. Runs at work are left alone."""
    told: list[dict[str, Any]] = []
    for part in (_of_folder, _of_queue, _of_trash):  # what is wrong with one is no reason to say nothing of the rest
        try:
            told += (_settled(finding, repair=repair) for finding in part(store))
        except OSError as error:
            told.append(Finding("", *_unreadable(error)).told(mended=False))
    try:
        ids = store.ids()
    except InputError as error:
        return [*told, Finding("", *_split(error)).told(mended=False)]
    for run_id in ids:
        if store.workers.alive(run_id):
            continue
        try:
            with store.workers.hold(run_id) if repair else contextlib.nullcontext():
                told += (_settled(finding, repair=repair) for finding in _of_run(store, run_id))
        except InputError as error:  # somebody works on it now, or its folder cannot be written
            told.append(Finding(run_id, *_split(error)).told(mended=False))
        except OSError as error:  # one run is no reason to say nothing of the others
            told.append(Finding(run_id, *_unreadable(error)).told(mended=False))
    return told


def _unreadable(error: OSError) -> tuple[str, str]:
    return f"{error.filename or 'a file'} cannot be read ({error.strerror})", "check its permissions"


def _settled(finding: Finding, *, repair: bool) -> dict[str, Any]:
    if not repair or finding.mend is None:
        return finding.told(mended=False)
    try:
        finding.mend()
    except OSError as error:
        again = Finding(
            finding.where, finding.what, f"cannot be mended ({error.strerror}); make room or mend the folder"
        )
        return again.told(mended=False)
    return finding.told(mended=True)


def _of_folder(store: RunStore) -> Iterator[Finding]:
    entries = sorted(store.root.iterdir()) if store.root.is_dir() else []
    for path in entries:
        if _IN_THE_MAKING.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and _is_stale(path):
            yield Finding("", f"{path.name} was left behind", "delete it", partial(shutil.rmtree, path))


def _of_trash(store: RunStore) -> Iterator[Finding]:
    for path in sorted((store.root / trash.FOLDER).glob(f"{trash.PURGED}*")):
        if _is_stale(path):
            what = f"{path.name} was deleted for good, but for this"
            yield Finding("", what, "delete it", partial(shutil.rmtree, path))


def _is_stale(path: Path) -> bool:
    """Whether it has been there for so long that nobody can be at work on it any more."""
    try:
        return time.time() - path.lstat().st_mtime > _STALE
    except FileNotFoundError:  # it was in the making, and is made by now
        return False


def _of_queue(store: RunStore) -> Iterator[Finding]:
    queue = store.workers.queue
    for path in queue.strange():
        if path.suffix == ".tmp" and not path.is_dir():
            if _is_stale(path):
                yield Finding("", f"{path.name} was left in the queue by a killed writer", "delete it", path.unlink)
        else:
            yield Finding("", f"{path} is no ticket", "move it away")
    for ticket in queue.tickets():
        if not (store.root / ticket.run_id).is_dir():
            yield Finding("", f"ticket {ticket.path.name} is of no run", "delete it", ticket.path.unlink)


def _of_run(store: RunStore, run_id: str) -> Iterator[Finding]:
    folder = store.folder(run_id)
    for path in leftovers(folder):
        yield Finding(run_id, f"{path.relative_to(folder)} was left by a killed writer", "delete it", path.unlink)
    for name in ("events.jsonl", "analyses.jsonl", "measured.jsonl"):
        yield from _torn(run_id, folder / name)
    yield from _of_extras(run_id, folder)
    try:
        read_config_file(folder)
        events = read_events(folder / "events.jsonl")
    except RunUnreadable as error:
        yield Finding(run_id, *_split(error))
        return
    yield from _of_end(run_id, folder, events)
    yield from _of_checkpoints(run_id, folder)
    yield from _of_arrays(store, run_id, events)


def _of_extras(run_id: str, folder: Path) -> Iterator[Finding]:
    """What a run can be read without, so that damage in it is passed over elsewhere."""
    label, measured = folder / LABEL, folder / "measured.jsonl"
    if label.exists() and label_of(folder) is None:
        yield Finding(run_id, f"{LABEL} is damaged", "give the run its name again")
    if (folder / origin.FILE).exists():
        try:
            origin.read(folder)
        except RunUnreadable as error:
            yield Finding(run_id, *_split(error))
    try:
        read_events(folder / "analyses.jsonl")
    except RunUnreadable as error:
        yield Finding(run_id, _split(error)[0], "move it away, then start the analyses again")
    if measured.exists():
        try:
            lines = measured_lines(measured)
        except RunUnreadable as error:
            yield Finding(run_id, _split(error)[0], "move it away")
            return
        kept = b"".join(line for line, entry in lines if entry is not None)
        if any(entry is None and line.endswith(b"\n") for line, entry in lines):
            what = f"{measured.name} has lines that nothing can have been measured as"
            yield Finding(run_id, what, "leave them out, as readers do", partial(replace_file, measured, kept))


def _torn(run_id: str, path: Path) -> Iterator[Finding]:
    with contextlib.suppress(OSError):
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - 2**21))
            tail = file.read()
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        if torn and (len(tail) == size or b"\n" in tail):
            what = f"{path.name} ends within a line: its writer was killed"
            yield Finding(run_id, what, "cut the piece off", lambda: os.truncate(path, size - torn))


def _of_end(run_id: str, folder: Path, events: tuple[Event, ...]) -> Iterator[Finding]:
    done, last = folder / "done.json", events[-1] if events else None
    for name in ("done.json", "CANCEL", RESERVE):
        if (folder / name).is_dir():  # whatever put it there, it is somebody's
            yield Finding(run_id, f"{name} is a folder", "move it away")
    state = _ENDS.get(type(last))
    noted: Any = None
    if done.exists():
        with contextlib.suppress(RunUnreadable):
            noted = read_json(done).get("status")
    detail = last.error if isinstance(last, Failed) else ""
    note = {"status": state, "detail": detail, "events": len(events)}
    if state is not None and not done.exists():
        what = f"done.json is missing, and the events say {state}"
        yield Finding(run_id, what, "write it", lambda: replace_json(done, note))
    elif done.is_file() and noted not in _ENDS.values():
        if state is not None:
            yield Finding(run_id, "done.json is damaged", "write it anew", lambda: replace_json(done, note))
        else:
            yield Finding(run_id, "done.json is damaged", "delete it; the run can be resumed then", done.unlink)
    elif noted == "finished" and state != "finished":
        yield Finding(run_id, "done.json says finished, and the events do not", "delete it, then resume", done.unlink)
    flag = folder / "CANCEL"
    if flag.is_file() and done.exists():
        yield Finding(run_id, "a request to cancel is left of a run that ended", "delete it", flag.unlink)
    reserve = folder / RESERVE
    if reserve.is_file() and done.exists():
        yield Finding(run_id, "the room for its last word is still kept", "give it free", reserve.unlink)


def _of_checkpoints(run_id: str, folder: Path) -> Iterator[Finding]:
    place = folder / "checkpoints"
    bad = {path: why for path, why in readable(place).items() if why is not None}
    for path, why in bad.items():
        what, _ = _split(why)
        aside = aside_of(path)
        yield Finding(run_id, what, f"put it aside as {aside.name}", partial(_aside, path, aside))
    with contextlib.suppress(RunUnreadable):
        if bad and newest(place) is None:
            yield Finding(run_id, "no checkpoint can be read", "resume starts from the beginning")


def _of_arrays(store: RunStore, run_id: str, events: tuple[Event, ...]) -> Iterator[Finding]:
    recorded = {event.name: event.digest for event in events if isinstance(event, ArrayRecorded)}
    for name, digest in recorded.items():
        try:
            found = ArrayRecorded(name=name, arrays=read_arrays(store.folder(run_id) / "arrays" / f"{name}.npz"))
        except RunUnreadable as error:
            yield Finding(run_id, *_split(error))
            continue
        if found.digest != digest:
            yield Finding(run_id, f"array {name} is not what the run has recorded", "record the run again")


def _aside(path: Path, to: Path) -> None:
    path.replace(to)


def _split(error: InputError) -> tuple[str, str]:
    what, _, remedy = str(error).rpartition("; ")
    return (what, remedy) if what else (remedy, "delete the run")
