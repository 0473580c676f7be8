"""A job's process: start one that takes over the lock of its run, note who works, end it with its children."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from esacl import logs
from esacl.durable import append_regular, replace_json
from esacl.errors import InputError
from esacl.store import RunStore

_SAME_START = 1.0  # seconds within which two start times are of one process


def launch(
    store: RunStore,
    run_id: str,
    words: list[str],
    data: Path | None,
    environment: Mapping[str, str] | None = None,
    *,
    bound: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `python -m WORDS` on a run that this thread holds; it takes over the lock, its output goes to the log.

    Args:
        store: where the run is.
        run_id: the run.
        words: the module and its arguments.
        data: where the data sets are.
        environment: variables to set beside those of this process.
        bound: give it a stdin that ends when this process does.

    Raises:
        InputError: no process can be started.
    """
    folder = store.folder(run_id)
    more = ["--runs", str(store.root.absolute()), *(["--data", str(data.absolute())] if data else [])]
    descriptor = store.workers.lend(run_id)
    arguments = [sys.executable, "-m", *words, *more, "--held-lock", str(descriptor)]
    try:
        logs.rotate(folder / "log.txt")
        with append_regular(folder / "log.txt") as log:
            return subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE if bound else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(descriptor,),
                env={**os.environ, **environment} if environment else None,
            )
    except OSError as error:
        raise InputError(f"run {run_id} cannot be started ({error.strerror}); mend {folder}") from None


def sign_in(store: RunStore, run_id: str, **more: Any) -> None:
    """Note in `worker.json` that this process works on the run.

    Raises:
        OSError: the folder cannot be written.
    """
    process = psutil.Process()
    about = {"pid": process.pid, "started": process.create_time(), **more}
    replace_json(store.folder(run_id) / "worker.json", about)


def kill(store: RunStore, run_id: str) -> None:
    """End a job at once; what it has kept until now stays."""
    end(store.workers.about(run_id), hard=True)


def end(worker: dict[str, Any], *, hard: bool) -> None:
    """Signal a job and its children, if the process of that number is still the one that was started."""
    with contextlib.suppress(psutil.Error, ProcessLookupError, KeyError, TypeError, ValueError):
        pid = int(worker["pid"])
        if abs(psutil.Process(pid).create_time() - float(worker["started"])) > _SAME_START:
            return
        number = signal.SIGKILL if hard else signal.SIGTERM
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def memory_bytes() -> tuple[int, int]:
    """Memory that this process holds now, and that the machine has."""
    return psutil.Process().memory_info().rss, psutil.virtual_memory().total
