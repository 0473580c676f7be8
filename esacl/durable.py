"""Files that survive a kill: replaced whole or not at all, and read with a limit."""

import contextlib
import errno
import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from esacl import strict_json
from esacl.errors import InputError, RunUnreadable

OF_A_RUN = "restore it or delete the run"  # what to do about a damaged file of one


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in `path` so that a reader sees the old content or the new, never a part of it.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_out(path: Path, data: bytes) -> None:
    """Write a file that somebody named: whole, or what was there stays. A pipe or a device is written to as it is.

    Raises:
        InputError: it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            replace_file(path.resolve(), data)
    except OSError as error:
        raise unwritten(path, error) from None


def named_file(path: Path, instead: str = "name another file") -> None:
    """Refuse a file that somebody named, to be put in place whole, before there is work done for it.

    Args:
        path: what was named.
        instead: what to do where it is a folder.

    Raises:
        InputError: it is a folder, or a pipe or a device, or its folder is missing or cannot be written.
    """
    try:
        os.stat(os.path.join(path.parent, "."))
        there = path.exists()
    except OSError as error:
        raise unwritten(path, error) from None
    if path.is_dir():
        raise InputError(f"{path} is a folder; {instead}")
    if there and not path.is_file():
        raise InputError(f"{path} is no file; name another")
    try:
        with tempfile.TemporaryFile(dir=path.parent):  # permissions do not tell all: root, or a disk that is read-only
            pass
    except OSError as error:
        raise unwritten(path, error) from None


def outside_of_runs(path: Path, root: Path) -> None:
    """Refuse a file that somebody named, where it would lie among the runs: one of theirs would be lost.

    Args:
        path: what was named.
        root: the runs folder.

    Raises:
        InputError: it lies in there.
    """
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise InputError(f"{path} lies in the runs folder {root}; name a file outside of it")


def not_lost(path: Path, *, own: bool, what: str) -> None:
    """Refuse to write over a file that is there and is something else.

    Args:
        path: what was named.
        own: whether what is there is what this program wrote there before.
        what: what that would be.

    Raises:
        InputError: something else is there.
    """
    if path.exists() and not own:
        raise InputError(f"{path} is there and is no {what}; name another file, or remove it")


def unwritten(path: Path, error: OSError) -> InputError:
    """Why a file that somebody named is not there, and what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "make room, or name a file elsewhere" if full else "name another file"
    return InputError(f"{path} cannot be written ({error.strerror}); {remedy}")


def leftovers(folder: Path) -> list[Path]:
    """What writers that were killed have left in a run's folder."""
    places = (folder, folder / "arrays", folder / "checkpoints")
    found = [path for place in places if not place.is_symlink() for path in sorted(place.glob(".*.tmp"))]
    return [path for path in found if path.is_symlink() or not path.is_dir()]  # they write no folders


def _sync_folder(folder: Path) -> None:
    # The new name has to outlive the machine too; some file systems cannot wait for it, and need not.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace_json(path: Path, content: Any) -> None:
    """`replace_file` with the JSON of `content`; NaN is refused."""
    replace_file(path, (strict_json.encode(content, indent=1) + "\n").encode())


def open_regular(path: Path) -> IO[bytes]:
    """A regular file, open for reading. A pipe of its name would otherwise be waited for, for ever.

    Raises:
        OSError: not there, not readable, a link, or no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    return os.fdopen(checked_regular(descriptor, path), "rb")


def append_regular(path: Path) -> IO[bytes]:
    """A regular file, open for writing at its end, unbuffered; made where it is not there.

    Raises:
        OSError: not writable, a link, which leads to somebody else's file, or no regular file.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.fdopen(checked_regular(os.open(path, flags, 0o644), path), "ab", buffering=0)


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file, none where there is no file.

    Raises:
        OSError: it cannot be read, or is something else.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except FileNotFoundError:
        return b""


def checked_regular(descriptor: int, path: Path) -> int:
    """The descriptor, where it is a regular file's; else it is closed.

    Raises:
        OSError: it is something else.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def own_folder(path: Path) -> Path:
    """A folder inside of a run's, there from now on, to write into and delete from.

    Raises:
        OSError: it is a link, which leads to somebody else's files, or cannot be made.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, f"{path.name} is a link", str(path))
    path.mkdir(exist_ok=True)
    return path


def read_bounded(path: Path, most: int, remedy: str = OF_A_RUN) -> bytes:
    """The bytes of a regular file of at most `most` bytes; `remedy`: what to do where it is no such file.

    Raises:
        RunUnreadable: not there, not a regular file, not readable, or too large.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise RunUnreadable(f"{path} is missing or not a regular file; {remedy}")
        with path.open("rb") as file:
            # Python allocates what it is asked to read, so it is asked for what is there.
            data = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)
    except OSError as error:
        raise RunUnreadable(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    if len(data) > most:
        instead = "this is no file of a run, delete it" if remedy == OF_A_RUN else remedy
        raise RunUnreadable(f"{path} is larger than {most} bytes; {instead}")
    return data


def read_json(path: Path, most: int = 1_000_000, remedy: str = OF_A_RUN) -> dict[str, Any]:
    """The JSON object in a small file.

    Args:
        path: the file.
        most: bytes that it may have.
        remedy: what to do where it is damaged.

    Raises:
        RunUnreadable: unreadable, too large, truncated, NaN, a key that occurs twice, or not an object.
    """
    try:
        content = strict_json.decode(read_bounded(path, most, remedy))
    except (ValueError, RecursionError) as error:
        if isinstance(error, RunUnreadable):
            raise
        raise RunUnreadable(f"{path} is not valid JSON ({error}); {remedy}") from None
    if not isinstance(content, dict):
        raise RunUnreadable(f"{path} holds no JSON object; {remedy}")
    return content
