"""A run as one file to hand on, `esacl export`: a zip of what the run recorded, with the hash of every file.

    bundle.json  config.json  label.json  machine.json  events.jsonl  measured.jsonl  analyses.jsonl  done.json
    arrays/*.npz  checkpoints/*.safetensors

Left out: who worked on it where (`worker.json`, `lock`, `log.txt`), and the checkpoints unless they are asked for.
`esacl/unpacking.py` reads it, and trusts nothing of it.
"""

import contextlib
import hashlib
import json
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from esacl import __version__
from esacl.durable import named_file, not_lost, outside_of_runs, unwritten
from esacl.errors import InputError
from esacl.store import RunStore
from esacl.zip_end import zip_end

FORMAT, VERSION = "esacl run bundle", 1
MANIFEST = "bundle.json"
MOST_FILES = 10_000
MOST_BYTES = 2 * 2**30 - 2**20  # of the file, and of everything unpacked: beyond it, zip needs another format
# What a bundle may hold, and how large each may be.
SMALL = {"config.json": 2**20, "label.json": 2**16, "machine.json": 2**20, "done.json": 2**20, MANIFEST: 4 * 2**20}
LINES = {"events.jsonl": 512 * 2**20, "measured.jsonl": 64 * 2**20, "analyses.jsonl": 512 * 2**20}
_ARRAY = re.compile(r"arrays/[A-Za-z0-9_-]{1,64}\.npz")
_CHECKPOINT = re.compile(r"checkpoints/\d{3}-\d{5}\.safetensors")
_CHUNK = 2**20
_THEN = (1980, 1, 1, 0, 0, 0)  # one time for all members: equal runs make equal bundles


def most_bytes(name: str) -> int | None:
    """How large the member of that name may be; None where no bundle holds such a name."""
    if name in SMALL or name in LINES:
        return SMALL.get(name) or LINES[name]
    if _ARRAY.fullmatch(name):
        return 2**30
    return MOST_BYTES if _CHECKPOINT.fullmatch(name) else None


def export_run(store: RunStore, run_id: str, target: Path, *, checkpoints: bool = False) -> Path:
    """Write a run that nobody works on to one file, which appears whole or not at all; returns its path.

    Raises:
        InputError: no such run, it is being worked on, too large or cannot be read, or the file cannot be written, lies
            among the runs, or would be put over what is no earlier bundle of the run.
    """
    outside_of_runs(target, store.root)
    named_file(target, f"name a file, {target / f'{run_id}.zip'} say")
    not_lost(target, own=_run_in(target) == run_id, what=f"bundle of run {run_id}")
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("xb") as file:
            write_bundle(store, run_id, file, checkpoints=checkpoints)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise unwritten(target, error) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return target


def write_bundle(store: RunStore, run_id: str, file: IO[bytes], *, checkpoints: bool = False) -> None:
    """Write a run that nobody works on.

    Raises:
        InputError: no such run, it is being worked on, it is too large, or a file of it cannot be read.
        OSError: the file cannot be written.
    """
    folder = store.folder(run_id)
    if store.status(run_id).live or store.workers.alive(run_id):
        raise InputError(f"run {run_id} is being worked on; wait for its end, or cancel it, then export it")
    with _reading(folder):
        members = list(_members(folder, checkpoints=checkpoints))
        total = sum(path.stat().st_size for _, path in members)
    if total > MOST_BYTES or len(members) > MOST_FILES:
        raise InputError(f"run {run_id} has {total} bytes in {len(members)} files, too much for one bundle")
    with _reading(folder):
        listed = [{"path": name, "bytes": path.stat().st_size, "sha256": _hash(path)} for name, path in members]
    manifest = {"format": FORMAT, "version": VERSION, "run": run_id, "esacl": __version__, "files": listed}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_info(MANIFEST), json.dumps(manifest, indent=1) + "\n")
        for name, path in members:
            _add(archive, name, path)


def _run_in(path: Path) -> str | None:
    """The run of which a file is a bundle; None where it is none."""
    try:
        with path.open("rb") as file:
            if zip_end(file).entries > MOST_FILES:
                return None
            with zipfile.ZipFile(file) as archive, archive.open(MANIFEST) as manifest:
                told = json.loads(manifest.read(SMALL[MANIFEST]))
    except Exception:  # a stranger's archive may raise what it likes: zlib.error, EOFError, struct.error
        return None
    return str(told.get("run")) if isinstance(told, dict) and told.get("format") == FORMAT else None


def _members(folder: Path, *, checkpoints: bool) -> Iterator[tuple[str, Path]]:
    for name in (*SMALL, *LINES):
        if name != MANIFEST and _is_plain(folder / name):
            yield name, folder / name
    for kind in ("arrays", *(["checkpoints"] if checkpoints else [])):
        for path in sorted((folder / kind).glob("*")):
            if most_bytes(f"{kind}/{path.name}") and _is_plain(path):
                yield f"{kind}/{path.name}", path


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What goes wrong in here is the run's, not that of the file that is written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or path} cannot be read ({error.strerror}); check its permissions") from None


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    with _reading(path):
        source = path.open("rb")
    with source, archive.open(_info(name), "w") as member:
        while chunk := _read(source, path):
            member.write(chunk)


def _read(source: IO[bytes], path: Path) -> bytes:
    with _reading(path):
        return source.read(_CHUNK)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _THEN)
    info.external_attr = 0o100644 << 16
    packed: Any = name.endswith((".npz", ".safetensors"))  # they are compressed already
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    return info
