import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from small_stream import CONFIG, SmallStream

from esacl import computing, device_turns, jobs, locks, processes, stopping, turns
from esacl.config import RunConfig
from esacl.durable import replace_json
from esacl.errors import InputError
from esacl.events import Cancelled, RunFinished, RunStarted
from esacl.store import RunStore

pytestmark = pytest.mark.processes

TINY = RunConfig(
    tasks=1, epochs=1, train_limit=32, device="cpu", curvature={"grid": 0, "top": 0, "levels": 2, "examples": 16}
)
ENDLESS = RunConfig(tasks=1, epochs=10_000, device="cpu")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore(tmp_path / "runs")
    yield store
    for child in jobs._children:
        child.kill()
        child.wait()
    jobs._children.clear()


@pytest.fixture
def busy(store: RunStore) -> Iterator[int]:
    """The processor is taken, so that jobs wait without loading torch."""
    (store.root / ".locks").mkdir(parents=True)
    descriptor = locks.take(store.root / ".locks" / "cpu.lock")
    yield descriptor
    os.close(descriptor)


def wait_for(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def state(store: RunStore, run_id: str) -> str:
    return store.status(run_id).state


def test_a_job_leaves_the_processor_to_the_server_and_a_command_of_ones_own_does_not(store, busy):
    own = psutil.Process().nice()
    run_id = jobs.start(TINY, store)
    wait_for(lambda: "pid" in store.workers.about(run_id))
    worker = psutil.Process(store.workers.about(run_id)["pid"])
    wait_for(lambda: worker.nice() == min(own + 10, 19))
    group = Path(f"/proc/{worker.pid}/autogroup")
    if group.exists():
        wait_for(lambda: group.read_text().split()[-1] == str(worker.nice()))
    code = "import os; from esacl import priority; priority.give_way(); print(os.nice(0))"
    assert int(subprocess.check_output([sys.executable, "-c", code])) == own


def test_a_job_leaves_the_processor_before_it_imports_anything():
    code = "import sys, esacl.__main__; print(*sorted(name for name in sys.modules if name.startswith('esacl')))"
    found = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert found == ["esacl", "esacl.__main__", "esacl.priority"]


def test_a_job_imports_the_commands_of_jobs_alone():
    code = "import sys; from esacl import cli; cli.parser(of_job=True); print(*sys.modules)"
    found = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert {"esacl.run_commands", "esacl.analyse_command"} <= {*found}
    assert not {"esacl.sweep.command", "esacl.keeping", "esacl.read_commands", "esacl.serving"} & {*found}


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this system weighs no sessions")
def test_a_session_gives_way_as_much_as_the_process_that_began_it():
    code = "from esacl import priority; priority.weigh_session(); print(open('/proc/self/autogroup').read())"
    words = ["nice", "-n", "7", sys.executable, "-c", code]
    told = subprocess.check_output(words, text=True, start_new_session=True)
    assert int(told.split()[-1]) == min(os.nice(0) + 7, 19)


def test_a_job_is_at_work_from_its_first_instant_and_finishes(store):
    run_id = jobs.start(TINY, store)
    assert state(store, run_id) in ("loading", "running")
    wait_for(lambda: not store.status(run_id).live)
    assert store.status(run_id).state == "finished", (store.folder(run_id) / "log.txt").read_text()
    assert isinstance(store.read(run_id).events[-1], RunFinished)
    worker = store.workers.about(run_id)
    assert worker["pid"] != os.getpid()
    assert "waiting_for" not in worker
    jobs.reap(store)
    wait_for(lambda: jobs.reap(store) is None and not jobs._children)


def test_a_running_job_stops_at_the_flag_and_can_be_resumed(store):
    run_id = jobs.start(ENDLESS, store)
    wait_for(lambda: any(isinstance(e, RunStarted) for e in store.read(run_id).events))
    assert state(store, run_id) == "running"
    with pytest.raises(InputError, match="is running; only a stopped run"):
        jobs.resume(store, run_id)
    jobs.cancel(store, run_id)
    wait_for(lambda: not store.status(run_id).live)
    assert state(store, run_id) == "cancelled"
    assert store.read(run_id).events[-1] == Cancelled()
    jobs.resume(store, run_id)
    assert store.status(run_id).live


def test_a_step_that_takes_long_is_interrupted_by_the_flag(store):
    run_id = store.create(TINY)
    store.cancel(run_id)

    def step() -> None:
        with stopping.on_request(store, run_id):
            time.sleep(300)

    with pytest.raises(KeyboardInterrupt):
        step()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_request_is_as_old_as_it_was_seen_and_not_as_a_clock_says(store):
    run_id = store.create(CONFIG)
    store.cancel(run_id)
    ahead = time.time() + 3600
    os.utime(store.folder(run_id) / "CANCEL", (ahead, ahead))

    def step() -> None:
        with stopping.on_request(store, run_id):
            time.sleep(20 * stopping.PATIENCE)

    with pytest.raises(KeyboardInterrupt):
        step()


def test_a_request_from_before_interrupts_nothing_that_has_only_begun(store):
    run_id = store.create(CONFIG)
    store.cancel(run_id)
    os.utime(store.folder(run_id) / "CANCEL", (1, 1))
    with stopping.on_request(store, run_id):
        time.sleep(stopping.PATIENCE / 2)  # an interruption would end this test


def test_who_stops_a_run_before_it_is_recorded_has_cancelled_it(store, monkeypatch):
    run_id = store.create(CONFIG)

    def interrupted(*_, **__):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(RunStore, "record", interrupted)
    assert computing.run_job(store, run_id, None, as_json=True) == turns.CANCELLED
    assert store.status(run_id).state == "cancelled"


def test_jobs_wait_for_their_device_in_order(store, busy):
    first = jobs.start(ENDLESS, store)
    wait_for(lambda: state(store, first) == "queued")
    second = jobs.start(ENDLESS, store)
    wait_for(lambda: state(store, second) == "queued")
    assert store.status(first).position == 1
    assert store.status(second).position == 2
    assert "cpu" in store.status(second).detail
    assert store.read(second).events == ()
    waiting = psutil.Process(store.workers.about(second)["pid"])
    if hasattr(waiting, "memory_maps"):
        assert not any("torch" in mapped.path for mapped in waiting.memory_maps())
    jobs.cancel(store, first)
    wait_for(lambda: state(store, first) == "cancelled")
    assert store.status(second).position == 1


def test_a_job_that_is_killed_is_lost_and_can_be_resumed(store, busy):
    run_id = jobs.start(TINY, store)
    wait_for(lambda: state(store, run_id) == "queued")
    os.kill(store.workers.about(run_id)["pid"], signal.SIGKILL)
    wait_for(lambda: state(store, run_id) == "lost")
    assert "resume" in store.status(run_id).detail
    jobs.resume(store, run_id)
    wait_for(lambda: state(store, run_id) == "queued")


def test_refused_input_is_told_in_the_folder(store, tmp_path, monkeypatch):
    run_id = jobs.start(TINY.model_copy(update={"device": "cuda:99"}), store)
    wait_for(lambda: not store.status(run_id).live)
    status = store.status(run_id)
    assert status.state == "failed"
    assert "cuda:99" in status.detail


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(100)"


def _worker(store: RunStore, run_id: str, code: str, started_off_by: float = 0.0) -> subprocess.Popen:
    """A process that holds the run as a job does, and runs `code`."""
    with store.workers.hold(run_id):
        descriptor = store.workers.lend(run_id)
        process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=(descriptor,), start_new_session=True, stdout=subprocess.PIPE
        )
    process.stdout.readline()
    started = psutil.Process(process.pid).create_time() + started_off_by
    replace_json(store.folder(run_id) / "worker.json", {"pid": process.pid, "started": started})
    jobs._children.append(process)
    return process


def _asked(store: RunStore, run_id: str, seconds_ago: float) -> None:
    store.cancel(run_id)
    then = time.time() - seconds_ago
    os.utime(store.folder(run_id) / "CANCEL", (then, then))


def test_a_job_that_does_not_listen_is_ended_and_at_last_killed(store):
    run_id = store.create(CONFIG)
    process = _worker(store, run_id, STUBBORN)
    _asked(store, run_id, 5)
    jobs.reap(store, grace=10)
    _asked(store, run_id, 15)
    jobs.reap(store, grace=10)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    _asked(store, run_id, 25)
    jobs.reap(store, grace=10)
    assert process.wait(10) == -signal.SIGKILL
    jobs.reap(store, grace=10)
    assert state(store, run_id) == "cancelled"
    process.stdout.close()


def test_a_process_that_only_has_the_number_is_left_alone(store):
    run_id = store.create(CONFIG)
    process = _worker(store, run_id, STUBBORN, started_off_by=-100)
    _asked(store, run_id, 100)
    jobs.reap(store, grace=10)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.stdout.close()


@pytest.mark.parametrize("about", [{}, {"pid": "x"}, {"pid": -1, "started": 0}, {"pid": 2**40, "started": None}])
def test_a_damaged_worker_file_ends_nobody(store, about):
    run_id = store.create(CONFIG)
    process = _worker(store, run_id, STUBBORN)
    replace_json(store.folder(run_id) / "worker.json", about)
    _asked(store, run_id, 100)
    jobs.reap(store, grace=10)
    assert process.poll() is None
    process.stdout.close()


def test_a_flag_that_came_too_late_is_cleared(store):
    run_id = store.create(CONFIG)
    for _ in store.record(SmallStream(), run_id):
        pass
    jobs.cancel(store, run_id)
    jobs.reap(store)
    assert not (store.folder(run_id) / "CANCEL").exists()
    assert state(store, run_id) == "finished"


def test_a_finished_run_is_not_started_again(store):
    list(store.record(SmallStream()))
    with pytest.raises(InputError, match="is finished"):
        jobs.resume(store, store.resolve("latest"))


def test_a_refused_analysis_leaves_a_cancellation_standing(store):
    run_id = store.create(CONFIG)
    process = _worker(store, run_id, STUBBORN)
    store.cancel(run_id)
    with pytest.raises(InputError, match="being worked on"):
        jobs.analyse(store, run_id, "landscape", {})
    assert (store.folder(run_id) / "CANCEL").exists()
    process.kill()
    process.wait()
    process.stdout.close()


def test_nothing_is_left_where_no_process_can_be_started(store, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(processes.subprocess, "Popen", refuse)
    with pytest.raises(InputError, match="cannot be started"):
        jobs.start(TINY, store)
    assert store.ids() == ()


@pytest.mark.parametrize(("device", "key"), [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu"), ("mps", "mps")])
def test_each_device_has_one_queue(device, key):
    assert device_turns.device_key(device) == key
    assert device_turns.device_key("auto") in ("cpu", "cuda:0", "mps")
