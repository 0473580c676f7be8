"""The real server, killed under load and started again: every run that users have started comes to its end, once."""

import asyncio
import json
import signal
from pathlib import Path

import psutil
import pytest

from benchmarks.load import served
from benchmarks.load_visitors import Seen, calling
from esacl import jobs, logs
from esacl.events import RunFinished, RunStarted
from esacl.store import RunStore

pytestmark = pytest.mark.processes

USERS, RUNS_EACH = 2, 2
PATIENCE = 900.0


async def started(root: str) -> list[str]:
    """The runs that some users have started, each in a session of his own, in the order of their clicks."""
    found: list[str] = []
    for _ in range(USERS):
        seen = Seen()
        async with calling(root, seen) as caller:
            for _ in range(RUNS_EACH):
                await caller.start()
        assert seen.errors == []
        found += seen.started
    return found


def wait_for(condition) -> None:
    import time

    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def entries(folder: Path, what: str) -> list[str]:
    """The times of what a job's log says."""
    told = [json.loads(line) for line in logs.job_log(folder).read_text().splitlines()]
    return [entry["time"] for entry in told if entry["what"] == what]


def at_work(store: RunStore) -> bool:
    """Whether one of the runs is in the middle of its training."""
    return any(store.status(run_id).state == "running" and len(store.read(run_id).events) > 3 for run_id in store.ids())


@pytest.mark.parametrize(
    "dies", ["server and workers", pytest.param("server", marks=pytest.mark.slow)], ids=lambda dies: dies
)
def test_a_server_that_is_killed_under_load_and_started_again_loses_no_run_and_repeats_none(tmp_path, dies):
    store, log = RunStore(tmp_path / "runs"), tmp_path / "server.log"
    with served(store, log) as (root, server):
        runs = asyncio.run(started(root))
        wait_for(lambda: at_work(store))
        workers = server.children(recursive=True)
        owed = [ticket.run_id for ticket in store.workers.queue.tickets()]
        for process in [server, *(workers if dies == "server and workers" else [])]:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(workers if dies == "server and workers" else [], 60)
    assert len(set(runs)) == len(runs) == USERS * RUNS_EACH
    assert len(owed) >= 2, "nobody waited"
    assert [run_id for run_id in runs if run_id in owed] == owed
    alive = [run_id for run_id in owed if store.workers.alive(run_id)]
    assert bool(alive) == (dies == "server")
    with served(store, log):
        wait_for(lambda: not any(store.status(run_id).live for run_id in runs) and not store.workers.queue.tickets())
    jobs.reap(store)
    told = {run_id: [type(event) for event in store.read(run_id).events] for run_id in runs}
    assert {run_id: store.status(run_id).state for run_id in runs} == dict.fromkeys(runs, "finished")
    assert {run_id: events.count(RunFinished) for run_id, events in told.items()} == dict.fromkeys(runs, 1)
    assert {run_id: events.count(RunStarted) for run_id, events in told.items()} == dict.fromkeys(runs, 1)
    assert len({tuple(events) for events in told.values()}) == 1, "they were started with the same settings"
    assert {store.config(run_id).epochs for run_id in runs} == {2}, "what was typed is not what was started"
    assert [len(entries(store.folder(run_id), "finished")) for run_id in runs] == [1] * len(runs)
    turns = [entries(store.folder(run_id), "turn")[-1] for run_id in runs]
    assert turns == sorted(turns), "the order of the clicks is not kept"
    assert sorted(store.ids()) == sorted(runs)
