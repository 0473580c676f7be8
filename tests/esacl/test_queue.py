"""The queue: order, priority, and that whatever dies, every job that is owed is done once."""

import json
import os
import time
from pathlib import Path

import pytest
from small_stream import CONFIG, SmallStream
from test_jobs import ENDLESS, TINY, busy, store, wait_for

from esacl import device_turns, jobs, logs
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.events import RunFinished
from esacl.store import RunStore
from esacl.tickets import ANALYSIS, RUN, Queue, plain

pytestmark = pytest.mark.processes

__all__ = ["busy", "store"]  # fixtures


def draw(queue: Queue, *jobs_: tuple[str, int], device: str = "cpu") -> None:
    for run_id, priority in jobs_:
        queue.draw(run_id, device, priority, {"command": ["resume", run_id]})


def order(queue: Queue) -> list[str]:
    return [ticket.run_id for ticket in queue.tickets()]


@pytest.fixture
def queue(tmp_path) -> Queue:
    return Queue(tmp_path)


def test_analyses_go_before_runs_and_otherwise_the_first_comes_first(queue):
    draw(queue, ("b", RUN), ("a", RUN), ("d", ANALYSIS), ("c", ANALYSIS))
    assert order(queue) == ["d", "c", "b", "a"]
    assert [ticket.run_id for ticket in queue.ahead("a")] == ["d", "c", "b"]
    assert order(Queue(queue.folder.parent)) == order(queue)


def test_a_clock_that_is_set_back_puts_nobody_first(queue, monkeypatch):
    draw(queue, ("a", RUN))
    monkeypatch.setattr(time, "time_ns", lambda: 5)
    draw(queue, ("b", RUN))
    assert order(queue) == ["a", "b"]


def test_each_device_has_its_own_and_who_works_is_not_waited_for(queue):
    draw(queue, ("a", RUN), ("b", RUN))
    draw(queue, ("c", RUN), device="cuda:1")
    assert queue.ahead("c") == []
    queue.begin("a")
    assert queue.ahead("b") == []
    queue.put_back(queue.of("a"), {"command": []})
    assert [ticket.run_id for ticket in queue.ahead("b")] == ["a"]


def test_a_run_has_one_ticket_and_none_when_it_is_torn_up(queue):
    draw(queue, ("a", RUN), ("b", RUN), ("a", RUN))
    assert order(queue) == ["b", "a"]
    queue.tear_up("a")
    queue.tear_up("a")
    assert order(queue) == ["b"]
    assert queue.of("a") is None


@pytest.mark.parametrize("had", [True, False])
def test_a_ticket_that_came_to_nothing_leaves_the_one_before(queue, had):
    draw(queue, ("b", RUN), *[("a", RUN)] * had)
    if had:
        queue.begin("a")
        queue.put_back(queue.of("a"), {"command": ["resume", "a"]})
    before = {path.name: path.read_bytes() for path in queue.folder.iterdir()}

    def come_to_nothing():
        with queue.drawn("a", "cpu", ANALYSIS, {"command": ["analyse"]}):
            assert order(queue) == ["a", "b"]
            raise InputError("no process can be started")

    with pytest.raises(InputError):
        come_to_nothing()
    assert {path.name: path.read_bytes() for path in queue.folder.iterdir()} == before


class Died(BaseException):
    """Nothing that this process would have done next is done."""


def test_who_dies_while_a_ticket_is_drawn_or_torn_up_leaves_one_that_counts(queue, monkeypatch):
    draw(queue, ("b", RUN), ("a", RUN), ("c", RUN))
    names = {path.name for path in queue.folder.iterdir()}
    entered = queue.drawn("a", "cuda:0", RUN, {"command": ["resume", "a", "again"]})
    entered.__enter__()  # whoever draws it dies here
    left = Queue(queue.folder.parent)  # of whoever comes after
    assert order(left) == ["b", "c", "a"]
    assert left.content(left.of("a"))["command"] == ["resume", "a", "again"]
    left.begin("a")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", dies_at_the_second(Path.unlink))
        with pytest.raises(Died):
            left.tear_up("a")
    assert order(left) == ["b", "c", "a"]
    assert (left.of("a").device, left.of("a").working) == ("cuda0", True)
    left.tear_up("a")
    assert order(left) == ["b", "c"]
    assert {path.name for path in left.folder.iterdir()} < names


def dies_at_the_second(unlink):
    calls = []

    def dying(path, **more):
        calls.append(path)
        if len(calls) > 1:
            raise Died
        unlink(path, **more)

    return dying


@pytest.mark.parametrize("device", ["../../etc/x", "cuda:0", "", "ä" * 99, "a.1.2.waiting.x", "x\0y"])
def test_a_device_leads_nowhere(queue, device):
    draw(queue, ("a", RUN), device=device)
    assert order(queue) == ["a"]
    assert {path.name for path in queue.folder.iterdir()} == {queue.of("a").path.name}
    assert "/" not in plain(device)


def test_strange_files_are_no_tickets(queue):
    draw(queue, ("a", RUN))
    (queue.folder / "cpu.1.7.waiting.b.json").write_text("{}")
    (queue.folder / "notes.txt").write_text("")
    queue.of("a").path.write_text("[")
    assert order(queue) == ["a"]
    assert queue.content(queue.of("a")) == {}


# Who is served


def test_a_newcomer_does_not_take_a_free_device_from_who_waits(store):
    first, second = store.create(CONFIG), store.create(CONFIG)
    draw(store.workers.queue, (first, RUN), (second, RUN))
    lock = store.root / "cpu.lock"
    other = RunStore(store.root)
    with other.workers.hold(first):
        assert device_turns._take(store, second, lock, "cpu") is None
    held = device_turns._take(store, second, lock, "cpu")  # who is dead is not waited for
    os.close(*held)


# Picking up


@pytest.fixture
def spawned(monkeypatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(jobs, "_spawn", lambda store, run_id, command, data: calls.append(command))
    return calls


def test_what_is_owed_is_picked_up_in_order(store, spawned):
    first, second = (store.create(CONFIG) for _ in range(2))
    other = store.create(CONFIG)
    store.finish(other, "cancelled")
    for run_id in (first, second):
        store.workers.queue.draw(run_id, "cpu", RUN, {"command": ["run", "--into", run_id]})
    store.workers.queue.begin(first)
    analysis = ["analyse", other, "spectrum", "--probes", "4"]
    store.workers.queue.draw(other, "cpu", ANALYSIS, {"command": analysis, "data": None})
    assert jobs.recover(store) == [other, first, second]
    assert spawned == [analysis, ["resume", first], ["run", "--into", second]]
    assert all(not ticket.working for ticket in store.workers.queue.tickets())
    assert "picked up" in logs.server_log(store.root).read_text()


def test_what_somebody_works_on_is_left_alone(store, spawned):
    run_id = store.create(CONFIG)
    draw(store.workers.queue, (run_id, RUN))
    with RunStore(store.root).workers.hold(run_id):
        assert jobs.recover(store) == []
    assert spawned == []
    assert store.workers.queue.of(run_id) is not None


@pytest.mark.parametrize("end", ["finished", "failed", "cancelled by hand", "deleted", "foreign", "damaged"])
def test_what_is_over_or_not_wanted_is_not_started_again(store, spawned, end):
    run_id = store.create(CONFIG)
    draw(store.workers.queue, (run_id, RUN))
    if end in ("finished", "failed"):
        store.finish(run_id, end)
    elif end == "cancelled by hand":
        jobs.cancel(store, run_id)
    elif end == "deleted":
        store.delete(run_id)
    else:
        content = {"foreign": json.dumps({"command": ["resume", "../other"]}), "damaged": "{"}[end]
        store.workers.queue.of(run_id).path.write_text(content)
    assert jobs.recover(store) == []
    assert spawned == []
    assert store.workers.queue.of(run_id) is None


def test_an_analysis_that_ended_is_not_made_twice(store, spawned):
    run_id = store.create(CONFIG)
    list(store.record(SmallStream(), run_id))
    store.workers.queue.draw(run_id, "cpu", ANALYSIS, {"command": ["analyse", run_id, "spectrum"]})
    assert jobs.recover(store) == [run_id]
    list(store.record_analysis(run_id, iter([])))
    assert jobs.recover(store) == []
    assert store.status(run_id).state == "finished"


def test_an_analysis_of_a_run_whose_analyses_are_damaged_is_given_up(store, spawned):
    run_id = store.create(CONFIG)
    list(store.record(SmallStream(), run_id))
    (store.folder(run_id) / "analyses.jsonl").write_bytes(b"no event\n")
    store.workers.queue.draw(run_id, "cpu", ANALYSIS, {"command": ["analyse", run_id, "spectrum"]})
    assert jobs.recover(store) == spawned == []
    assert store.workers.queue.of(run_id) is None
    assert "given up" in logs.job_log(store.folder(run_id)).read_text()


def test_a_job_that_dies_at_one_place_again_and_again_is_let_be(store, spawned):
    run_id = store.create(CONFIG)
    draw(store.workers.queue, (run_id, RUN))
    picked = 0
    while store.workers.queue.of(run_id) is not None:
        store.workers.queue.begin(run_id)
        picked += jobs.recover(store) == [run_id]
    assert picked == jobs.MOST_DEATHS
    assert store.status(run_id).state == "lost"


def test_a_job_that_comes_further_each_time_is_not_let_be(store, spawned):
    run_id = store.create(CONFIG)
    draw(store.workers.queue, (run_id, RUN))
    folder = store.folder(run_id) / "checkpoints"
    folder.mkdir()
    for number in range(3 * jobs.MOST_DEATHS):
        store.workers.queue.begin(run_id)
        (folder / f"000-{number:05d}.safetensors").write_bytes(b"")
        assert jobs.recover(store) == [run_id]


def test_waiting_costs_no_lives(store, spawned):
    run_id = store.create(CONFIG)
    draw(store.workers.queue, (run_id, RUN))
    for _ in range(3 * jobs.MOST_DEATHS):
        assert jobs.recover(store) == [run_id]


# With real processes


def kill_all(store: RunStore) -> None:
    """As a machine does that goes down, with everything that was started on it."""
    for child in jobs._children:
        child.kill()
        child.wait()
    jobs._children.clear()
    assert not any(store.workers.alive(run_id) for run_id in store.ids())


def queued(store: RunStore, *ids: str) -> list[int | None]:
    wait_for(lambda: all(store.status(run_id).position for run_id in ids))
    return [store.status(run_id).position for run_id in ids]


def test_waiting_jobs_keep_their_places_when_everything_dies(store, busy):
    first = jobs.start(ENDLESS, store)
    second = jobs.start(ENDLESS, store)
    assert queued(store, first, second) == [1, 2]
    kill_all(store)
    assert [store.status(run_id).state for run_id in (first, second)] == ["lost", "lost"]
    assert jobs.recover(store) == [first, second]
    assert jobs.recover(store) == []
    assert queued(store, first, second) == [1, 2]
    jobs.cancel(store, first)
    wait_for(lambda: store.status(first).state == "cancelled")
    assert queued(store, second) == [1]
    kill_all(store)
    assert jobs.recover(store) == [second]


@pytest.mark.slow
def test_a_server_that_restarts_under_load_loses_nothing_and_does_nothing_twice(store):
    config = RunConfig(
        tasks=2, epochs=4, train_limit=200, device="cpu", curvature={"grid": 0, "top": 0, "levels": 2, "examples": 16}
    )
    undisturbed = jobs.start(config, store)
    wait_for(lambda: not store.status(undisturbed).live, 600)
    runs = [jobs.start(config, store) for _ in range(4)]
    jobs.analyse(store, undisturbed, "sparsity", {"task": 0})
    for _ in range(3):
        wait_for(lambda: any(ticket.working for ticket in store.workers.queue.tickets()), 600)
        time.sleep(3)
        kill_all(store)
        jobs.recover(RunStore(store.root))
    wait_for(lambda: not store.workers.queue.tickets(), 900)
    whole = (store.folder(undisturbed) / "events.jsonl").read_bytes()
    for run_id in runs:
        assert store.status(run_id).state == "finished"
        assert (store.folder(run_id) / "events.jsonl").read_bytes() == whole
        ends = [entry for entry in entries(store.folder(run_id)) if entry["what"] == "finished"]
        assert len(ends) == 1
    assert store.tail(undisturbed, "analyses").poll().count(RunFinished()) == 1
    turns = sorted(next(e["time"] for e in reversed(entries(store.folder(r))) if e["what"] == "turn") for r in runs)
    assert turns == [next(e["time"] for e in reversed(entries(store.folder(r))) if e["what"] == "turn") for r in runs]


def entries(folder: Path) -> list[dict]:
    return [json.loads(line) for line in logs.job_log(folder).read_text().splitlines()]


# Logs


def test_a_log_is_bounded_and_never_stops_its_job(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MOST_BYTES", 1000)
    path = tmp_path / ".logs" / "server.jsonl"
    for number in range(200):
        logs.note(path, "start", number=number, text="x" * 50)
    files = sorted(p.name for p in path.parent.iterdir())
    assert files == ["server.jsonl", "server.jsonl.1", "server.jsonl.2", "server.jsonl.3"]
    assert all(p.stat().st_size < 1300 for p in path.parent.iterdir())
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["what"], last["number"], last["pid"]) == ("start", 199, os.getpid())
    logs.note(Path("/proc/none/x.jsonl"), "start")
    logs.note(tmp_path / "x.jsonl", "long", text="y" * 100_000)
    assert (tmp_path / "x.jsonl").stat().st_size < 10_000


def test_a_device_that_is_taken_is_waited_for_and_the_log_says_so(store, busy):
    run_id = jobs.start(TINY, store)
    assert queued(store, run_id) == [1]
    wait_for((store.folder(run_id) / "log.jsonl").exists)
    assert [entry["what"] for entry in entries(store.folder(run_id))] == ["waits"]
    jobs.cancel(store, run_id)
    wait_for(lambda: not store.status(run_id).live)
    assert store.workers.queue.of(run_id) is None
