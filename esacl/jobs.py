"""Jobs: one `python -m esacl ...` process a run, which outlives whoever started it; the run's folder tells all.

A job holds the lock of its run from before it exists (it inherits the descriptor), so there is no instant at which
it looks dead, and the system drops the lock whenever and however it ends.
"""

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

from esacl import logs, quota
from esacl.config import RunConfig
from esacl.device_turns import device_key
from esacl.durable import replace_file
from esacl.errors import InputError, RunUnreadable
from esacl.events import Failed, RunFinished
from esacl.processes import end, launch
from esacl.records import read_events
from esacl.store import RunStore
from esacl.tickets import ANALYSIS, RUN, Ticket

GRACE = 15.0  # seconds from asking a job to stop to ending it, and again from that to killing it
MOST_DEATHS = 3  # of a job's processes at one place, before it is let be

_one_at_a_time = threading.Lock()  # two clicks at once do not both take the last place of their owner
_children: list[subprocess.Popen[bytes]] = []


def start(config: RunConfig, store: RunStore, data: Path | None = None, *, owner: str = "") -> str:
    """Start a run in a process of its own and return its id at once.

    Args:
        config: what to run.
        store: where to keep it.
        data: where the data sets lie.
        owner: who asks, on a server where people log in.

    Raises:
        InputError: the runs folder cannot be written, no process can be started, or the owner has as much as the
            server allows.
    """
    with _one_at_a_time:
        quota.check(store, owner)
        run_id = store.create(config)
        try:
            quota.claim(store, run_id, owner)
            _owe(store, run_id, ["run", "--into", run_id], RUN, data, owner)
        except (InputError, OSError) as error:
            store.delete(run_id)
            raise error if isinstance(error, InputError) else InputError(_unwritten(store, error)) from None
    return run_id


def resume(store: RunStore, run_id: str, data: Path | None = None, *, owner: str = "") -> None:
    """Go on with a cancelled, failed or lost run from its last checkpoint.

    Raises:
        InputError: it is finished or being worked on, no process can be started, or the owner has as much as the
            server allows.
    """
    done = store.folder(run_id) / "done.json"
    _check_stopped(store, run_id)
    with _one_at_a_time:
        quota.check(store, owner)  # before the run is held: one that is counts as at work, and this one may be owed
        with store.workers.hold(run_id):
            before = done.read_bytes() if done.is_file() else None

            def reopen() -> None:
                store.reopen(run_id)
                done.unlink(missing_ok=True)

            try:
                _owe(store, run_id, ["resume", run_id], RUN, data, owner, first=reopen)
            except InputError:
                with contextlib.suppress(OSError):  # how it ended is not forgotten because it could not go on
                    if before is not None and not done.exists():
                        replace_file(done, before)
                raise


def analyse(
    store: RunStore,
    run_id: str,
    kind: str,
    options: Mapping[str, Any],
    data: Path | None = None,
    *,
    owner: str = "",
) -> None:
    """Analyse a run in a process of its own; `store.tail(run_id, "analyses")` follows it.

    Args:
        store: where the run is.
        run_id: the run.
        kind: as `esacl analyse` takes it.
        options: its options, by name: {"task": 1, "points": 51, "check": True}; None and False are left out.
        data: where the data sets lie.
        owner: who asks.

    Raises:
        InputError: the run is being worked on, no process can be started, or the owner has as much as the server
            allows.
    """
    flags: list[str] = []
    for name, value in options.items():
        if value is not None and value is not False:
            flags += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    with _one_at_a_time:
        quota.check(store, owner)
        with store.workers.hold(run_id):
            owed = store.workers.queue.of(run_id)
            if owed is not None and owed.priority == RUN:
                # A run has one ticket: with this one what it is owed would be forgotten.
                raise InputError(f"run {run_id} has not come to its end; resume or cancel it, then analyse it")
            _owe(
                store, run_id, ["analyse", run_id, kind, *flags], ANALYSIS, data, owner,
                first=partial(store.reopen, run_id),
            )  # fmt: skip


def recover(store: RunStore) -> list[str]:
    """Start again, in their order, the jobs that are owed and whose process died: with the server, with the machine.

    A run that was at work goes on from its last checkpoint. One whose process dies at the same place again and again
    is let be: it stays lost, for somebody to look into.

    Returns:
        The runs that were picked up.
    """
    found = []
    for ticket in store.workers.queue.tickets():
        with contextlib.suppress(InputError, OSError):
            if not (store.root / ticket.run_id).is_dir():
                store.workers.queue.tear_up(ticket.run_id)
                continue
            with store.workers.hold(ticket.run_id):  # nobody works on it, or this is refused
                current = store.workers.queue.of(ticket.run_id)  # it may have come to its end meanwhile
                if current is not None and _picked_up(store, current):
                    found.append(ticket.run_id)
    if found:
        logs.note(logs.server_log(store.root), "picked up", runs=found)
    return found


def _picked_up(store: RunStore, ticket: Ticket) -> bool:
    run_id, queue = ticket.run_id, store.workers.queue
    content = queue.content(ticket)
    command = _command(content.get("command"), run_id)
    if command is None or _is_over(store, run_id, command[0], ticket):
        queue.tear_up(run_id)
        return False
    here = mark(store.folder(run_id))
    before = content.get("deaths") if content.get("mark") == here else 0
    deaths = (before if type(before) is int and before > 0 else 0) + ticket.working
    if deaths > MOST_DEATHS:
        queue.tear_up(run_id)
        logs.note(logs.job_log(store.folder(run_id)), "given up", deaths=deaths)
        return False
    queue.put_back(ticket, content | {"deaths": deaths, "mark": here})
    if command[0] != "analyse":
        (store.folder(run_id) / "done.json").unlink(missing_ok=True)
    again = ["resume", run_id] if command[0] == "run" and ticket.working else command
    data = content.get("data")
    _spawn(store, run_id, again, Path(data) if _is_word(data) else None)
    return True


def _command(told: Any, run_id: str) -> list[str] | None:
    """What a ticket says where it is the command of a job on this run: a ticket may be damaged."""
    if not isinstance(told, list) or not all(map(_is_word, told)):
        return None
    known = told in (["run", "--into", run_id], ["resume", run_id]) or told[:2] == ["analyse", run_id]
    return told if known else None


def _is_word(told: object) -> TypeGuard[str]:
    """Whether the arguments of a process can hold it."""
    return isinstance(told, str) and "\0" not in told and not re.search("[\ud800-\udfff]", told)


def _is_over(store: RunStore, run_id: str, kind: str, ticket: Ticket) -> bool:
    """Whether what a ticket is for has come to its end, or is not wanted any more."""
    folder = store.folder(run_id)
    if (folder / "CANCEL").exists():
        return True
    if kind != "analyse":
        return store.status(run_id).state in ("finished", "failed", "unreadable")
    told = folder / "analyses.jsonl"
    try:
        events = read_events(told)
    except RunUnreadable as error:  # whoever took it up again would meet the same
        logs.note(logs.job_log(folder), "given up", detail=str(error))
        return True
    # One that was cancelled by hand has no ticket any more.
    ended = bool(events) and isinstance(events[-1], (RunFinished, Failed))
    return ended and told.stat().st_mtime_ns > ticket.number


def mark(folder: Path) -> str:
    """How far the run has come: the name of its newest checkpoint."""
    return max((path.name for path in (folder / "checkpoints").glob("*.safetensors")), default="")


def cancel(store: RunStore, run_id: str) -> None:
    """Ask a job to stop after its current event; `reap` ends one that does not listen.

    Raises:
        InputError: the run's folder cannot be written.
    """
    store.cancel(run_id)
    store.workers.queue.tear_up(run_id)
    logs.note(logs.server_log(store.root), "cancel", run=run_id)


def reap(store: RunStore, grace: float = GRACE) -> None:
    """Collect ended child processes, and end the jobs that were asked to stop longer than `grace` seconds ago."""
    _children[:] = [child for child in _children if child.poll() is None]
    for flag in store.root.glob("*/CANCEL"):
        run_id = flag.parent.name
        with contextlib.suppress(OSError, InputError):
            waited = time.time() - flag.stat().st_mtime
            if store.workers.alive(run_id):
                if waited > grace:
                    end(store.workers.about(run_id), hard=waited > 2 * grace)
            elif (flag.parent / "done.json").exists():
                store.reopen(run_id)
            else:
                store.finish(run_id, "cancelled", "ended before it could note where it stood")


def mind(process: subprocess.Popen[bytes]) -> None:
    """Have `reap` collect a child process, once it has ended, beside those of jobs."""
    _children.append(process)


def _check_stopped(store: RunStore, run_id: str) -> None:
    status = store.status(run_id)
    if status.live or status.state == "finished":
        raise InputError(f"run {run_id} is {status.state}; only a stopped run can be resumed")


def _owe(
    store: RunStore,
    run_id: str,
    command: list[str],
    priority: int,
    data: Path | None,
    owner: str = "",
    *,
    first: Callable[[], None] = lambda: None,
) -> None:
    """Write down that a job is owed, do what has to be done `first`, then start it."""
    if data is not None and not _is_word(str(data.absolute())):  # who takes the job up again would look elsewhere
        raise InputError(f"data folder {str(data)!a} has a name that is not UTF-8; rename it")
    device = device_key(store.config(run_id).device)
    content = {"command": command, "data": str(data.absolute()) if data else None, "owner": owner}
    try:
        with store.workers.hold(run_id), store.workers.queue.drawn(run_id, device, priority, content):
            first()
            _spawn(store, run_id, command, data)
    except OSError as error:
        raise InputError(_unwritten(store, error)) from None
    logs.note(logs.server_log(store.root), "start", run=run_id, command=command, device=device)
    with contextlib.suppress(InputError):  # what was asked is done; the next job makes room
        quota.make_room(store, owner)


def _unwritten(store: RunStore, error: OSError) -> str:
    return f"runs folder {store.root} cannot be written ({error.strerror}); mend it"


def _spawn(store: RunStore, run_id: str, command: list[str], data: Path | None) -> None:
    with store.workers.hold(run_id):
        _children.append(launch(store, run_id, ["esacl", *command], data))
