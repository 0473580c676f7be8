"""Go on with a sweep that nobody works on, by the command that was last given for it, in a process of its own.

The process holds the lock of the sweep from before it exists, as a job does that of its run: who looks sees it at work
at once, and who asks a second time is refused.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from esacl import jobs, locks, logs, quota
from esacl.durable import append_regular, read_regular
from esacl.errors import InputError
from esacl.store import RunStore
from esacl.sweep.record import CANCEL, FILE, LOG, REMEDY, content_of, worked_on
from esacl.sweep.spec import read_spec

MODULE = "esacl"
ASKED = ("workers", "scheduler", "data")  # options of the command that the record keeps


def resume(store: RunStore, folder: Path, *, owner: str = "") -> None:
    """Start the command again, which goes on with what is not finished; it outlives whoever asks.

    Args:
        store: where the runs are.
        folder: the sweep's.
        owner: who asks, on a server where people log in.

    Raises:
        InputError: somebody works on it, its record or its file cannot be read, no process can be started, or the
            owner has as much as the server allows, or it limits jobs, whose share nobody could tell of a sweep.
    """
    if quota.quota().jobs is not None:  # its runs would be nobody's, and count for nobody
        raise InputError(
            f"sweep {folder.name} can be gone on with on a terminal only, where a server limits jobs a person "
            f"({quota.JOBS}); give its command there"
        )
    quota.check(store, owner)
    words = _words(folder, content_of(folder))
    descriptor = _taken(folder)
    try:
        (folder / CANCEL).unlink(missing_ok=True)  # here, for from now on somebody may ask to stop
        _start([sys.executable, "-m", MODULE, *words], store, folder, descriptor)
    except (OSError, ValueError) as error:  # a word that no process can be given is a ValueError
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"sweep {folder.name} cannot be started ({why}); mend {folder}") from None
    finally:
        os.close(descriptor)
    logs.note(logs.server_log(store.root), "resume", sweep=folder.name)


def problem(folder: Path) -> str:
    """Why the process that `resume` started last has ended, in its own words; nothing where it has not failed."""
    try:
        lines = read_regular(folder / LOG).decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("error: ") for line in reversed(lines) if line.startswith("error: ")), "")


def _taken(folder: Path) -> int:
    """The lock of the sweep, to hand on."""
    try:
        descriptor = locks.take_patiently(folder / "lock")
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); mend it") from None
    if descriptor is None:
        raise InputError(worked_on(folder.name))
    return descriptor


def _words(folder: Path, content: dict[str, Any]) -> list[str]:
    """The command, once its file is seen to be there and this sweep's."""
    file, asked = Path(str(content.get("file", ""))), content.get("asked")
    if not file.is_absolute():
        raise InputError(f"{folder / FILE} names no file; {REMEDY}")
    if not os.path.exists(file):  # of a name that no system takes too
        raise InputError(f"the file of sweep {folder.name} is gone: {file}; put it back, or start the one it is now")
    if read_spec(file).name != folder.name:
        raise InputError(f"{folder / FILE} names {file}, the file of another sweep; {REMEDY}")
    if not isinstance(asked, dict):  # an older record does not say with which workers, scheduler and data
        raise InputError(f"{folder / FILE} does not say how the sweep was started; give its command once more")
    told = {name: asked.get(name) for name in ASKED}
    options = {"engine": content.get("engine"), **told}
    return ["sweep", str(file), *(f"--{name}={value}" for name, value in options.items() if value is not None)]


def _start(command: list[str], store: RunStore, folder: Path, descriptor: int) -> None:
    more = ["--runs", str(store.root.absolute()), "--json", "--held-lock", str(descriptor)]
    with append_regular(folder / LOG) as log:
        log.truncate(0)
        jobs.mind(
            subprocess.Popen(
                [*command, *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(descriptor,),
            )
        )
