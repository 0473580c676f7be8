"""`esacl doctor --bundle`: what a report about a fault needs, in one zip, and nothing of data or networks.

In it are settings, states, events and logs; not in it are arrays, checkpoints, data sets, names given to runs, and
where the user's home is.
"""

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from esacl import logs
from esacl.durable import named_file, not_lost, open_regular, outside_of_runs, read_json, unwritten
from esacl.errors import InputError, RunUnreadable
from esacl.labels import label_of
from esacl.store import RunStore

MOST_RUNS = 20  # the newest
MOST_BYTES = 256 * 2**10  # of one file: its end
_OF_RUN = (
    "config.json",
    "machine.json",
    "worker.json",
    "done.json",
    "events.jsonl",
    "analyses.jsonl",
    "measured.jsonl",
)
_LOGS = ("log.jsonl", "log.txt")
_NAMED = "(named)"


def write(store: RunStore, found: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Write the zip and return the names of what is in it. `found` is what the doctor says.

    Raises:
        InputError: the file cannot be written, lies among the runs, or would be put over something else.
    """
    outside_of_runs(path, store.root)
    named_file(path, f"name a file, {path / 'fault.zip'} say")
    not_lost(path, own=_is_report(path), what="report of a fault")
    members = dict(_members(store, found))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.zip")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        temporary.replace(path)
    except OSError as error:
        raise unwritten(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return tuple(members)


def _is_report(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"doctor.json", "runs.json", "queue.json"} <= set(archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _members(store: RunStore, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "doctor.json", _anonymous(json.dumps(found, indent=1))
    ids = store.ids()
    yield "runs.json", _anonymous(json.dumps([_state(store, run_id) for run_id in ids], indent=1))
    queue = [ticket.path.name for ticket in store.workers.queue.tickets()]
    yield "queue.json", json.dumps(queue, indent=1)
    server = logs.server_log(store.root)
    given = {name for run_id in ids for name in _names(store.root / run_id)}  # an error's text may say them
    for path in sorted(server.parent.glob(f"{server.name}*")):
        yield f"server/{path.name}", _nameless(_LOGS[0], _anonymous(_end_of(path)), given)
    for run_id in ids[:MOST_RUNS]:
        folder = store.root / run_id
        names = _names(folder)
        for name in (*_OF_RUN, *_LOGS):
            path = folder / name
            if path.is_file() and not path.is_symlink():
                yield f"runs/{run_id}/{name}", _nameless(name, _anonymous(_end_of(path)), names)
        yield f"runs/{run_id}/files.json", json.dumps(_sizes(folder), indent=1)


def _state(store: RunStore, run_id: str) -> dict[str, Any]:
    with contextlib.suppress(InputError, RunUnreadable):
        status = store.status(run_id)
        return {"run": run_id, "state": status.state, "detail": status.detail}
    return {"run": run_id, "state": "gone"}


def _sizes(folder: Path) -> dict[str, int]:
    found = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # a run at work renames and deletes
            if not path.is_dir():
                found[str(path.relative_to(folder))] = path.lstat().st_size
    return found


def _end_of(path: Path) -> str:
    """The last whole lines of a file."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MOST_BYTES))
            data = file.read(MOST_BYTES)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    whole = data[data.find(b"\n") + 1 :] if size > MOST_BYTES else data
    return whole.decode(errors="replace")


def _anonymous(text: str) -> str:
    home = str(Path.home())
    return text if home == "/" else text.replace(home, "~")


def _names(folder: Path) -> set[str]:
    """What the run was called, as text and as JSON has it; one or two letters tell nothing and are in every word."""
    found = {label_of(folder)}
    with contextlib.suppress(RunUnreadable):
        found.add(read_json(folder / "config.json").get("name"))
    given = {name for name in found if isinstance(name, str) and len(name) > 2}
    return given | {json.dumps(name)[1:-1] for name in given}


def _nameless(file: str, text: str, names: set[str]) -> str:
    """A config without the name that its run was given; a log without it wherever it stands."""
    if file in _LOGS:
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, _NAMED)
        return text
    if file != "config.json":
        return text
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(fields, dict) and fields.get("name"):
        fields["name"] = _NAMED
    return json.dumps(fields, indent=1)
