"""Folders and files of a run that are something else than they seem: links, pipes, files of nothing but holes."""

import contextlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from small_stream import CONFIG, SmallStream

from esacl import analysing, cli, fault_report, jobs, logs
from esacl.arrays import keep_arrays
from esacl.bundles import export_run
from esacl.checkpoints import newest
from esacl.checkup import check
from esacl.errors import InputError, RunUnreadable
from esacl.events import ArrayRecorded, CheckpointReady, Failed, Stepped
from esacl.failures import explain
from esacl.processes import launch
from esacl.records import read_config_file
from esacl.store import RunStore
from esacl.tickets import ANALYSIS, RUN
from esacl.viewing import View


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture(autouse=True)
def not_for_ever():
    """Who waits for a pipe is woken, and fails."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for a pipe"))
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def stopped(store: RunStore) -> str:
    """A run that was stopped after a checkpoint."""
    run_id, seen = store.create(CONFIG), 0
    stream = store.record(SmallStream(), run_id)
    for event in stream:
        seen += isinstance(event, CheckpointReady)
        if seen and isinstance(event, Stepped):
            break
    stream.close()
    assert store.checkpoint(run_id) is not None
    return run_id


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize(
    "name", ["events.jsonl", "analyses.jsonl", "measured.jsonl", "log.jsonl", "done.json", "config.json"]
)
def test_a_pipe_is_waited_for_by_nobody(store, tmp_path, name):
    run_id = stopped(store)
    folder = store.folder(run_id)
    pipe(folder / name)
    check(store, repair=False)
    fault_report.write(store, {}, tmp_path / "fault.zip")
    logs.note(logs.job_log(folder), "said")
    store.status(run_id)
    for look in (lambda: store.read(run_id), lambda: store.checkpoint(run_id), lambda: store.tail(run_id).poll()):
        with contextlib.suppress(InputError):
            look()
    assert (folder / name).is_fifo()


def test_a_run_does_not_write_its_events_into_a_pipe(store):
    run_id = store.create(CONFIG)
    pipe(store.folder(run_id) / "events.jsonl")
    with pytest.raises((OSError, InputError), match="no regular file"):
        list(store.record(SmallStream(), run_id))


def test_nothing_is_written_or_deleted_behind_a_link(store, tmp_path):
    run_id = stopped(store)
    folder, elsewhere = store.folder(run_id), tmp_path / "elsewhere"
    start = store.checkpoint(run_id)
    (folder / "checkpoints").rename(elsewhere)
    (elsewhere / "009-00001.safetensors").write_bytes(b"somebody's")
    (folder / "checkpoints").symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in elsewhere.iterdir()}
    (folder / "done.json").unlink()
    with pytest.raises(RunUnreadable, match="checkpoints is a link"):
        list(store.record(SmallStream(), run_id, start=start))
    with pytest.raises(RunUnreadable, match="checkpoints is a link"):
        store.checkpoint(run_id)
    (tmp_path / "arrays").mkdir()
    (folder / "arrays").symlink_to(tmp_path / "arrays")
    with pytest.raises(OSError, match="arrays is a link") as caught:
        keep_arrays(folder, ArrayRecorded(name="a", arrays={"x": np.zeros(2)}))
    assert f"(arrays is a link); mend that, then `esacl resume {run_id}`" in explain(caught.value, folder)
    assert list((tmp_path / "arrays").iterdir()) == []
    assert {path: path.read_bytes() for path in elsewhere.iterdir()} == before
    assert any("link" in finding["what"] for finding in check(store, repair=True))
    assert {path: path.read_bytes() for path in elsewhere.iterdir()} == before


def test_the_room_for_the_last_word_is_kept_in_no_file_that_a_link_leads_to(store, tmp_path):
    run_id, theirs = stopped(store), tmp_path / "theirs"
    theirs.write_text("theirs")
    (store.folder(run_id) / ".reserve").symlink_to(theirs)
    next(store.record(SmallStream(store.checkpoint(run_id)), run_id, start=store.checkpoint(run_id)))
    assert theirs.read_text() == "theirs"


def test_a_request_to_cancel_makes_no_file_that_a_link_leads_to(store, tmp_path):
    run_id, nowhere = stopped(store), tmp_path / "nowhere"
    flag = store.folder(run_id) / "CANCEL"
    flag.symlink_to(nowhere)
    with pytest.raises(InputError, match=f"{run_id} cannot be cancelled"):
        store.cancel(run_id)
    assert not nowhere.exists()
    flag.unlink()
    store.cancel(run_id)
    os.utime(flag, (1, 1))
    store.cancel(run_id)
    assert flag.stat().st_mtime > 1  # asked anew


def test_what_a_job_says_goes_into_no_file_that_a_link_leads_to(store, tmp_path):
    run_id, theirs = store.create(CONFIG), tmp_path / "theirs"
    theirs.write_text("theirs")
    (store.folder(run_id) / "log.txt").symlink_to(theirs)
    with store.workers.hold(run_id), pytest.raises(InputError, match=rf"run {run_id} cannot be started .*; mend"):
        launch(store, run_id, ["esacl", "resume", run_id], None)
    assert theirs.read_text() == "theirs"


def test_a_checkpoint_of_nothing_but_holes_is_not_read(tmp_path):
    path = tmp_path / "checkpoints" / "000-00001.safetensors"
    path.parent.mkdir()
    size = 2**30
    header = json.dumps({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    with pytest.raises(RunUnreadable, match=r"claims 10737\d+ bytes and takes up \d+; delete it"):
        newest(path.parent)


def test_a_config_that_names_no_method_is_none(store):
    folder = store.folder(store.create(CONFIG))
    (folder / "config.json").write_text("{}")
    with pytest.raises(RunUnreadable, match="names no benchmark; restore it"):
        read_config_file(folder)


# What is owed


def test_a_run_that_is_owed_is_not_analysed_before_its_end(store):
    run_id = stopped(store)
    store.workers.queue.draw(run_id, "cpu", RUN, {"command": ["resume", run_id]})
    with pytest.raises(InputError, match="has not come to its end; resume or cancel it"):
        jobs.analyse(store, run_id, "spectrum", {})
    assert store.workers.queue.of(run_id).priority == RUN


def test_an_analysis_that_is_refused_says_so_and_is_owed_no_more(store):
    run_id = stopped(store)
    store.workers.queue.draw(run_id, "cpu", ANALYSIS, {"command": ["analyse", run_id, "spectrum"]})
    with pytest.raises(InputError, match="has no weights kept"):
        analysing.analyse(store, run_id, View("spectrum", 7, {}), None, as_json=True, job=True)
    assert store.workers.queue.of(run_id) is None
    last = store.tail(run_id, "analyses").poll()[-1]
    assert isinstance(last, Failed)
    assert "task 7" in last.error


def test_an_analysis_that_is_refused_by_hand_leaves_what_is_owed(store):
    run_id = stopped(store)
    store.workers.queue.draw(run_id, "cpu", ANALYSIS, {"command": ["analyse", run_id, "spectrum"]})
    with pytest.raises(InputError, match="has no weights kept"):
        analysing.analyse(store, run_id, View("spectrum", 7, {}), None, as_json=True, job=False)
    assert store.workers.queue.of(run_id) is not None
    assert not (store.folder(run_id) / "analyses.jsonl").exists()


def test_a_run_that_cannot_go_on_still_says_how_it_ended(store, monkeypatch):
    run_id = stopped(store)
    before = store.status(run_id)

    def refuse(*_, **__):
        raise InputError("no process can be started")

    monkeypatch.setattr(jobs, "_spawn", refuse)
    with pytest.raises(InputError, match="no process can be started"):
        jobs.resume(store, run_id)
    assert store.status(run_id) == before
    assert store.workers.queue.of(run_id) is None


# Files that are asked for


@pytest.mark.parametrize("target", [".", "/"])
def test_a_folder_is_no_file_to_write(store, target):
    run_id = stopped(store)
    with pytest.raises(InputError, match="is a folder; name a file"):
        fault_report.write(store, {}, Path(target))
    with pytest.raises(InputError, match="is a folder; name a file"):
        export_run(store, run_id, Path(target))


def test_a_pipe_is_no_file_to_write(store, tmp_path):
    run_id, pipe = stopped(store), tmp_path / "pipe"
    os.mkfifo(pipe)
    for write in (lambda: fault_report.write(store, {}, pipe), lambda: export_run(store, run_id, pipe)):
        with pytest.raises(InputError, match=f"^{pipe} is no file; name another$"):
            write()
    assert pipe.is_fifo()


@pytest.mark.parametrize("option", ["--csv", "--html", "--latex"])
def test_a_comparison_is_not_written_into_a_folder(store, tmp_path, capsys, option):
    run_id = stopped(store)
    assert cli.main(["compare", run_id, run_id, option, str(tmp_path), "--runs", str(store.root)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
