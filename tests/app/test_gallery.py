"""The gallery's own reading of runs: what a row shows, and a list that is read again only where it has changed."""

import contextlib
import os

import pytest
from pages_runs import lost, record
from synthetic_run import accuracy

from app.glance import Glance, glance, so_far
from app.listing import Listing
from esacl.durable import replace_json
from esacl.store import RunStore
from esacl.tickets import RUN


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return RunStore(tmp_path / "runs")


def test_the_line_is_the_average_over_the_tasks_learned():
    assert so_far([[0.9, None], [0.7, 0.8]]) == (0.9, 0.75)
    assert so_far([[0.9, 0.1], [0.7, 0.8]]) == (0.9, 0.75)  # a task before its turn is not counted
    assert so_far([[None, None], [0.7, 0.8]]) == (0.75,)
    assert so_far([]) == ()


def test_a_glance_says_what_the_summary_says(store):
    run_id = record(store)
    config = store.config(run_id)
    seen = glance(store, run_id, config)
    last = sum(accuracy(config, 2, on) for on in range(3)) / 3
    assert seen.accuracy == pytest.approx(last)
    assert seen.so_far[-1] == seen.accuracy
    assert len(seen.so_far) == 3
    assert seen.flops
    assert not seen.imported


def test_a_glance_at_what_is_half_or_damaged(store):
    half = lost(store, record(store))
    seen = glance(store, half, store.config(half))
    assert seen.accuracy is None
    assert 0 < len(seen.so_far) < 3
    (store.folder(half) / "events.jsonl").write_text('{"event":"Evaluated","after":"x"}\n')
    assert glance(store, half, store.config(half)) == Glance()
    assert glance(store, half, None) == Glance()
    assert glance(store, "gone", store.config(half)) == Glance()


def test_a_run_is_read_again_only_where_it_has_changed(store, monkeypatch):
    first, second = record(store), record(store, seed=8)
    listing = Listing(store)
    looked = []
    look = store.config_and_status
    monkeypatch.setattr(store, "config_and_status", lambda run_id: (looked.append(run_id), look(run_id))[1])
    assert {known[0] for known in listing.read()} == {first, second}
    assert len(looked) == 2
    listing.read()
    assert len(looked) == 2
    store.rename(second, "another name")
    assert {known[1].name for known in listing.read()} == {"", "another name"}
    assert looked[2:] == [second]
    store.delete(first)
    third = record(store, seed=9)
    assert {known[0] for known in listing.read()} == {second, third}


def test_a_run_at_work_is_looked_at_every_time(store):
    run_id = record(store)
    (store.folder(run_id) / "done.json").unlink()
    listing = Listing(store)
    assert listing.read()[0][2].state == "lost"
    with RunStore(store.root).workers.hold(run_id):
        assert listing.read()[0][2].state == "running"
    assert listing.read()[0][2].state == "lost"
    store.finish(run_id, "cancelled")
    assert listing.read()[0][2].state == "cancelled"


def test_a_run_that_waits_has_one_config_for_all_who_look_and_the_queue_is_looked_at_once(store, monkeypatch):
    waiting = [record(store, seed=seed) for seed in range(3)]
    asked = []
    with contextlib.ExitStack() as held:
        for run_id in waiting:
            (store.folder(run_id) / "done.json").unlink()
            held.enter_context(store.workers.hold(run_id))
            store.workers.queue.draw(run_id, "cpu", RUN, {})
            replace_json(store.folder(run_id) / "worker.json", {"waiting_for": "cpu"})
        tickets = store.workers.queue.tickets
        monkeypatch.setattr(store.workers.queue, "tickets", lambda: (asked.append(1), tickets())[1])
        listing = Listing(store)
        listing.read()
        asked.clear()
        first, again = ({known[0]: known for known in listing.read()} for _ in range(2))
        assert len(asked) == 2
        assert [(first[one][2].state, first[one][2].position) for one in waiting] == [("queued", n) for n in (1, 2, 3)]
        assert all(first[run_id][1] is again[run_id][1] for run_id in waiting)
        assert store.workers.positions() == {run_id: place for place, run_id in enumerate(waiting, 1)}
        assert [store.workers.is_next(run_id) for run_id in waiting] == [True, False, False]
        store.rename(waiting[0], "another name")
        assert {known[1].name for known in listing.read()} == {"", "another name"}
    assert {known[2].state for known in listing.read()} == {"lost"}
    assert store.workers.positions() == {}
    assert store.workers.is_next(waiting[2])


def test_no_folder_is_no_runs(tmp_path):
    assert Listing(RunStore(tmp_path / "none")).read() == []
