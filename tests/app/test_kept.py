"""What is kept between script runs: made once for a key, forgotten when there is too much, and never mixed up."""

import gc
import os
import threading
import weakref

import pytest
from pages_runs import record

from app import language, reading
from app.kept import Kept
from esacl.errors import RunUnreadable
from esacl.events import Stepped
from esacl.store import RunStore
from esacl.summary import summarise


def test_a_thing_is_made_once_for_its_key():
    kept: Kept[list[int]] = Kept(2)
    first = kept.get("a", lambda: [1])
    assert kept.get("a", lambda: [2]) is first
    assert kept.get("b", lambda: [3]) == [3]
    assert "a" in kept


def test_what_was_asked_for_longest_ago_goes_first():
    kept: Kept[int] = Kept(2)
    for key in ("a", "b", "a", "c"):
        kept.get(key, lambda: 0)
    assert ("a" in kept, "b" in kept, "c" in kept) == (True, False, True)


def test_nothing_is_kept_of_what_could_not_be_made():
    kept: Kept[int] = Kept(2)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 // 0)
    assert kept.get("a", lambda: 4) == 4


def test_many_threads_are_given_one_thing_each_key():
    kept: Kept[tuple[int]] = Kept(64)
    found: list[tuple[int, tuple[int]]] = []

    def ask() -> None:
        found.extend((key, kept.get(key, lambda key=key: (key,))) for key in range(50))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 400
    assert all(made == (key,) for key, made in found)


def test_what_is_gone_is_kept_no_longer():
    kept: Kept[int] = Kept(4)
    for key in range(4):
        kept.get(key, lambda: 0)
    kept.forget(lambda key: key % 2 == 1)
    assert [key in kept for key in range(4)] == [True, False, True, False]


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "runs"))
    return RunStore(tmp_path / "runs")


def entry(run_id: str) -> reading.Entry:
    return next(one for one in reading.entries() if one.run_id == run_id)


def test_a_figure_is_made_anew_where_a_run_the_choice_or_the_language_is_another(store, monkeypatch):
    run_id, made = record(store), []

    def once(*given: object) -> int:
        return reading.once(lambda: made.append(1) or len(made), "test", [entry(run_id)], *given)

    assert (once(1), once(1), once(2), once(1)) == (1, 1, 2, 1)
    (store.folder(run_id) / "arrays" / "more.npz").write_bytes(b"")
    assert once(1) == 3
    store.rename(run_id, "another name")
    assert once(1) == 4
    monkeypatch.setattr(language, "_ask", lambda: "zh")
    assert once(1) == 5


def test_of_a_run_under_way_nothing_is_kept(store):
    run_id, made = record(store), []
    (store.folder(run_id) / "done.json").unlink()
    with store.workers.hold(run_id):
        one = entry(run_id)
        assert one.status.live
        for _ in range(2):
            reading.once(lambda: made.append(1), "test-live", [one])
    assert len(made) == 2


def under_way(store: RunStore, run_id: str) -> reading.Entry:
    (store.folder(run_id) / "done.json").unlink(missing_ok=True)
    return entry(run_id)


def test_the_events_of_a_run_are_let_go_once_it_has_ended_though_nobody_looks_at_it_again(store):
    ended, deleted, left, new = (record(store, seed=seed) for seed in range(4))
    followers = [weakref.ref(reading.follow(under_way(store, run_id))) for run_id in (ended, deleted, left)]
    kept = reading.follow(entry(left))
    store.finish(ended, "cancelled")
    store.delete(deleted)
    reading.follow(under_way(store, new))
    gc.collect()
    assert [one() is None for one in followers] == [True, True, False]
    assert reading.follow(entry(left)) is kept


def test_of_a_run_that_has_ended_the_record_is_held_and_no_follower(store):
    run_id = record(store)
    follower = weakref.ref(reading.follow(under_way(store, run_id)))
    store.finish(run_id, "cancelled")
    assert reading.record(entry(run_id)).status.state == "cancelled"
    gc.collect()
    assert follower() is None


@pytest.mark.parametrize("fields", [{}, {"scenario": "class"}, {"method": "ewc"}])
def test_a_summary_says_the_same_without_the_steps(store, fields):
    run_id = record(store, **fields)
    assert reading.summary(entry(run_id)) == summarise(store.read(run_id))


def test_an_event_that_is_left_out_is_not_parsed_and_any_other_is_still_refused(store):
    run_id = record(store)
    events = store.folder(run_id) / "events.jsonl"
    whole = store.read(run_id).events
    left = store.read(run_id, without=(Stepped,)).events
    assert left == tuple(event for event in whole if not isinstance(event, Stepped))
    assert len(left) < len(whole)
    events.write_bytes(events.read_bytes() + b'{"event":"Stepped","task":"damaged"}\n')
    assert store.read(run_id, without=(Stepped,)).events == left
    with pytest.raises(RunUnreadable, match=f"line {len(whole) + 1}"):
        store.read(run_id)
    events.write_bytes(events.read_bytes() + b'{"event":"SteppedOn"}\n')
    with pytest.raises(RunUnreadable, match=f"line {len(whole) + 2}.*SteppedOn"):
        store.read(run_id, without=(Stepped,))
