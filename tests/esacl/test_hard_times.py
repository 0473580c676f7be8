"""What a machine can refuse, for real and in processes of their own: a clear last event, a readable run, a way on."""

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faults
import pytest
from faults import check_the_same, processes, undisturbed
from tiny_runs import tiny

from esacl import jobs, logs
from esacl.events import Cancelled, Failed
from esacl.store import RunStore

pytestmark = pytest.mark.processes

CONFIG = tiny({"method": "finetune", "sparsity": 0.8})


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing disturbed."""
    store = RunStore(tmp_path_factory.mktemp("whole"))
    return store.folder(undisturbed(store, CONFIG))


def carried_out(store: RunStore, run_id: str, hardship: str, resumes: bool = False) -> int | None:
    """A process that works on the run under a hardship; its exit code."""
    process = processes().Process(target=under, args=(hardship, str(store.root), run_id, resumes))
    process.start()
    process.join(faults.PATIENCE)
    return process.exitcode


def under(hardship: str, root: str, run_id: str, resumes: bool) -> None:
    HARDSHIPS[hardship](Path(root) / run_id)
    faults.work(root, run_id, resumes, os.devnull)


def nothing(folder: Path) -> None:
    """All is well."""


def small_files_only(folder: Path) -> None:
    """No file may be larger than the events, and a checkpoint is."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


def little_memory(folder: Path) -> None:
    """A step of the second epoch asks for a gigabyte more than the process may have."""
    import torch

    from esacl.training import Learner

    step = Learner._step

    def greedy(self: Any, stage: Any, rows: Any, number: int, schedule: Any) -> Any:
        if number >= 4:
            now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + 2**28, resource.RLIM_INFINITY))
            torch.empty(2**28)
        return step(self, stage, rows, number, schedule)

    Learner._step = greedy  # type: ignore[method-assign]


def after_the_first_checkpoint(act: Any) -> Any:
    """Do something to the folder once a checkpoint is there."""

    def hardship(folder: Path) -> None:
        from esacl import recording

        write = recording.write_checkpoint

        def then(*arguments: Any) -> None:
            write(*arguments)
            act(folder)

        recording.write_checkpoint = then

    return hardship


def file_for_a_folder(folder: Path) -> None:
    if (folder / "checkpoints").is_dir():
        (folder / "checkpoints").rename(folder / "aside")
        (folder / "checkpoints").write_text("")


HARDSHIPS = {
    "none": nothing,
    "small files only": small_files_only,
    "little memory": little_memory,
    "a file for a folder": after_the_first_checkpoint(file_for_a_folder),
}


def goes_on(store: RunStore, run_id: str, whole: Path) -> None:
    """It can be read, resumed, and then is as if nothing had happened."""
    assert store.read(run_id).config == CONFIG
    assert carried_out(store, run_id, "none", resumes=True) == 0, store.status(run_id).detail
    shutil.copytree(whole, store.root / whole.name, dirs_exist_ok=True)
    check_the_same(store, whole.name, run_id)


def last(store: RunStore, run_id: str) -> str:
    events = store.read(run_id).events
    assert isinstance(events[-1], Failed), events[-1:]
    status = store.status(run_id)
    assert (status.state, status.detail) == ("failed", events[-1].error)
    return events[-1].error


def test_a_checkpoint_that_finds_no_room(store, whole):
    run_id = store.create(CONFIG)
    assert carried_out(store, run_id, "small files only") == 1
    told = last(store, run_id)
    assert "cannot be written (File too large); make room, then `esacl resume" in told
    goes_on(store, run_id, whole)


def test_too_little_memory(store, whole):
    run_id = store.create(CONFIG)
    assert carried_out(store, run_id, "little memory") == 1
    assert last(store, run_id).startswith("out of memory; take batch_size 8 or")
    assert store.checkpoint(run_id) is not None
    goes_on(store, run_id, whole)


def test_a_folder_that_cannot_be_written_any_more(store, whole):
    run_id = store.create(CONFIG)
    folder = store.folder(run_id)
    assert carried_out(store, run_id, "a file for a folder") == 1
    assert "cannot be written (File exists)" in last(store, run_id)
    (folder / "checkpoints").unlink()
    (folder / "aside").rename(folder / "checkpoints")
    goes_on(store, run_id, whole)


def test_a_loss_that_is_not_finite(store):
    run_id = store.create(tiny({"method": "derpp", "lr": 10.0, "momentum": 0.99}))
    assert carried_out(store, run_id, "none") == 1
    assert "try a smaller lr than 10.0" in last(store, run_id)
    entries = (logs.job_log(store.folder(run_id))).read_text()
    assert '"what": "failed"' in entries
    assert "try a smaller lr" in entries


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 200 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(place)], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_keeps_room_for_the_last_word(disk, whole):
    store = RunStore(disk)
    run_id = store.create(CONFIG)
    assert carried_out(store, run_id, "none") == 1
    assert "No space left on device" in last(store, run_id)
    assert not list(store.folder(run_id).rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    goes_on(store, run_id, whole)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_job_that_the_system_stops_stays_owed_and_one_that_is_cancelled_does_not(store, whole, cancelled):
    run_id = store.create(CONFIG)
    store.workers.queue.draw(run_id, "cpu", 1, {"command": ["run", "--into", run_id], "data": None})
    process = processes().Process(target=under, args=("none", str(store.root), run_id, False))
    process.start()
    events = store.folder(run_id) / "events.jsonl"
    while not (events.exists() and b"Stepped" in events.read_bytes()):
        assert process.is_alive()
        time.sleep(0.002)
    if cancelled:
        jobs.cancel(store, run_id)
    os.kill(process.pid, signal.SIGTERM)
    process.join(faults.PATIENCE)
    # One that was cancelled may be on its way out when the signal comes, and listens to none any more.
    assert process.exitcode in ((130, -signal.SIGTERM) if cancelled else (130,))
    assert store.read(run_id).events[-1] == Cancelled()
    assert store.status(run_id).state == "cancelled"
    ticket = store.workers.queue.of(run_id)
    assert (ticket is None) == cancelled
    if ticket is not None:
        goes_on(store, run_id, whole)
        assert store.workers.queue.of(run_id) is None
