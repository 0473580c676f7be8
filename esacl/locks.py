"""Locks that the operating system drops when their holder dies, however it dies (flock)."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path


def take(path: Path) -> int | None:
    """The descriptor that holds the lock, or None where another holds it. Closing it gives the lock back.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def take_patiently(path: Path, tries: int = 20) -> int | None:
    """`take`, past the instants in which a reader that looks at the lock has it.

    Raises:
        OSError: the file cannot be made.
    """
    for _ in range(tries - 1):
        descriptor = take(path)
        if descriptor is not None:
            return descriptor
        time.sleep(0.01)
    return take(path)


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Wait until nobody else, thread or process, is inside of the same `path`.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def one_at_a_time_in(folder: Path) -> Iterator[None]:
    """`one_at_a_time`, by the lock of a folder itself.

    Raises:
        OSError: there is no such folder, or its file system locks no folders.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def take_folder(path: Path) -> int | None:
    """The descriptor that holds a folder itself, so that nothing of the lock is left in or beside it; None: held.

    Raises:
        OSError: there is no such folder, or its file system locks no folders.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def is_held(path: Path) -> bool:
    """Whether somebody alive holds the lock: a file, or a folder itself."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
