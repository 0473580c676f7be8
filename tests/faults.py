"""Runs in processes of their own that are killed at some moment and gone on with, and what has to come of it.

The processes are forks of one server that has loaded torch already; what they do is what the command line does.
"""

import contextlib
import io
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np

from esacl import computing, turns
from esacl.checkpoints import newest
from esacl.config import RunConfig
from esacl.event_lines import to_line
from esacl.events import CheckpointReady, Event, Pulse, Stepped
from esacl.records import read_events
from esacl.store import RunStore

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0  # seconds until a process is taken for hung


def processes() -> ForkServerContext:
    """Where the processes come from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["esacl.computing", "warm"])
    with _found_by_the_server():
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _found_by_the_server() -> Iterator[None]:
    """The server is a fresh interpreter, which takes over no sys.path and passes in silence over what it lacks."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in (str(ROOT), str(ROOT / "tests"), before) if path)
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def work(root: str, run_id: str, resumes: bool, acknowledged: str) -> None:
    """What `esacl run --into` and `esacl resume` do; every event that is passed on is noted in a file."""
    assert "warm" in sys.modules, "the server of processes has not loaded what its forks are to have"
    noted = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    follow = turns.follow

    def following(events: Iterable[Event], folder: Path) -> Any:
        return follow(_noting(events, noted), folder)

    turns.follow = following
    store = RunStore(root)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if resumes:
            code = computing.resume(store, run_id, None, as_json=True, job=False)
        else:
            code = computing.run_job(store, run_id, None, as_json=True)
    os._exit(code)


def _noting(events: Iterable[Event], noted: int) -> Iterator[Event]:
    for event in events:
        if not isinstance(event, (CheckpointReady, Pulse)):
            os.write(noted, (to_line(event) + "\n").encode())
        yield event


@dataclass(frozen=True)
class Moment:
    """When a run was killed: how many events it had passed on and kept, and after how many of them it goes on."""

    acknowledged: int
    kept: int
    goes_on_after: int
    repeats: tuple[tuple[int, int], ...]  # (task, epoch) of the steps that come again


@dataclass
class Killed:
    """A run that was killed, and when."""

    run_id: str
    moments: list[Moment] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How often."""
        return len(self.moments)


def undisturbed(store: RunStore, config: RunConfig) -> str:
    """The id of a run from its beginning to its end."""
    run_id = store.create(config)
    assert _joined(_started(store, run_id, resumes=False)) == 0, _log(store, run_id)
    return run_id


def killed_and_resumed(store: RunStore, config: RunConfig, whole: str, kills: int, rng: random.Random) -> Killed:
    """A run of the same config, killed so often at random moments and each time gone on with, to its end."""
    size = (store.folder(whole) / "events.jsonl").stat().st_size
    killed = Killed(store.create(config))
    resumes, least = False, 0
    while killed.kills < kills:
        process = _started(store, killed.run_id, resumes=resumes)
        if not _kill(process, store.folder(killed.run_id) / "events.jsonl", rng.randint(least, size), rng):
            break  # it was faster: nothing is left to kill
        killed.moments.append(_check_nothing_is_lost(store, killed.run_id))
        resumes = True
    if store.status(killed.run_id).state != "finished":
        assert store.status(killed.run_id).state == "lost"
        assert _joined(_started(store, killed.run_id, resumes=True)) == 0, _log(store, killed.run_id)
    return killed


def check_the_same(store: RunStore, one: str, other: str) -> None:
    """Event for event, array for array and weight for weight, bit for bit."""
    a, b = store.folder(one), store.folder(other)
    assert (a / "events.jsonl").read_bytes() == (b / "events.jsonl").read_bytes()
    assert store.status(one).state == store.status(other).state == "finished"
    assert store.array_names(one) == store.array_names(other)
    for name in store.array_names(one):
        _equal(store.array(one, name), store.array(other, name))
    names = [sorted(path.name for path in (folder / "checkpoints").iterdir()) for folder in (a, b)]
    assert names[0] == names[1]
    first, second = store.checkpoint(one), store.checkpoint(other)
    assert first is not None
    assert second is not None
    assert (first.task, first.epoch, first.counters) == (second.task, second.epoch, second.counters)
    _equal(first.tensors, second.tensors)


def _equal(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert one[name].shape == other[name].shape, name
        assert np.ascontiguousarray(one[name]).tobytes() == np.ascontiguousarray(other[name]).tobytes(), name


def _check_nothing_is_lost(store: RunStore, run_id: str) -> Moment:
    """Every event that was passed on is kept, and going on repeats no more than one epoch."""
    folder = store.folder(run_id)
    noted = _acknowledged(store, run_id)
    lines = noted.read_bytes().split(b"\n")[:-1] if noted.exists() else []
    passed = [line for line in lines if b'"Loading"' not in line]
    kept = [line for line in (folder / "events.jsonl").read_bytes().split(b"\n")[:-1] if b'"Loading"' not in line]
    found = newest(folder / "checkpoints")
    assert set(passed) <= set(kept), "acknowledged events were lost"
    events = read_events(folder / "events.jsonl")
    after = found[1].lines if found else 0
    epochs = {(event.task, event.epoch) for event in events[after:] if isinstance(event, Stepped)}
    assert len(epochs) <= 1, f"epochs {epochs} would be repeated"
    return Moment(len(passed), len(events), after, tuple(epochs))


def _started(store: RunStore, run_id: str, *, resumes: bool) -> ForkServerProcess:
    noted = _acknowledged(store, run_id)
    noted.unlink(missing_ok=True)
    process = processes().Process(target=work, args=(str(store.root), run_id, resumes, str(noted)))
    process.start()
    return process


def _kill(process: ForkServerProcess, events: Path, at: int, rng: random.Random) -> bool:
    """SIGKILL once the events file has `at` bytes and a random while has passed; False where the run was over."""
    end = time.monotonic() + PATIENCE
    while process.is_alive() and not (events.exists() and events.stat().st_size >= at):
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.0005)
    time.sleep(rng.random() * 0.02)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _joined(process: ForkServerProcess) -> int | None:
    process.join(PATIENCE)
    return process.exitcode


def _acknowledged(store: RunStore, run_id: str) -> Path:
    return store.root / f".{run_id}.acknowledged"


def _log(store: RunStore, run_id: str) -> str:
    status = store.status(run_id)
    return f"{status.state}: {status.detail}"
