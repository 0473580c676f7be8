"""Reads a bundle that a stranger may have made: everything is checked before one rename puts it among the runs.

Its config comes first: what a run of it cannot have is refused before it is unpacked.
"""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import struct
import threading
import time
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from esacl import bundles, checkpoints, origin, room, strict_json
from esacl.arrays import read_arrays
from esacl.bundles import FORMAT, MANIFEST, MOST_BYTES, MOST_FILES, VERSION
from esacl.config import RunConfig
from esacl.durable import read_json, replace_json
from esacl.errors import InputError, RunUnreadable
from esacl.labels import FILE as LABEL
from esacl.labels import checked
from esacl.records import check_measured, read_config_file, read_events
from esacl.store import RunStore
from esacl.zip_end import zip_end

ORIGIN = "imported.json"
_ID = re.compile(r"\d{8}-\d{6}-[A-Za-z0-9_-]{1,48}")
_CHUNK = 2**20
CONFIG = "config.json"


class NotABundle(InputError):
    """The file is not one that `esacl export` wrote, or it was changed since."""


def import_run(store: RunStore, source: Path | IO[bytes], *, name: str = "", most: int = MOST_BYTES) -> str:
    """Put the run of a bundle among the runs, under its own id or the next that is free, and return that.

    Args:
        store: where to.
        source: the file, by its path or open.
        name: what to call the file in an error; its path by default.
        most: how many bytes it may take, and its contents once they are unpacked.

    Raises:
        NotABundle: what is wrong with the file; nothing is left behind.
        InputError: the run is there already, or the runs folder cannot be written.
    """
    called = name or str(source)
    temporary = store.root / f".new-import-{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}"
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(_opened(source, called)) if isinstance(source, Path) else source
            temporary.mkdir(parents=True)
            run_id, config = _unpack(file, temporary, most)
        _verify(temporary, config, most)
        return _settle(store, temporary, run_id)
    except _Refused as why:
        raise NotABundle(f"{called} is no run that `esacl export` wrote: {why}") from None
    except RunUnreadable as error:
        inside = str(error).replace(f"{temporary}{os.sep}", "")
        raise NotABundle(f"{called} holds a run that cannot be read: {inside}") from None
    except OSError as error:
        cause = error.strerror or " ".join(str(error).split())[:120]
        raise InputError(f"{called} cannot be unpacked in {store.root.absolute()} ({cause}); make room") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Refused(Exception):
    """Why a file is no bundle, in words that follow its name."""


def _opened(path: Path, called: str) -> IO[bytes]:
    try:
        if not path.is_file():
            raise InputError(f"{called} is not there or no file; name a file that `esacl export` wrote")
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{called} cannot be read ({error.strerror}); check its permissions") from None


def _unpack(file: IO[bytes], folder: Path, most: int) -> tuple[str, RunConfig]:
    """Write the members to `folder`, each as its hash says; returns the id that the run had, and its config."""
    _check_end(file, most)
    try:
        with zipfile.ZipFile(file) as archive:
            members = _checked_members(archive, most)
            manifest = _manifest(archive, members.pop(MANIFEST))
            listed = {entry["path"]: entry for entry in manifest["files"]}
            if listed.keys() != members.keys():
                raise _Refused("its list of files is not what it holds")
            _write(archive, members.pop(CONFIG), folder / CONFIG, listed[CONFIG])
            config = read_config_file(folder)
            _check_room(config, members.values())
            for name, member in members.items():
                _write(archive, member, folder / name, listed[name])
    except InputError:
        raise
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error) as error:
        raise _Refused(f"it is damaged ({_brief(error)})") from None
    except (OSError, _Refused):
        raise
    except Exception as error:  # zlib.error, as everything that zlib says, has no ancestor but Exception
        raise _Refused(f"it is damaged ({_brief(error)})") from None
    return str(manifest.get("run")), config


def _check_end(file: IO[bytes], most: int) -> None:
    size = file.seek(0, os.SEEK_END)
    if size > most:
        raise _Refused(f"it has {size} bytes, more than the {most} that are taken")
    try:
        end = zip_end(file)
    except ValueError as error:
        raise _Refused(str(error)) from None
    if end.entries > MOST_FILES + 1:
        raise _Refused(f"it holds more than {MOST_FILES} files")
    if end.apart:
        raise _Refused("there is something before, between or behind its files")


def _checked_members(archive: zipfile.ZipFile, most: int) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for member in archive.infolist():
        name, limit = member.filename, bundles.most_bytes(member.filename)
        total += member.file_size
        if limit is None or member.orig_filename != name:
            raise _Refused(f"it holds {member.orig_filename[:80]!r}, which is no file of a run")
        if name in found:
            raise _Refused(f"it holds {name} twice")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise _Refused(f"{name} is no plain file in it")
        if member.flag_bits & 1:
            raise _Refused(f"{name} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Refused(f"{name} is packed in a way that `esacl export` does not use")
        if member.file_size > limit or total > most:
            raise _Refused(f"it unpacks to too much: {name} has {member.file_size} bytes, {total} with what is before")
        found[name] = member
    for name in (MANIFEST, CONFIG):
        if name not in found:
            raise _Refused(f"it holds no {name}")
    return found


def _manifest(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> dict[str, Any]:
    try:
        manifest = strict_json.decode(archive.read(member))
    except (ValueError, RecursionError) as error:
        raise _Refused(f"its {MANIFEST} is no JSON ({_brief(error)})") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _Refused(f"its {MANIFEST} does not say {FORMAT!r}")
    version = manifest.get("version")
    if version != VERSION:
        raise _Refused(f"it is of version {str(version)[:20]!r}, this EsaCL reads {VERSION}; use the one that wrote it")
    files = manifest.get("files")
    if not isinstance(files, list) or not all(map(_is_listed, files)):
        raise _Refused(f"its {MANIFEST} lists no files")
    if len({one["path"] for one in files}) != len(files):
        raise _Refused(f"its {MANIFEST} lists a file twice")
    return manifest


def _is_listed(one: object) -> bool:
    return isinstance(one, dict) and isinstance(one.get("path"), str)


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, listed: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with archive.open(member) as content, path.open("xb") as file:  # reads no more than file_size
        while chunk := content.read(_CHUNK):
            size += len(chunk)
            digest.update(chunk)
            file.write(chunk)
    if size != listed.get("bytes") or digest.hexdigest() != listed.get("sha256"):
        raise _Refused(f"{member.filename} is not as it was when the run was exported")


def _check_room(config: RunConfig, members: Iterable[zipfile.ZipInfo]) -> None:
    """Hold the sizes of what is still packed against what a run of this config can have."""
    limits = {"arrays": room.most_of_arrays(config), "checkpoints": room.most_of_state(config)}
    together, total = room.most_together(config), 0
    for member in members:
        kind = member.filename.partition("/")[0]
        if kind not in limits:
            continue
        total += member.file_size
        for size, most in ((member.file_size, limits[kind]), (total, together)):
            if most is not None and size > most:
                what = "" if size == member.file_size else " with the arrays and checkpoints before"
                raise _Refused(f"{member.filename} has {size} bytes{what}, and a run of its config at most {most}")


def _verify(folder: Path, config: RunConfig, most: int) -> None:
    """Read everything once, as the pages and `esacl resume` will."""
    if (folder / LABEL).exists():
        try:
            checked(read_json(folder / LABEL).get("name"))
        except RunUnreadable:
            raise
        except InputError as error:
            raise _Refused(f"{LABEL}: {error}") from None
    for name in ("events.jsonl", "analyses.jsonl"):
        read_events(folder / name)
    check_measured(folder / "measured.jsonl")
    if (folder / origin.FILE).exists():
        origin.read(folder)
    if (folder / "done.json").exists():
        done = read_json(folder / "done.json")
        if done.get("status") not in ("finished", "failed", "cancelled") or not isinstance(done.get("detail", ""), str):
            raise _Refused("done.json names no status")
    left, one = most, room.most_of_arrays(config)
    for path in sorted((folder / "arrays").glob("*.npz")):
        limit = left if one is None else min(left, one)
        left -= sum(array.nbytes for array in read_arrays(path, max(0, limit)).values())
    checkpoints.verify(folder / "checkpoints")


def _settle(store: RunStore, temporary: Path, run_id: str) -> str:
    if not _ID.fullmatch(run_id):
        raise _Refused(f"{run_id[:80]!r} is no id of a run")
    replace_json(temporary / ORIGIN, {"run": run_id, "at": time.time()})
    for number in range(1, 1000):
        free = run_id if number == 1 else f"{run_id[:60]}-{number}"
        if os.path.lexists(store.root / free):
            if _same(store.root / free, temporary):
                raise InputError(f"this run is here already: {free}")
            continue
        with contextlib.suppress(FileExistsError, IsADirectoryError):
            temporary.rename(store.root / free)
            return free
    raise InputError(f"more than 999 runs {run_id} in {store.root}; delete some")


def _same(one: Path, other: Path) -> bool:
    def content(folder: Path, name: str) -> bytes | None:
        with contextlib.suppress(OSError):
            return (folder / name).read_bytes()
        return None

    return all(content(one, name) == content(other, name) for name in ("config.json", "events.jsonl"))


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
