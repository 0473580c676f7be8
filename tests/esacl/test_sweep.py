"""`esacl sweep` with processes: every run once, whatever dies; what is finished is left alone."""

import json
import os
import signal
import time
from dataclasses import replace

import pytest
from small_worker import DEADLY, NAN, REFUSED
from sweeping import COMMON, Command, called, in_second_task, seeds, seeds_of, spec, starts, wait_for
from tiny_runs import TINY, events_of, tiny

from esacl import accelerators, device_turns
from esacl.config import RunConfig
from esacl.errors import InputError, RunUnreadable
from esacl.event_lines import to_line
from esacl.events import CheckpointReady, Pulse
from esacl.store import RunStore
from esacl.sweep import data, gpus, record
from esacl.sweep.book import opened as at_work
from esacl.sweep.record import Entry, read_sweep, sweeps_of, time_left
from esacl.sweep.spec import read_spec

pytestmark = pytest.mark.processes


def test_all_runs_are_done_once_and_never_again(tmp_path):
    path = spec(tmp_path, seeds(1, 2, 3, 4, 5))
    code, told, _ = called(tmp_path, path, "--workers", 2)
    store = RunStore(tmp_path / "runs")
    assert code == 0
    assert (told["done"], told["failed"], told["waiting"]) == (5, 0, 0)
    assert [(g["n"], g["method"], g["seeds"]) for g in told["groups"]] == [(5, "finetune", [1, 2, 3, 4, 5])]
    assert seeds_of(store) == dict.fromkeys(range(1, 6), 1)
    assert {row["run"] for row in told["runs"]} == set(store.ids())
    before = {run_id: (store.folder(run_id) / "events.jsonl").stat().st_mtime_ns for run_id in store.ids()}
    assert called(tmp_path, path, "--workers", 2)[:2] == (0, told)
    assert before == {run_id: (store.folder(run_id) / "events.jsonl").stat().st_mtime_ns for run_id in store.ids()}
    assert starts(store) == 5
    code, out, _ = Command(tmp_path, spec(tmp_path, seeds(1, 2, 3, 4, 5, 6))).end()  # a row more: that one alone
    assert (code, starts(store), seeds_of(store)) == (0, 6, dict.fromkeys(range(1, 7), 1))
    assert "6 of 6 runs finished, 0 failed, 0 to come" in out
    assert "ACC, %" in out


def test_so_many_at_a_time_and_a_killed_one_goes_on_from_its_checkpoint(tmp_path):
    gate = tmp_path / "gate"
    path = spec(tmp_path, seeds(1, 2, 3, 4))
    command = Command(tmp_path, path, "--workers", 2, SMALL_GATE=str(gate))
    at_work = wait_for(lambda: in_second_task(command.store, 2))
    folder = sweeps_of(command.store.root)[0]
    state = read_sweep(folder)
    assert (state.live, state.workers, state.running, state.waiting, state.done) == (True, 2, 2, 2, 0)
    assert len(command.store.ids()) == 2
    pid = command.store.workers.about(at_work[0])["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: command.store.workers.about(at_work[0])["pid"] != pid)
    gate.touch()
    code, _, err = command.end()
    assert code == 0, err
    assert seeds_of(command.store) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert "going on after" in (command.store.folder(at_work[0]) / "log.txt").read_text()
    state = read_sweep(folder)
    assert (state.live, state.running, state.done, state.eta) == (False, 0, 4, None)


def test_what_fails_by_itself_is_told_and_holds_up_nobody(tmp_path):
    path = spec(tmp_path, seeds(NAN, DEADLY, REFUSED, 1))
    code, told, err = called(tmp_path, path, "--workers", 2)
    assert code == 1
    assert [row["state"] for row in told["runs"]] == ["failed", "failed", "failed", "finished"]
    assert "the loss is NaN in step 1" in told["runs"][0]["detail"]
    assert "its process died 4 times at one place, the last time by SIGKILL, as when" in told["runs"][1]["detail"]
    assert "cuda:99" in told["runs"][2]["detail"]
    assert "failed: method=finetune, seed=13" in err
    store = RunStore(tmp_path / "runs")
    log = (store.folder(told["runs"][0]["run"]) / "log.txt").read_text()
    assert log.count('{"run":') == 1
    code, again, _ = called(tmp_path, path, "--workers", 2)  # whoever has mended something tries again
    assert (code, again["runs"]) == (1, told["runs"])
    assert (store.folder(told["runs"][0]["run"]) / "log.txt").read_text().count('{"run":') == 2
    assert len(store.ids()) == 4


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_who_stops_a_sweep_finds_it_where_it_was(tmp_path, number):
    gate = tmp_path / "gate"
    path = spec(tmp_path, seeds(1, 2, 3))
    command = Command(tmp_path, path, "--workers", 2, SMALL_GATE=str(gate))
    at_work = wait_for(lambda: in_second_task(command.store, 2))
    command.process.send_signal(number)
    code, out, err = command.end()
    assert code == 130
    assert "the same command goes on" in err
    assert "0 of 3 runs finished, 0 failed, 3 to come" in out
    assert {command.store.status(run_id).state for run_id in command.store.ids()} == {"cancelled"}
    gate.touch()
    code, told, _ = called(tmp_path, path)
    assert (code, seeds_of(command.store)) == (0, {1: 1, 2: 1, 3: 1})
    assert {row["run"] for row in told["runs"]} > set(at_work)
    assert all("going on after" in (command.store.folder(one) / "log.txt").read_text() for one in at_work)


def test_a_second_request_ends_the_runs_at_once(tmp_path):
    # These do not listen: they are held where no event comes, and their own patience is taken from them.
    deaf = "from esacl.sweep import carry; carry.WORKER = 'deaf_worker'; "
    (tmp_path / "deaf_worker.py").write_text(
        "import small_worker, signal\nfrom esacl import computing, stopping\nfrom esacl.sweep import worker\n"
        "stopping._insist = lambda *_: None\ncomputing._events = small_worker.events\nraise SystemExit(worker.main())\n"
    )
    first = f"import os; os.environ['PYTHONPATH'] += os.pathsep + {str(tmp_path)!r}; {deaf}"
    gate = str(tmp_path / "gate")
    command = Command(tmp_path, spec(tmp_path, seeds(1, 2)), "--workers", 2, first=first, SMALL_GATE=gate)
    wait_for(lambda: in_second_task(command.store, 2))
    command.process.send_signal(signal.SIGINT)
    wait_for(lambda: all((command.store.folder(one) / "CANCEL").exists() for one in command.store.ids()))
    time.sleep(0.5)
    assert command.process.poll() is None
    command.process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert command.end()[0] == 130
    assert time.monotonic() - begun < 10
    assert seeds_of(command.store, "cancelled") == {1: 1, 2: 1}


def test_a_page_can_ask_a_sweep_to_stop(tmp_path):
    command = Command(tmp_path, spec(tmp_path, seeds(1, 2)), "--workers", 1, SMALL_GATE=str(tmp_path / "gate"))
    wait_for(lambda: in_second_task(command.store, 1))
    record.cancel(sweeps_of(command.store.root)[0])
    assert command.end()[0] == 130
    assert seeds_of(command.store, "cancelled") == {1: 1}


def test_runs_outlive_a_sweep_that_is_killed_and_the_next_call_waits_for_them(tmp_path):
    gate = tmp_path / "gate"
    path = spec(tmp_path, seeds(1, 2, 3))
    command = Command(tmp_path, path, "--workers", 2, SMALL_GATE=str(gate))
    at_work = wait_for(lambda: in_second_task(command.store, 2))
    command.process.kill()
    command.process.communicate()
    folder = sweeps_of(command.store.root)[0]
    assert (read_sweep(folder).live, read_sweep(folder).running) == (False, 2)
    again = Command(tmp_path, path, "--workers", 2)
    wait_for(lambda: read_sweep(folder).live)
    code, _, err = Command(tmp_path, path).end()
    assert (code, err) == (2, "error: sweep some is being worked on by another process; wait for its end, or stop it\n")
    gate.touch()
    assert again.end()[0] == 0
    assert (seeds_of(command.store), starts(command.store)) == ({1: 1, 2: 1, 3: 1}, 3)
    assert set(at_work) < set(command.store.ids())


def test_a_run_that_was_deleted_is_computed_again(tmp_path):
    path = spec(tmp_path, seeds(1, 2))
    store = RunStore(tmp_path / "runs")
    called(tmp_path, path)
    gone, kept = store.ids()
    store.delete(gone)
    assert called(tmp_path, path)[0] == 0
    assert (seeds_of(store), starts(store)) == ({1: 1, 2: 1}, 2)
    assert kept in store.ids()


@pytest.mark.slow
def test_a_data_set_that_is_damaged_is_told_before_anything_starts(tmp_path):
    (tmp_path / "data" / "MNIST" / "raw").mkdir(parents=True)
    for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        kind = "idx3" if "images" in name else "idx1"
        (tmp_path / "data" / "MNIST" / "raw" / f"{name}-{kind}-ubyte.gz").write_bytes(b"no idx file")
    path = spec(tmp_path, seeds(1).replace("[common]", '[common]\nbenchmark = "split-mnist"'))
    code, out, err = Command(tmp_path, path, "--data", tmp_path / "data").end()
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "is truncated or corrupt" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_digits_are_always_there_and_nothing_is_loaded_to_see_it(monkeypatch):
    monkeypatch.setattr(data.subprocess, "run", None)
    assert data.missing({"split-digits"}, None) == ""


def test_a_real_run_that_is_killed_ends_as_if_nothing_had_been(tmp_path):
    settings = "".join(f"{key!r} = {value!r}\n" for key, value in TINY.items()).replace("'cpu'", '"cpu"')
    path = spec(tmp_path, f"[common]\n{settings}[grid]\nmethod = ['finetune']\n")
    command = Command(tmp_path, path, "--workers", 2, "--json", first="")
    store = command.store
    (run_id,) = wait_for(lambda: [one for one in store.ids() if store.status(one).state == "running"])
    wait_for(lambda: any((store.folder(run_id) / "checkpoints").glob("*.safetensors")))
    os.kill(store.workers.about(run_id)["pid"], signal.SIGKILL)
    code, out, err = command.end()
    assert code == 0, err
    told = json.loads(out.splitlines()[-1])
    assert (told["done"], told["runs"][0]["run"], store.ids()) == (1, run_id, (run_id,))
    whole = [to_line(e) for e in events_of(tiny({"method": "finetune"})) if not isinstance(e, (CheckpointReady, Pulse))]
    assert (store.folder(run_id) / "events.jsonl").read_text().splitlines()[
        1:
    ] == whole  # the first says that torch is loaded


# What is known of a sweep


def test_the_time_left_is_that_of_the_runs_so_far_over_those_who_work():
    done = [Entry("a", "1", "finished", seconds=10.0), Entry("b", "2", "finished", seconds=20.0)]
    running = [Entry("c", "3", "running", since=95.0), Entry("d", "4", "running", since=0.0)]
    waiting = [Entry(str(n)) for n in range(4)]
    assert time_left(done + running + waiting, 2, 100.0) == pytest.approx((4 * 15 + 10 + 0) / 2)
    assert time_left(done + running[:1], 8, 100.0) == pytest.approx(10.0)  # more workers than runs are no help
    assert time_left(running + waiting, 2, 100.0) is None
    assert time_left(done, 2, 100.0) == 0.0


def opened(tmp_path, text: str, engine: str = "process"):
    return at_work(RunStore(tmp_path / "runs"), read_spec(spec(tmp_path, text)), engine, 2)


def test_what_is_begun_comes_before_what_is_not(tmp_path):
    with opened(tmp_path, seeds(1, 2, 3)) as book:
        assert book.due() == [0, 1, 2]
        book.note(2, run=book.store.create(book.configs[2]))
        assert book.due() == [2, 0, 1]
        with book.store.workers.hold(run_id := book.store.create(book.configs[1])):
            book.note(1, run=run_id)
            assert book.due() == [1, 2, 0]


def test_a_sweep_knows_its_runs_by_what_they_compute(tmp_path):
    with opened(tmp_path, seeds(1, 2)) as book:
        run_id, token = book.store.create(book.configs[1]), book.token
        book.note(1, run=run_id)
    with opened(tmp_path, seeds(9)) as book:
        assert [entry.run for entry in book.entries] == [None]
    with opened(tmp_path, seeds(2, 7).replace("[grid]", "threads = 4\n[grid]")) as book:
        assert [entry.run for entry in book.entries] == [run_id, None]
        assert book.token == token


def test_two_files_of_one_name_are_two_sweeps_and_one_that_was_moved_is_the_same(tmp_path):
    with opened(tmp_path, seeds(1)) as book:
        book.store.create(book.configs[0])
    first = tmp_path / "some.toml"
    other = tmp_path / "elsewhere" / "some.toml"
    other.parent.mkdir()
    other.write_text(first.read_text())
    store = RunStore(tmp_path / "runs")
    with pytest.raises(InputError, match=r"give .*elsewhere.* another name"), at_work(
        store, read_spec(other), "process", 2
    ):  # fmt: skip
        pass
    assert record.read_sweep(store.root / "sweeps" / "some").file == str(first)
    first.unlink()
    with at_work(store, read_spec(other), "process", 2) as book:
        assert book.state().file == str(other)


def test_a_sweep_that_is_refused_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="no room"), opened(tmp_path, seeds(1)):
        raise InputError("no room")
    assert not (tmp_path / "runs").exists()
    with opened(tmp_path, seeds(1)) as book:
        book.note(0, run=book.store.create(book.configs[0]))
    with pytest.raises(InputError, match="no room"), opened(tmp_path, seeds(1)):
        raise InputError("no room")
    assert len(read_sweep(tmp_path / "runs" / "sweeps" / "some").rows) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "rows": [3]}', '{"format": 2, "rows": []}'])
def test_a_damaged_record_is_refused_and_kept(tmp_path, content):
    with opened(tmp_path, seeds(1)) as book:
        path = book.folder / record.FILE
    path.write_text(content)
    with pytest.raises(RunUnreadable, match=r"sweep\.json .*; move it away, and the sweep begins anew; its runs stay$"):
        read_sweep(path.parent)
    with pytest.raises(RunUnreadable, match=r"sweep\.json"), opened(tmp_path, seeds(1)):
        pass
    assert path.read_text() == content


def test_of_a_record_that_cannot_be_a_file_of_ours_no_run_is_said_to_be_at_fault(tmp_path, monkeypatch):
    with opened(tmp_path, seeds(1)) as book:
        path = book.folder / record.FILE
    monkeypatch.setattr(record, "MOST_BYTES", 10)
    with pytest.raises(RunUnreadable, match=r"larger than 10 bytes; move it away, and the sweep begins anew"):
        read_sweep(path.parent)
    path.unlink()
    with pytest.raises(RunUnreadable, match=r"missing .*; move it away, and the sweep begins anew"):
        read_sweep(path.parent)


def test_what_a_record_says_of_a_run_elsewhere_is_not_believed(tmp_path):
    with opened(tmp_path, seeds(1)) as book:
        path = book.folder / record.FILE
        book.note(0, state="running", run="../../etc")
    assert read_sweep(path.parent).rows == (Entry("method=finetune, seed=1"),)


def test_the_folder_of_sweeps_is_no_run(tmp_path):
    with opened(tmp_path, seeds(1)) as book:
        assert book.store.ids() == ()


# GPUs


def test_gpus_are_counted_without_torch(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerators, "torch_is_for_cpus", lambda: False)
    for name in ("nvidia10", "nvidia0", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert accelerators.visible({}, tmp_path) == ("0", "2", "10")
    assert accelerators.visible({"CUDA_VISIBLE_DEVICES": "3, GPU-5f"}, tmp_path) == ("3", "GPU-5f")
    assert accelerators.visible({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()
    assert accelerators.visible({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5f")
    assert accelerators.names()[:2] == ("cuda:0", "cuda:1")
    assert device_turns.device_key("auto") == "cuda:0"
    monkeypatch.setattr(accelerators, "torch_is_for_cpus", lambda: True)
    assert not any(name.startswith("cuda") for name in accelerators.names())


def test_workers_take_the_gpus_in_turns_where_the_config_leaves_it_open():
    four = ("4", "5", "6", "7")
    auto, second = RunConfig(), RunConfig(device="cuda:1")
    given = [gpus.pinned(auto, four, place) for place in (0, 3, 5)]
    assert given == [{accelerators.VISIBLE: name} for name in ("4", "7", "5")]
    assert gpus.pinned(auto, ("0",), 3) == gpus.pinned(auto, (), 0) == gpus.pinned(second, four, 0) == {}
    assert gpus.workers_for([auto, second], four, 16) == 4
    assert gpus.workers_for([second], four, 16) == 16
    assert gpus.workers_for([RunConfig(threads=4), RunConfig(threads=3)], (), 10) == 2
    assert gpus.workers_for([RunConfig(threads=4)], (), 2) == 1


def test_the_process_of_a_run_sees_its_gpu_alone(tmp_path):
    seen = "from esacl import accelerators; accelerators.visible = lambda: ('8', '9'); "
    (tmp_path / "seeing_worker.py").write_text(
        "import os, sys, small_worker\nfrom esacl import computing\nfrom esacl.sweep import worker\n"
        "print('sees', os.environ.get('CUDA_VISIBLE_DEVICES'))\n"
        "computing._events = small_worker.events\nraise SystemExit(worker.main())\n"
    )
    first = f"import os; os.environ['PYTHONPATH'] += os.pathsep + {str(tmp_path)!r}; {seen}"
    first += "from esacl.sweep import carry; carry.WORKER = 'seeing_worker'; "
    text = seeds(1, 2).replace('"cpu"', '"auto"')
    code, told, _ = called(tmp_path, spec(tmp_path, text), first=first)
    store = RunStore(tmp_path / "runs")
    logs = [(store.folder(row["run"]) / "log.txt").read_text().splitlines()[0] for row in told["runs"]]
    assert (code, logs) == (0, ["sees 8", "sees 9"])
    assert read_sweep(sweeps_of(store.root)[0]).workers == 2


def test_common_settings_reach_every_run(tmp_path):
    (row,) = read_spec(spec(tmp_path, COMMON + "[[run]]\nseed = 4\n")).rows
    assert replace(row).key == RunConfig(tasks=2, epochs=3, device="cpu", seed=4).digest
