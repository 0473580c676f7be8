"""A run that has to begin anew, or cannot even begin: nothing that was kept is lost, and its folder says why."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import small_worker
from small_stream import CONFIG, SmallStream

from esacl import computing, turns
from esacl.checkpoints import file_name
from esacl.errors import CheckpointUnfit, InputError
from esacl.events import Loading
from esacl.recording import RESERVE
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore(tmp_path / "runs")


def stopped(store: RunStore, checkpoints: int = 1) -> str:
    """A run that was cancelled after so many checkpoints."""
    run_id = store.create(CONFIG)
    events = store.record(SmallStream(config=CONFIG), run_id)
    while len(list((store.folder(run_id) / "checkpoints").glob("*.safetensors"))) < checkpoints:
        next(events)
    events.close()
    assert store.status(run_id).state == "cancelled"
    return run_id


def test_what_a_run_without_a_checkpoint_told_is_kept_aside(store):
    run_id = stopped(store)
    folder = store.folder(run_id)
    shutil.rmtree(folder / "checkpoints")  # as a run comes that somebody passed on
    told = (folder / "events.jsonl").read_bytes()

    def refused():
        yield Loading(what="torch")
        raise InputError("no data here")

    for _ in range(2):  # who begins and is refused leaves it alone the second time
        with pytest.raises(InputError):
            list(store.record(refused(), run_id))
        assert (folder / "events-before.jsonl").read_bytes() == told
    list(store.record(SmallStream(config=CONFIG), run_id))
    assert (folder / "events-before.jsonl").read_bytes() == told
    assert store.status(run_id).state == "finished"


def test_a_disk_that_is_full_before_anything_begins_is_told(store, monkeypatch):
    run_id, opened = stopped(store), Path.open

    def full(path, *given, **more):
        if path.name == RESERVE:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *given, **more)

    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(computing, "_events", small_worker.events)
    (store.folder(run_id) / "done.json").unlink()
    assert computing.resume(store, run_id, None, as_json=True, job=True) == turns.FAILED
    status = store.status(run_id)
    assert status.state == "failed"
    assert "No space left on device" in status.detail
    assert f"`esacl resume {run_id}`" in status.detail
    assert store.read(run_id).events[-1].error == status.detail
    assert not (store.folder(run_id) / RESERVE).exists()


def test_a_job_without_a_readable_checkpoint_puts_them_aside_and_begins_anew(store, monkeypatch):
    run_id = stopped(store)
    places = sorted((store.folder(run_id) / "checkpoints").iterdir())
    for path in places:
        path.write_bytes(b"no checkpoint")
    (store.folder(run_id) / "done.json").unlink()
    monkeypatch.setattr(computing, "_events", small_worker.events)
    with pytest.raises(InputError, match="damaged"):  # a person is told, and can delete it
        computing.resume(store, run_id, None, as_json=True, job=False)
    assert computing.resume(store, run_id, None, as_json=True, job=True) == turns.DONE
    assert store.status(run_id).state == "finished"
    assert {f"{path.name}.damaged" for path in places} <= {path.name for path in places[0].parent.iterdir()}
    told = [json.loads(line) for line in (store.folder(run_id) / "log.jsonl").read_text().splitlines()]
    assert any(line["what"] == "put aside" and places[0].name in line["checkpoints"] for line in told)


def test_a_job_whose_newest_checkpoint_does_not_fit_goes_on_from_the_one_before(store, monkeypatch):
    run_id = stopped(store, checkpoints=2)
    newest, *older = sorted((store.folder(run_id) / "checkpoints").iterdir(), reverse=True)
    assert older
    asked = []

    def events(config, start, *rest):
        asked.append(start and file_name(start))
        if asked[-1] == newest.name:
            raise CheckpointUnfit("it holds another network; delete it")
        yield from small_worker.events(config, start, *rest)

    (store.folder(run_id) / "done.json").unlink()
    monkeypatch.setattr(computing, "_events", events)
    assert computing.resume(store, run_id, None, as_json=True, job=True) == turns.DONE
    assert asked == [newest.name, older[0].name]
    assert store.status(run_id).state == "finished"
    assert newest.with_name(f"{newest.name}.damaged").exists()
