"""Deleting is a move that can be undone, until it has lain too long."""

import os
import time

import pytest
from small_stream import CONFIG, SmallStream

from esacl import trash
from esacl.errors import InputError
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return RunStore(tmp_path / "runs")


def finished(store: RunStore) -> str:
    run_id = store.create(CONFIG)
    for _ in store.record(SmallStream(), run_id):
        pass
    return run_id


def test_a_deleted_run_is_gone_and_comes_back_as_it_was(store):
    run_id = finished(store)
    before = store.read(run_id)
    trash.discard(store, run_id)
    assert store.ids() == ()
    with pytest.raises(InputError, match="no run"):
        store.read(run_id)
    assert [one.run_id for one in trash.deleted(store)] == [run_id]
    assert trash.restore(store, run_id) == run_id
    assert store.read(run_id) == before
    assert trash.deleted(store) == ()


def test_a_run_at_work_is_not_deleted(store):
    run_id = store.create(CONFIG)
    with RunStore(store.root).workers.hold(run_id), pytest.raises(InputError, match="being worked on; wait"):
        trash.discard(store, run_id)
    assert store.ids() == (run_id,)
    assert trash.deleted(store) == ()


def test_a_corrupt_run_can_be_deleted_and_restored(store):
    run_id = finished(store)
    (store.folder(run_id) / "config.json").write_text("{")
    trash.discard(store, run_id)
    assert trash.restore(store, "latest") == run_id


def test_restoring_takes_an_id_a_prefix_or_latest(store):
    first, second = finished(store), finished(store)
    for run_id in (first, second):
        trash.discard(store, run_id)
    with pytest.raises(InputError, match=r"may be .*write more of the id"):
        trash.restore(store, first[:8])
    with pytest.raises(InputError, match="no run '' among the deleted"):
        trash.restore(store, "")
    for text in ("nothing", "../x", "x" * 500, "\0"):
        with pytest.raises(InputError, match="no run") as caught:
            trash.restore(store, text)
        assert len(str(caught.value)) < 400
    assert trash.restore(store, "latest") == second
    assert trash.restore(store, first[:8]) == first
    assert set(store.ids()) == {first, second}


def test_a_run_that_is_there_again_is_not_overwritten(store):
    run_id = finished(store)
    trash.discard(store, run_id)
    (store.root / run_id).mkdir()
    with pytest.raises(InputError, match=r"there is a run .* again; delete that one first"):
        trash.restore(store, run_id)
    assert len(trash.deleted(store)) == 1


def test_one_id_deleted_twice_gives_back_the_last_one_first(store):
    run_id = finished(store)
    store.rename(run_id, "first")
    trash.discard(store, run_id)
    finished(store)
    os.rename(store.root / store.ids()[0], store.root / run_id)
    store.rename(run_id, "second")
    trash.discard(store, run_id)
    trash.restore(store, run_id)
    assert store.config(run_id).name == "second"


def test_what_has_lain_too_long_goes_at_the_next_deletion(store, monkeypatch):
    old, new = finished(store), finished(store)
    trash.discard(store, old)
    now = time.time()
    monkeypatch.setattr(trash.time, "time", lambda: now + trash.KEPT_SECONDS + 60)
    monkeypatch.setattr(trash.time, "time_ns", lambda: int((now + trash.KEPT_SECONDS + 60) * 1e9))
    trash.discard(store, new)
    assert [one.run_id for one in trash.deleted(store)] == [new]
    assert [path.name[-len(new) :] for path in (store.root / trash.FOLDER).iterdir()] == [new]


def test_the_trash_has_an_end(store, monkeypatch):
    monkeypatch.setattr(trash, "KEPT_RUNS", 2)
    ids = [finished(store) for _ in range(4)]
    for run_id in ids:
        trash.discard(store, run_id)
    assert [one.run_id for one in trash.deleted(store)] == ids[:1:-1]


def test_emptying_leaves_nothing_and_clears_what_a_kill_has_left(store):
    trash.discard(store, finished(store))
    (store.root / trash.FOLDER / ".purged-half").mkdir()
    assert trash.purge(store) == 1
    assert list((store.root / trash.FOLDER).iterdir()) == []
    assert trash.purge(RunStore(store.root / "none")) == 0


def test_a_trash_that_leads_elsewhere_is_refused(store, tmp_path):
    run_id = finished(store)
    (tmp_path / "elsewhere").mkdir()
    (store.root / trash.FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link"):
        trash.discard(store, run_id)
    assert store.ids() == (run_id,)


def test_what_is_no_deleted_run_is_passed_over(store):
    trash.discard(store, finished(store))
    (store.root / trash.FOLDER / "notes").mkdir()
    (store.root / trash.FOLDER / "123-file").write_text("")
    assert len(trash.deleted(store)) == 1
