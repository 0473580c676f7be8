"""The locks of a device: two runs folders do not meet on a card, and who waits for another folder's job says so."""

import os

import pytest
from small_stream import CONFIG

from esacl import accelerators, device_locks
from esacl.device_turns import device_turn
from esacl.processes import sign_in
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return RunStore(tmp_path / "runs")


def test_where_no_lock_of_all_folders_can_be_the_folders_own_has_to_do(store, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(device_locks, "SHARED", tmp_path / "file")
    run_id = store.create(CONFIG)
    for _ in range(2):  # what was taken is given back
        with device_turn(store, run_id, "cuda:0") as mine:
            assert mine
    assert "no lock of all runs folders" in (store.folder(run_id) / "log.jsonl").read_text()


def test_a_folder_of_somebody_else_is_no_place_for_a_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(device_locks, "SHARED", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"esacl-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="somebody else's"):
        device_locks.of_all_folders("cuda:0")


@pytest.mark.parametrize(
    ("shown", "key", "card"),
    [("", "cuda:1", "cuda:1"), ("3,2", "cuda:1", "cuda:2"), ("GPU-7f", "cuda:0", "cuda:GPU-7f"), ("3", "mps", "mps")],
)
def test_a_card_is_one_card_whatever_a_process_is_shown(monkeypatch, shown, key, card):
    monkeypatch.setattr(accelerators, "torch_is_for_cpus", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert device_locks._card(key) == card


@pytest.mark.parametrize(("device", "together"), [("cuda:0", False), ("cpu", True)])
def test_two_runs_folders_do_not_meet_on_a_card(tmp_path, monkeypatch, device, together):
    monkeypatch.setattr(device_locks, "SHARED", tmp_path)
    stores = [RunStore(tmp_path / name) for name in "ab"]
    runs = [store.create(CONFIG.model_copy(update={"device": device})) for store in stores]
    with device_turn(stores[0], runs[0], device) as first:
        stores[1].cancel(runs[1])  # who would have to wait does not
        with device_turn(stores[1], runs[1], device) as second:
            assert (first, second) == (True, together)
    stores[1].reopen(runs[1])
    with device_turn(stores[1], runs[1], device) as second:
        assert second


def test_who_waits_for_a_job_of_another_folder_is_told_so_until_that_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(device_locks, "SHARED", tmp_path)
    here, there = (RunStore(tmp_path / name) for name in "ab")
    config = CONFIG.model_copy(update={"device": "cuda:0"})
    (working,), (first, second) = ([store.create(config) for _ in range(n)] for store, n in ((there, 1), (here, 2)))
    with here.workers.hold(first), here.workers.hold(second):
        for run_id in (first, second):
            here.workers.queue.draw(run_id, "cuda:0", 1, {})
            sign_in(here, run_id, waiting_for="cuda:0")
        with device_turn(there, working, "cuda:0"):
            told = here.status(first)
            assert (told.position, told.elsewhere) == (1, True)
            assert told.detail == "waits for cuda:0, which a job of another runs folder has"
            assert here.standing(first, here.workers.positions()) == told
            assert not here.status(second).elsewhere  # before it is one of its own folder
        assert not here.status(first).elsewhere
    with device_turn(here, first, "cuda:0"), here.workers.hold(second):
        told = here.status(second)
        assert (told.position, told.elsewhere, told.detail) == (1, False, "waits for cuda:0")


def test_nobody_who_looks_makes_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(device_locks, "SHARED", tmp_path)
    assert not device_locks.held_elsewhere(tmp_path / "runs", "cuda:0")
    assert list(tmp_path.iterdir()) == []
