import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from small_stream import CONFIG, SmallStream, raising

from esacl import checkpoints, cli, recording, trash
from esacl.config import RunConfig
from esacl.errors import InputError, RunFailure, RunUnreadable
from esacl.events import (
    Analysing,
    ArrayRecorded,
    Cancelled,
    CheckpointReady,
    Evaluated,
    Failed,
    Pulse,
    RunFinished,
    RunStarted,
    Stepped,
    TaskFinished,
)
from esacl.labels import FILE as LABEL
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    # Waiting for the disk takes most of the time of these tests, and nothing here can tell whether one has waited.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return RunStore(tmp_path / "runs")


def finished(store: RunStore) -> str:
    """A run that was never disturbed."""
    run_id = store.create(CONFIG)
    for _ in store.record(SmallStream(), run_id):
        pass
    return run_id


def events_file(store: RunStore, run_id: str) -> Path:
    return store.folder(run_id) / "events.jsonl"


def kept(events):
    return [event for event in events if not isinstance(event, CheckpointReady)]


# Recording


def test_every_event_is_on_disk_before_it_is_passed_on(store):
    run_id = store.create(CONFIG)
    passed = []
    for event in store.record(SmallStream(), run_id):
        passed.append(event)
        assert list(store.read(run_id).events) == kept(passed)
    assert isinstance(passed[-1], RunFinished)


def test_recording_needs_nothing_but_a_stream(store):
    events = list(store.record(SmallStream()))
    run_id = store.resolve("latest")
    assert store.config(run_id) == CONFIG
    assert store.status(run_id).state == "finished"
    assert list(store.read(run_id).events) == kept(events)


def test_two_starts_of_one_config_are_two_runs_with_the_same_bytes(store):
    first, second = finished(store), finished(store)
    assert first != second
    assert events_file(store, first).read_bytes() == events_file(store, second).read_bytes()


def test_what_is_acknowledged_survives_a_kill(tmp_path):
    script = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from small_stream import SmallStream
from esacl.store import RunStore
for number, _ in enumerate(RunStore({str(tmp_path)!r}).record(SmallStream())):
    print(number, flush=True)
    if number == 8:
        time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with process:
        for line in process.stdout:
            if int(line) == 8:
                store = RunStore(tmp_path)
                run_id = store.resolve("latest")
                assert store.status(run_id).state == "running"
                process.send_signal(signal.SIGKILL)
                break
    assert store.status(run_id).state == "lost"
    assert list(store.read(run_id).events) == kept(list(SmallStream())[:9])


def pulsing(events, pulses=3):
    for event in events:
        yield event
        yield from [Pulse()] * pulses


def test_a_pulse_is_passed_on_and_is_no_line(store):
    run_id, plain = store.create(CONFIG), finished(store)
    passed = list(store.record(pulsing(SmallStream()), run_id))
    assert Pulse() in passed
    assert events_file(store, run_id).read_bytes() == events_file(store, plain).read_bytes()
    before = store.folder(run_id) / "analyses.jsonl"
    list(store.record_analysis(run_id, iter([Pulse(), Analysing(task=0, stage="density", done=0, total=1), Pulse()])))
    assert [type(event) for event in store.tail(run_id, "analyses").poll()] == [Analysing, RunFinished]
    assert b"Pulse" not in before.read_bytes()


def test_a_run_and_an_analysis_can_be_stopped_at_a_pulse(store):
    run_id = store.create(CONFIG)
    seen = []
    for event in store.record(pulsing(SmallStream()), run_id):
        seen.append(event)
        if isinstance(event, Pulse):
            store.cancel(run_id)
    assert (seen.count(Pulse()), seen[-1]) == (1, Cancelled())
    other, seen = finished(store), []
    for event in store.record_analysis(other, iter([Pulse()] * 5)):
        seen.append(event)
        store.cancel(other)
    assert seen == [Pulse(), Cancelled()]


def test_wall_time_is_kept_apart_from_the_events(store):
    run_id = store.create(CONFIG)
    for _ in store.record(SmallStream(), run_id, measure=lambda: {"peak_bytes": 77}):
        pass
    measured = store.measured(run_id)
    assert measured[-1]["events"] == len(store.read(run_id).events)
    assert measured[-1]["peak_bytes"] == 77
    assert b"second" not in events_file(store, run_id).read_bytes()


def test_versions_and_hardware_are_kept(store):
    facts = store.read(finished(store)).machine
    assert facts["versions"]["python"].startswith("3.")
    assert facts["hardware"]["cores"] >= 1
    assert len(facts["code"]) == 8


# Ends


def test_the_flag_cancels_between_two_events(store):
    stream = SmallStream()
    run_id = store.create(CONFIG)
    events = []
    for event in store.record(stream, run_id):
        events.append(event)
        if isinstance(event, RunStarted):
            store.cancel(run_id)
    assert isinstance(events[-1], Cancelled)
    assert isinstance(events[-2], RunStarted)
    assert stream.closed
    assert store.status(run_id).state == "cancelled"
    assert not (store.folder(run_id) / "CANCEL").exists()


def test_closing_the_iterator_cancels(store):
    stream = SmallStream()
    events = store.record(stream)
    next(events)
    events.close()
    record = store.read(store.resolve("latest"))
    assert record.status.state == "cancelled"
    assert isinstance(record.events[-1], Cancelled)
    assert stream.closed


def test_leaving_the_loop_at_the_last_event_leaves_a_finished_run(store):
    for event in store.record(SmallStream()):
        if isinstance(event, RunFinished):
            break
    assert store.status(store.resolve("latest")).state == "finished"


def test_ctrl_c_in_the_stream_is_kept_as_cancelled(store):
    with pytest.raises(KeyboardInterrupt):
        list(store.record(SmallStream(before=raising(KeyboardInterrupt(), Stepped))))
    assert store.status(store.resolve("latest")).state == "cancelled"


@pytest.mark.parametrize(("last", "state"), [(Stepped, "cancelled"), (RunFinished, "finished")])
def test_who_asks_again_while_the_end_is_written_gets_that_end(store, monkeypatch, last, state):
    write, asked = recording.replace_json, []

    def disturbed(path, content):
        if path.name == "done.json" and not asked:
            asked.append(path)
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(recording, "replace_json", disturbed)
    run_id = store.create(CONFIG)
    for event in store.record(SmallStream(), run_id):
        if isinstance(event, last) and last is Stepped:
            store.cancel(run_id)
    assert asked
    record = store.read(run_id)
    assert record.status.state == state
    assert sum(isinstance(event, Cancelled) for event in record.events) == (state == "cancelled")


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RunFailure("the loss is not finite; lower lr"), "the loss is not finite; lower lr"),
        (OutOfMemoryError("CUDA"), "out of memory; take batch_size 8 or"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out of memory; take batch_size 8 or"),
        (MemoryError(), "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (InputError("weights do not fit"), "weights do not fit"),
    ],
)
def test_a_foreseen_failure_is_the_last_event(store, error, told):
    events = list(store.record(SmallStream(before=raising(error, Stepped))))
    assert isinstance(events[-1], Failed)
    assert told in events[-1].error
    record = store.read(store.resolve("latest"))
    assert (record.status.state, record.status.detail) == ("failed", events[-1].error)
    assert record.events[-1] == events[-1]


def test_an_unforeseen_error_is_kept_and_raised(store):
    with pytest.raises(ZeroDivisionError):
        list(store.record(SmallStream(before=raising(ZeroDivisionError("a\nb"), Stepped))))
    status = store.status(store.resolve("latest"))
    assert status.state == "failed"
    assert "ZeroDivisionError: a b" in status.detail


def test_a_stream_that_dries_up_has_not_finished(store):
    events = list(store.record(SmallStream(before=raising(StopIteration(), TaskFinished))))
    assert isinstance(events[-1], Failed)


def test_refused_input_leaves_nothing_behind(store):
    with pytest.raises(InputError, match="no such data"):
        list(store.record(SmallStream(before=raising(InputError("no such data"), RunStarted))))
    assert store.ids() == ()
    assert list(store.root.iterdir()) == []


def test_refused_input_of_a_job_is_told_in_its_folder(store):
    run_id = store.create(CONFIG)
    with pytest.raises(InputError):
        list(store.record(SmallStream(before=raising(InputError("no such data"), RunStarted)), run_id))
    status = store.status(run_id)
    assert (status.state, status.detail) == ("failed", "no such data")


def test_a_disk_that_fills_up_within_a_line_leaves_whole_lines(store, monkeypatch):
    real_write = os.write

    def short_write(descriptor: int, data: bytes) -> int:
        if b'"event":"Stepped","task":1' in data:
            return real_write(descriptor, data[:10])
        return real_write(descriptor, data)

    monkeypatch.setattr(recording.os, "write", short_write)
    events = list(store.record(SmallStream()))
    assert "No space left" in events[-1].error
    record = store.read(store.resolve("latest"))
    assert record.events[-1] == events[-1]
    assert record.status.state == "failed"


def test_arrays_that_cannot_be_written_stop_the_run_readably(store, monkeypatch):
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("esacl.arrays.replace_file", full)
    events = list(store.record(SmallStream()))
    run_id = store.resolve("latest")
    assert "resume" in events[-1].error
    assert not any(isinstance(event, ArrayRecorded) for event in store.read(run_id).events)
    monkeypatch.undo()
    list(store.record(SmallStream(store.checkpoint(run_id)), run_id, start=store.checkpoint(run_id)))
    assert events_file(store, run_id).read_bytes() == events_file(store, finished(store)).read_bytes()


# Resuming


@pytest.mark.parametrize("place", range(1, len(list(SmallStream()))))
def test_a_run_that_stops_anywhere_ends_with_the_same_bytes(store, place):
    undisturbed = finished(store)
    run_id = store.create(CONFIG)
    for number, _ in enumerate(store.record(SmallStream(), run_id), 1):
        if number == place:
            break
    assert store.status(run_id).state == "cancelled"
    start = store.checkpoint(run_id)
    for _ in store.record(SmallStream(start), run_id, start=start):
        pass
    assert store.status(run_id).state == "finished"
    assert events_file(store, run_id).read_bytes() == events_file(store, undisturbed).read_bytes()
    for name in store.array_names(undisturbed):
        np.testing.assert_equal(store.array(run_id, name), store.array(undisturbed, name))


def test_every_machine_that_worked_on_a_run_is_kept_until_it_begins_anew(store, monkeypatch):
    def here(cpu: str) -> None:
        monkeypatch.setattr(recording.machine, "facts", lambda: {"hardware": {"cpu": cpu}})

    here("first")
    run_id = store.create(CONFIG)
    for event in store.record(SmallStream(), run_id):
        if isinstance(event, TaskFinished):
            break
    here("second")
    start = store.checkpoint(run_id)
    next(store.record(SmallStream(start), run_id, start=start))
    kept = {"hardware": {"cpu": "second"}, "earlier": [{"hardware": {"cpu": "first"}}]}
    assert store.read(run_id).machine == kept
    next(store.record(SmallStream(), run_id))
    assert store.read(run_id).machine == {"hardware": {"cpu": "second"}}


def left_after_two_tasks(store):
    run_id = store.create(CONFIG)
    for event in store.record(SmallStream(), run_id):
        if isinstance(event, TaskFinished) and event.task == 1:
            return run_id


def test_measured_seconds_go_on_where_they_stopped(store):
    run_id = left_after_two_tasks(store)
    path = store.folder(run_id) / "measured.jsonl"
    path.write_text(path.read_text().replace('"seconds": 0', '"seconds": 1000'))
    start = store.checkpoint(run_id)
    for _ in store.record(SmallStream(start), run_id, start=start):
        pass
    measured = store.measured(run_id)
    assert [entry["events"] for entry in measured] == sorted({entry["events"] for entry in measured})
    assert measured[-1]["events"] == len(store.read(run_id).events)
    assert 1000 <= measured[-1]["seconds"] < 2000


def test_the_seconds_of_training_are_those_of_the_steps_and_not_those_of_who_follows(store, monkeypatch):
    """A clock by hand: 3 s before every step, 5 s before all else, 100 s for who looks at an event."""
    now = [0.0]
    monkeypatch.setattr("esacl.recording.time", types.SimpleNamespace(monotonic=lambda: now[0], time=time.time))

    def before(event):
        now[0] += 3.0 if isinstance(event, Stepped) else 5.0

    run_id, steps = store.create(CONFIG), 0
    for event in store.record(SmallStream(before=before), run_id):
        steps += isinstance(event, Stepped)
        now[0] += 100.0
        if isinstance(event, TaskFinished) and event.task == 1:
            break
    assert steps > 2
    assert store.measured(run_id)[-1]["training_seconds"] == 3.0 * steps
    start = store.checkpoint(run_id)
    for _ in store.record(SmallStream(start, before=before), run_id, start=start):
        now[0] += 100.0
    kept = sum(isinstance(event, Stepped) for event in store.read(run_id).events)
    assert store.measured(run_id)[-1]["training_seconds"] == 3.0 * kept


def test_a_run_of_before_that_did_not_tell_them_apart_goes_on_without(store):
    run_id = left_after_two_tasks(store)
    path = store.folder(run_id) / "measured.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for entry in entries:
        del entry["training_seconds"]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    start = store.checkpoint(run_id)
    for _ in store.record(SmallStream(start), run_id, start=start):
        pass
    assert all("training_seconds" not in entry for entry in store.measured(run_id))


def test_checkpoints_are_at_most_two_and_the_newest_counts(store):
    run_id = store.create(CONFIG)
    for event in store.record(SmallStream(), run_id):
        if isinstance(event, Stepped) and (event.task, event.epoch) == (1, 3):
            break
    assert len(list((store.folder(run_id) / "checkpoints").iterdir())) == 2
    state = store.checkpoint(run_id)
    assert (state.task, state.epoch, dict(state.counters)) == (1, 2, {"epoch": 2})
    assert state.tensors["weight"].dtype == np.float32


def test_a_kill_between_the_newest_checkpoint_and_the_deletion_of_the_oldest_leaves_no_third(store, monkeypatch):
    class Killed(BaseException):
        """Nothing is tidied up after it."""

    drop = checkpoints._drop_oldest

    def killed(folder):
        if (folder / "002-00000.safetensors").exists():
            raise Killed
        drop(folder)

    run_id = store.create(CONFIG)
    folder = store.folder(run_id) / "checkpoints"
    with monkeypatch.context() as patched:
        patched.setattr("esacl.checkpoints._drop_oldest", killed)
        with pytest.raises(Killed):
            list(store.record(SmallStream(), run_id))
    assert len(list(folder.iterdir())) == 3
    start = store.checkpoint(run_id)
    list(store.record(SmallStream(start), run_id, start=start))
    assert sorted(path.name for path in folder.iterdir()) == ["001-00003.safetensors", "002-00000.safetensors"]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(store):
    run_id = store.create(CONFIG)
    for event in store.record(SmallStream(), run_id):
        if isinstance(event, Stepped) and (event.task, event.epoch) == (1, 3):
            break
    newest = max((store.folder(run_id) / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-3])
    start = store.checkpoint(run_id)
    assert (start.task, start.epoch) == (1, 1)
    list(store.record(SmallStream(start), run_id, start=start))
    assert events_file(store, run_id).read_bytes() == events_file(store, finished(store)).read_bytes()


@pytest.mark.parametrize("content", [b"", b"\x80\x04cposix\nsystem\n", b"\xff" * 100, (10**9).to_bytes(8, "little")])
def test_checkpoints_that_nobody_can_read_are_named(store, content):
    run_id = store.create(CONFIG)
    folder = store.folder(run_id) / "checkpoints"
    folder.mkdir()
    (folder / "000-00001.safetensors").write_bytes(content)
    with pytest.raises(RunUnreadable, match=r"000-00001\.safetensors .*delete it"):
        store.checkpoint(run_id)


def test_a_finished_run_is_not_recorded_over(store):
    run_id = finished(store)
    before = events_file(store, run_id).read_bytes()
    with pytest.raises(InputError, match="is finished"):
        next(store.record(SmallStream(), run_id))
    assert events_file(store, run_id).read_bytes() == before


def test_only_one_works_on_a_run(store):
    run_id = store.create(CONFIG)
    events = store.record(SmallStream(), run_id)
    next(events)
    with pytest.raises(InputError, match="is being worked on"):
        next(RunStore(store.root).record(SmallStream(), run_id))
    with pytest.raises(InputError, match="is being worked on"):
        RunStore(store.root).delete(run_id)
    events.close()
    RunStore(store.root).delete(run_id)
    assert store.ids() == ()


def test_what_is_left_of_a_deleted_run_is_named(store, monkeypatch):
    run_id = finished(store)

    def stuck(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("esacl.store.shutil.rmtree", stuck)
    with pytest.raises(InputError, match=rf"run {run_id} is deleted, but for /\S+ \(Permission denied\)") as caught:
        store.delete(run_id)
    assert store.ids() == ()
    assert Path(str(caught.value).split("but for ")[1].split()[0]).is_dir()


# Analyses


def test_an_analysis_leaves_the_events_of_the_run_alone(store):
    run_id = finished(store)
    before = events_file(store, run_id).read_bytes()
    assert store.analysis_status(run_id) is None
    found = ArrayRecorded(name="landscape-t0", arrays={"x": np.arange(3.0)})
    events = store.record_analysis(run_id, iter([found]))
    assert next(events) == found
    assert store.analysis_status(run_id).state == "running"
    assert store.status(run_id).state == "finished"
    assert list(events) == [RunFinished()]
    assert store.analysis_status(run_id).state == "finished"
    assert store.tail(run_id, "analyses").poll() == [found, RunFinished()]
    np.testing.assert_equal(store.array(run_id, "landscape-t0"), {"x": np.arange(3.0)})
    assert events_file(store, run_id).read_bytes() == before


def test_an_analysis_of_a_cancelled_run_is_seen_at_work(store):
    run_id = finished(store)
    store.finish(run_id, "cancelled")
    events = store.record_analysis(run_id, iter([Cancelled()] * 2))
    next(events)
    assert store.analysis_status(run_id).state == "running"
    events.close()


def test_an_analysis_may_be_cancelled_or_fail(store):
    run_id = finished(store)
    store.cancel(run_id)
    assert list(store.record_analysis(run_id, iter([Cancelled()] * 3)))[-1] == Cancelled()
    assert store.analysis_status(run_id).state == "cancelled"
    stream = SmallStream(before=raising(RunFailure("not finite"), RunStarted))
    assert list(store.record_analysis(run_id, stream))[-1] == Failed(error="not finite")
    assert (store.analysis_status(run_id).state, store.analysis_status(run_id).detail) == ("failed", "not finite")


# Reading


def test_a_torn_last_line_is_left_out(store):
    run_id = finished(store)
    path = events_file(store, run_id)
    whole = store.read(run_id).events
    path.write_bytes(path.read_bytes() + b'{"event":"RunFin')
    assert store.read(run_id).events == whole


@pytest.mark.parametrize(
    "line", [b"nonsense", b'{"event":"New"}', b'{"event":"RunFinished","event":"x"}', b"x" * 2**21]
)
def test_a_damaged_line_is_named_by_file_and_number(store, line):
    run_id = finished(store)
    path = events_file(store, run_id)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]) + b"\n")
    with pytest.raises(RunUnreadable, match=r"events\.jsonl, line 3: .*restore it or delete the run"):
        store.read(run_id)


def test_the_tail_sees_whole_lines_only_and_each_once(store, tmp_path):
    run_id = finished(store)
    data = events_file(store, run_id).read_bytes()
    whole = list(store.read(run_id).events)
    path = events_file(store, run_id)
    path.write_bytes(b"")
    tail = store.tail(run_id)
    seen = []
    for end in range(0, len(data) + 1, 37):
        path.write_bytes(data[:end])
        seen += tail.poll()
        assert seen == whole[: data[:end].count(b"\n")]
    path.write_bytes(data)
    assert seen + tail.poll() == whole == tail.events
    assert tail.restarts == 0


def test_the_tail_starts_anew_where_the_file_was_cut_and_grew_again(store):
    run_id = finished(store)
    data = events_file(store, run_id).read_bytes()
    lines = data.splitlines(keepends=True)
    path = events_file(store, run_id)
    path.write_bytes(b"".join(lines[:5]) + b'{"event":"Cancelled"}\n')
    tail = store.tail(run_id)
    tail.poll()
    path.write_bytes(data)
    assert tail.poll() == list(store.read(run_id).events) == tail.events
    assert tail.restarts == 1
    path.write_bytes(b"".join(lines[:2]))
    assert len(tail.poll()) == 2
    assert tail.restarts == 2


def test_a_run_in_the_making_can_be_read(store):
    run_id = store.create(CONFIG)
    record = store.read(run_id)
    assert record.events == ()
    assert record.status.state == "lost"
    events = store.record(SmallStream(), run_id)
    next(events)
    assert store.status(run_id).state == "loading"
    next(events)
    assert store.status(run_id).state == "running"
    events.close()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", None),
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", '{"sparsity": NaN}'),
        ("config.json", '{"seed": 1, "seed": 2}'),
        ("config.json", '{"from_the_future": 1}'),
        ("config.json", "[" * 100_000),
        ("config.json", " " * 2_000_000),
        ("done.json", ""),
        ("done.json", '{"status": "excellent"}'),
        ("done.json", '{"status": ["finished"]}'),
    ],
)
def test_a_corrupt_folder_is_listed_with_its_reason(store, file, content):
    run_id, other = finished(store), finished(store)
    path = store.folder(run_id) / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert set(store.ids()) == {run_id, other}
    status = store.status(run_id)
    assert status.state == "unreadable"
    assert file in status.detail
    assert "\n" not in status.detail
    assert store.status(other).state == "finished"


def test_links_and_strange_folders_are_no_runs(store, tmp_path):
    run_id = finished(store)
    (store.root / "link").symlink_to(store.folder(run_id))
    (store.root / "notes").mkdir()
    (store.root / ".hidden").mkdir()
    (store.root / "file.txt").write_text("x")
    assert store.ids() == (run_id,)
    with pytest.raises(InputError):
        store.folder("link")


@pytest.mark.parametrize("text", ["../x", "a/b", "", ".", "..", "x\0y", "x" * 300, "CON", "ä", "/etc", "-rf"])
@pytest.mark.parametrize("method", ["folder", "resolve", "config", "status", "read", "tail", "delete", "checkpoint"])
def test_what_is_no_run_is_refused_in_one_line(store, text, method):
    store.create(CONFIG)
    store.create(CONFIG)
    with pytest.raises(InputError, match="no run") as caught:
        getattr(store, method)(text)
    assert "\n" not in str(caught.value)


def test_runs_are_found_by_prefix_and_latest(store):
    first, second = finished(store), store.create(RunConfig(method="finetune"))
    assert store.ids()[0] == store.resolve("latest") == second
    assert store.resolve(first) == first
    assert store.resolve(second[: second.index("finetune") + 2]) == second
    with pytest.raises(InputError, match="write more of the id"):
        store.resolve(first[:8])
    with pytest.raises(InputError, match="no run"):
        RunStore(store.root / "none").resolve("latest")


def test_ids_fit_their_pattern_for_every_name(store):
    run_id = store.create(RunConfig(benchmark="permuted-mnist", name="<b>../x</b>"))
    assert store.folder(run_id).parent == store.root
    assert len(run_id) <= 64


# Folders that cannot be written


def test_a_read_only_runs_folder_is_one_clear_line(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"runs folder .* cannot be written \(Permission denied\).*--runs"):
        RunStore(tmp_path / "runs").create(CONFIG)


def test_a_file_in_place_of_the_runs_folder_is_one_clear_line(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        RunStore(tmp_path / "runs").create(CONFIG)
    assert RunStore(tmp_path / "runs").ids() == ()


@pytest.mark.parametrize("command", [["list"], ["show", "latest"], ["restore"]])
def test_a_runs_folder_that_cannot_be_read_is_not_an_empty_one(store, monkeypatch, capsys, command):
    trash.discard(store, finished(store))

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert cli.main([*command, "--runs", str(store.root)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(rf"error: .*{store.root}\S* cannot be read \(Permission denied\); mend .*\n", told.err)


def test_evaluations_are_kept_in_full(store):
    evaluated = [e for e in store.read(finished(store)).events if isinstance(e, Evaluated)]
    assert [(e.after, e.on) for e in evaluated] == [(-1, 0), (-1, 1), (0, 0), (1, 0), (1, 1)]


def test_the_head_of_the_store_names_every_file_of_a_run():
    from esacl import fault_report, store
    from esacl.recording import RESERVE

    named = set(re.findall(r"[\w-]+\.\w+|CANCEL", store.__doc__))
    assert {*fault_report._OF_RUN, *fault_report._LOGS, LABEL, "CANCEL"} <= named
    assert RESERVE.startswith(".")  # what begins with a point is nobody's to read
