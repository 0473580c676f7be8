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

from esacl import logs, trash
from esacl.anonymous import homeless, nameless, nameless_config, names_of
from esacl.durable import named_file, not_lost, open_regular, outside_of_runs, unwritten
from esacl.errors import InputError
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
                archive.writestr(_info(name), text)
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
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def _members(store: RunStore, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    ids: tuple[str, ...] = ()
    deleted: tuple[trash.Deleted, ...] = ()
    with contextlib.suppress(InputError):  # a folder that cannot be read is one of the doctor's findings
        ids = store.ids()
    with contextlib.suppress(InputError):
        deleted = trash.deleted(store)
    folders = [*(store.root / run_id for run_id in ids), *(one.path for one in deleted)]
    names = {name for folder in folders for name in names_of(folder)}  # what is said of one run may name another
    for name, text in _texts(store, ids, found):
        file = name.rpartition("/")[2]
        clean = nameless(homeless(text), names, log=name.startswith("server/") or file in _LOGS)
        yield name, nameless_config(clean) if file == "config.json" else clean


def _texts(store: RunStore, ids: tuple[str, ...], found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "doctor.json", json.dumps(found, indent=1)
    yield "runs.json", json.dumps([_state(store, run_id) for run_id in ids], indent=1)
    queue = [ticket.path.name for ticket in store.workers.queue.tickets()]
    yield "queue.json", json.dumps(queue, indent=1)
    for path in logs.kept(logs.server_log(store.root)):
        yield f"server/{path.name}", _end_of(path)
    for run_id in ids[:MOST_RUNS]:
        folder = store.root / run_id
        for name in (*_OF_RUN, *_LOGS):
            path = folder / name
            if os.path.isfile(path) and not os.path.islink(path):
                yield f"runs/{run_id}/{name}", _end_of(path)
        yield f"runs/{run_id}/files.json", json.dumps(_sizes(folder), indent=1)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # of 1980: a clock may stand before it, and zip knows no earlier year
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
    return info


def _state(store: RunStore, run_id: str) -> dict[str, Any]:
    with contextlib.suppress(InputError, OSError):
        status = store.status(run_id)
        return {"run": run_id, "state": status.state, "detail": status.detail}
    return {"run": run_id, "state": "gone"}


def _sizes(folder: Path) -> dict[str, int]:
    found = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):  # a run at work renames and deletes
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
