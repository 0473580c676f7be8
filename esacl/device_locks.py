"""The locks of a device, for those who take them and those who look: one of a runs folder, and one of all of them.

An accelerator has one lock for all runs folders of a user on a machine: jobs of two folders that meet on one card would
take each other's memory. Processors are shared.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path

from esacl import accelerators, locks
from esacl.tickets import plain

SHARED = Path("/tmp")  # noqa: S108 (a folder of one's own in it, held against whose it is)


def of_folder(root: Path, key: str) -> Path:
    """The lock of a device in the runs folder `root`."""
    return root / ".locks" / f"{plain(key)}.lock"


def of_all_folders(key: str) -> Path:
    """The lock that all runs folders of this user share. Its place hangs on nothing that differs between two shells.

    Raises:
        OSError: somebody else has made the folder, or it cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        _folder().mkdir(mode=0o700)
    return _own(key)


def held_elsewhere(root: Path, key: str) -> bool:
    """Whether a job of another runs folder than `root` has the device."""
    if key == "cpu" or locks.is_held(of_folder(root, key)):
        return False
    try:
        return locks.is_held(_own(key))
    except OSError:  # no job has made it yet, or it is no place for a lock
        return False


def _folder() -> Path:
    return SHARED / f"esacl-{os.getuid()}"


def _own(key: str) -> Path:
    folder = _folder()
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "it is somebody else's", str(folder))
    return folder / f"{plain(_card(key))}.lock"


def _card(key: str) -> str:
    """The card itself, where each process numbers those that it is shown from 0."""
    shown = accelerators.visible()
    number = key.removeprefix("cuda:")
    if key.startswith("cuda:") and number.isdecimal() and int(number) < len(shown):
        return f"cuda:{shown[int(number)]}"
    return key
