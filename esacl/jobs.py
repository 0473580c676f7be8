"""Jobs: one `python -m esacl ...` process a run, which outlives whoever started it; the run's folder tells all.

A job holds the lock of its run from before it exists (it inherits the descriptor), so there is no instant at which
it looks dead, and the system drops the lock whenever and however it ends.
"""

import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from esacl import locks
from esacl.config import RunConfig
from esacl.durable import replace_json
from esacl.errors import InputError
from esacl.store import RunStore

GRACE = 15.0  # seconds from asking a job to stop to ending it, and again from that to killing it
_POLL = 0.2  # seconds between two looks at a busy device
_SAME_START = 1.0  # seconds within which two start times are of one process

_children: list[subprocess.Popen[bytes]] = []


def start(config: RunConfig, store: RunStore, data: Path | None = None) -> str:
    """Start a run in a process of its own and return its id at once.

    Raises:
        InputError: the runs folder cannot be written, or no process can be started.
    """
    run_id = store.create(config)
    try:
        _spawn(store, run_id, ["run", "--into", run_id], data)
    except InputError:
        store.delete(run_id)
        raise
    return run_id


def resume(store: RunStore, run_id: str, data: Path | None = None) -> None:
    """Go on with a cancelled, failed or lost run from its last checkpoint.

    Raises:
        InputError: it is finished or being worked on, or no process can be started.
    """
    status = store.status(run_id)
    if status.live or status.state == "finished":
        raise InputError(f"run {run_id} is {status.state}; only a stopped run can be resumed")
    with store.workers.hold(run_id):
        store.reopen(run_id)
        (store.folder(run_id) / "done.json").unlink(missing_ok=True)
        _spawn(store, run_id, ["resume", run_id], data)


def analyse(store: RunStore, run_id: str, kind: str, options: Mapping[str, Any], data: Path | None = None) -> None:
    """Analyse a run in a process of its own; `store.tail(run_id, "analyses")` follows it.

    Args:
        store: where the run is.
        run_id: the run.
        kind: as `esacl analyse` takes it.
        options: its options, by name: {"task": 1, "points": 51, "check": True}; None and False are left out.
        data: where the data sets lie.

    Raises:
        InputError: the run is being worked on, or no process can be started.
    """
    flags: list[str] = []
    for name, value in options.items():
        if value is not None and value is not False:
            flags += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    with store.workers.hold(run_id):
        store.reopen(run_id)
        _spawn(store, run_id, ["analyse", run_id, kind, *flags], data)


def cancel(store: RunStore, run_id: str) -> None:
    """Ask a job to stop after its current event; `reap` ends one that does not listen.

    Raises:
        InputError: the run's folder cannot be written.
    """
    store.cancel(run_id)


def reap(store: RunStore, grace: float = GRACE) -> None:
    """Collect ended child processes, and end the jobs that were asked to stop longer than `grace` seconds ago."""
    _children[:] = [child for child in _children if child.poll() is None]
    for flag in store.root.glob("*/CANCEL"):
        run_id = flag.parent.name
        with contextlib.suppress(OSError, InputError):
            waited = time.time() - flag.stat().st_mtime
            if store.workers.alive(run_id):
                if waited > grace:
                    _end(store.workers.about(run_id), hard=waited > 2 * grace)
            elif (flag.parent / "done.json").exists():
                store.reopen(run_id)
            else:
                store.finish(run_id, "cancelled", "ended before it could note where it stood")


@contextlib.contextmanager
def device_turn(store: RunStore, run_id: str, device: str) -> Iterator[bool]:
    """Be the one job on a device: waits for its turn, first come, first served. False: cancelled meanwhile.

    Raises:
        InputError: the runs folder cannot be written.
    """
    key = device_key(device)
    lock = store.root / ".locks" / f"{key.replace(':', '')}.lock"
    try:
        lock.parent.mkdir(exist_ok=True)
        descriptor = locks.take(lock)
        if descriptor is None:
            sign_in(store, run_id, waiting_for=key, since=time.time())
            descriptor = _wait(store, run_id, key, lock)
            sign_in(store, run_id)
    except OSError as error:
        raise InputError(f"runs folder {store.root} cannot be written ({error.strerror}); mend it") from None
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def sign_in(store: RunStore, run_id: str, **more: Any) -> None:
    """Note in `worker.json` that this process works on the run.

    Raises:
        OSError: the folder cannot be written.
    """
    process = psutil.Process()
    about = {"pid": process.pid, "started": process.create_time(), **more}
    replace_json(store.folder(run_id) / "worker.json", about)


def device_key(device: str) -> str:
    """One name for each device, known without torch, so that a waiting job costs no memory."""
    if device == "auto":
        if any(Path("/dev").glob("nvidia[0-9]*")):
            return "cuda:0"
        return "mps" if (platform.system(), platform.machine()) == ("Darwin", "arm64") else "cpu"
    return "cuda:0" if device == "cuda" else device


def memory_bytes() -> tuple[int, int]:
    """Memory that this process holds now, and that the machine has."""
    return psutil.Process().memory_info().rss, psutil.virtual_memory().total


def _spawn(store: RunStore, run_id: str, command: list[str], data: Path | None) -> None:
    folder = store.folder(run_id)
    more = ["--runs", str(store.root.absolute()), *(["--data", str(data.absolute())] if data else [])]
    with store.workers.hold(run_id):
        descriptor = store.workers.lend(run_id)
        arguments = [sys.executable, "-m", "esacl", *command, *more, "--held-lock", str(descriptor)]
        try:
            with (folder / "log.txt").open("ab") as log:
                process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(descriptor,),
                )
            _children.append(process)
        except OSError as error:
            raise InputError(f"run {run_id} cannot be started ({error.strerror}); mend {folder}") from None


def _wait(store: RunStore, run_id: str, key: str, lock: Path) -> int | None:
    flag = store.folder(run_id) / "CANCEL"
    while not flag.exists():
        if store.workers.position(run_id, key, store.ids()) == 1:
            descriptor = locks.take(lock)
            if descriptor is not None:
                return descriptor
        time.sleep(_POLL)
    return None


def _end(worker: dict[str, Any], *, hard: bool) -> None:
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
