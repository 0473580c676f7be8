"""`esacl doctor`: what is wrong in a runs folder, what of it is mended, and the report that leaves data out."""

import errno
import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_stream import CONFIG, SmallStream

from esacl import checkup, cli, fault_report, logs, trash
from esacl.anonymous import nameless, names_of
from esacl.arrays import write_arrays
from esacl.checkup import check
from esacl.config import LATER, RunConfig, dotted, read_config
from esacl.errors import InputError, RunUnreadable
from esacl.events import RunStarted, TaskFinished
from esacl.formats import FORMAT, numbered, settings_of
from esacl.labels import write_label
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return RunStore(tmp_path / "runs")


def recorded(store: RunStore, config: RunConfig = CONFIG) -> Path:
    run_id = store.create(config)
    list(store.record(SmallStream(), run_id))
    return store.folder(run_id)


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def leave_rest(folder: Path) -> None:
    (folder / "checkpoints" / ".000-00001.safetensors.7-8.tmp").write_bytes(b"x")


def tear_events(folder: Path) -> None:
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"event":"Eval')


def lose_done(folder: Path) -> None:
    (folder / "done.json").unlink()


def spoil_done(folder: Path) -> None:
    (folder / "done.json").write_text("{")


def leave_flag(folder: Path) -> None:
    (folder / "CANCEL").touch()


def spoil_checkpoint(folder: Path) -> None:
    path = max((folder / "checkpoints").iterdir())
    path.write_bytes(path.read_bytes()[:-3])


def spoil_measured(folder: Path) -> None:
    path = folder / "measured.jsonl"
    path.write_bytes(b'{"events": 1, "seconds": 1, "peak_bytes": [1]}\n' + path.read_bytes())


SAFE = {
    "measured.jsonl has lines": spoil_measured,
    "checkpoints/.000-00001": leave_rest,
    "events.jsonl ends within a line": tear_events,
    "done.json is missing, and the events say finished": lose_done,
    "done.json is damaged": spoil_done,
    "a request to cancel is left": leave_flag,
    "safetensors is damaged": spoil_checkpoint,
}


@pytest.mark.parametrize("what", SAFE)
def test_what_is_safe_is_told_first_and_mended_when_asked(store, what):
    folder = recorded(store)
    whole = store.read(folder.name)
    assert check(store, repair=False) == []
    SAFE[what](folder)
    before = everything(store.root)
    told = check(store, repair=False)
    assert [(finding["run"], finding["safe"], finding["mended"]) for finding in told] == [(folder.name, True, False)]
    assert what in told[0]["what"]
    assert everything(store.root) == before
    assert [finding["mended"] for finding in check(store, repair=True)] == [True]
    assert check(store, repair=True) == []
    assert store.read(folder.name) == whole
    assert store.checkpoint(folder.name) is not None


def spoil_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def spoil_event(folder: Path) -> None:
    path = folder / "events.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"TaskStarted"', b'"TaskStirred"', 1))


def spoil_array(folder: Path) -> None:
    (folder / "arrays" / "weights-t0.npz").write_bytes(b"")


def change_array(folder: Path) -> None:
    write_arrays(folder / "arrays" / "weights-t0.npz", {"dense/w": np.ones(4, np.float32)})


def put(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def put_folder(name: str) -> Callable[[Path], None]:
    def made(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return made


UNSAFE = {
    "machine.json is not valid JSON": put("machine.json", "{"),
    "machine.json does not tell what the run ran on": put("machine.json", '{"hardware": 5}'),
    "label.json is damaged": put("label.json", "{"),
    "analyses.jsonl, line 1": put("analyses.jsonl", '{"event":"Nope"}\n'),
    "done.json is a folder": put_folder("done.json"),
    "CANCEL is a folder": put_folder("CANCEL"),
    ".reserve is a folder": put_folder(".reserve"),
    "measured.jsonl is missing or not a regular file": put_folder("measured.jsonl"),
    "config.json is not valid JSON": spoil_config,
    "events.jsonl, line": spoil_event,
    "weights-t0.npz is damaged": spoil_array,
    "array weights-t0 is not what the run has recorded": change_array,
}


@pytest.mark.parametrize("what", UNSAFE)
def test_what_only_a_person_can_mend_is_told_and_left_alone(store, what):
    folder = recorded(store)
    UNSAFE[what](folder)
    before = everything(store.root)
    told = check(store, repair=True)
    assert [(finding["safe"], finding["mended"]) for finding in told] == [(False, False)]
    assert what in told[0]["what"]
    assert told[0]["remedy"]
    assert everything(store.root) == before


def test_a_run_that_somebody_works_on_is_left_alone(store):
    folder = recorded(store)
    tear_events(folder)
    with RunStore(store.root).workers.hold(folder.name):
        assert check(store, repair=True) == []


def test_what_a_kill_left_beside_the_runs_is_removed_once_it_is_old(store):
    recorded(store)
    fresh, old, notes = (store.root / name for name in (".new-a-1-2", ".deleted-b-3", ".notes"))
    for path in (fresh, old, notes):
        path.mkdir()
        if path != fresh:
            os.utime(path, (1, 1))
    store.workers.queue.draw("gone", "cpu", 1, {})
    told = check(store, repair=True)
    assert [finding["mended"] for finding in told] == [True, True]
    assert (fresh.exists(), old.exists(), notes.exists()) == (True, False, True)
    assert store.workers.queue.tickets() == []


def test_what_a_kill_left_in_the_queue_and_the_trash_is_removed_and_what_is_strange_told(store):
    recorded(store)
    queue, trashed = store.workers.queue.folder, store.root / trash.FOLDER / ".purged-1-x"
    queue.mkdir()
    for name in (".cpu.1.tmp", "garbage.json", ".fresh.tmp"):
        (queue / name).write_text("x")
    os.utime(queue / ".cpu.1.tmp", (1, 1))
    (trashed / "arrays").mkdir(parents=True)
    os.utime(trashed, (1, 1))
    being_deleted = trashed.with_name(".purged-2-y")  # somebody is at it
    being_deleted.mkdir()
    told = {finding["what"].rpartition("/")[2]: finding["mended"] for finding in check(store, repair=True)}
    assert told == {
        ".cpu.1.tmp was left in the queue by a killed writer": True, "garbage.json is no ticket": False,
        ".purged-1-x was deleted for good, but for this": True,
    }  # fmt: skip
    assert sorted(path.name for path in queue.iterdir()) == [".fresh.tmp", "garbage.json"]
    assert not trashed.exists()
    assert being_deleted.exists()


def test_a_ticket_that_goes_while_it_is_looked_at_stops_no_look_at_the_runs(store, monkeypatch):
    tear_events(recorded(store))
    gone = store.workers.queue.folder / ".cpu.1.tmp"
    monkeypatch.setattr(type(store.workers.queue), "strange", lambda self: [gone])
    assert [finding["what"] for finding in check(store, repair=False)] != []
    monkeypatch.setattr(type(store.workers.queue), "strange", lambda self: gone.lstat())
    told = [finding["what"] for finding in check(store, repair=False)]
    assert told[0].endswith("cannot be read (No such file or directory)")
    assert len(told) > 1  # and what is wrong with the run


@pytest.mark.parametrize(("name", "left"), [("is", "this 'is' all"), ("finished", "state 'finished'")])
def test_a_name_that_says_nothing_is_left_with_its_quotes(tmp_path, name, left):
    (tmp_path / "config.json").write_text(json.dumps({"name": name}))
    assert nameless(left, names_of(tmp_path), log=True) == left


def test_a_name_goes_without_its_quotes(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"name": "Patient Smith"}))
    assert nameless("run 'Patient Smith' ended", names_of(tmp_path), log=True) == "run '(named)' ended"


@pytest.mark.parametrize("repair", [False, True])
def test_what_cannot_be_read_is_a_finding_and_stops_no_look_at_another_run(store, monkeypatch, repair):
    first, second = recorded(store), recorded(store)
    tear_events(first)
    tear_events(second)
    look = checkup.leftovers

    def refuse(folder):
        if folder == second:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder / "arrays"))
        return look(folder)

    monkeypatch.setattr(checkup, "leftovers", refuse)
    told = {finding["run"]: finding["what"] for finding in check(store, repair=repair)}
    assert told[second.name] == f"{second / 'arrays'} cannot be read (Permission denied)"
    assert "ends within a line" in told[first.name]

    def refuse_all(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse_all)
    assert [finding["what"] for finding in check(store, repair=repair) if not finding["run"]] == [
        f"runs folder {store.root} cannot be read (Permission denied)"
    ]


def test_a_folder_that_is_called_like_a_leftover_stops_no_run(store):
    run_id = store.create(CONFIG)
    (store.folder(run_id) / "arrays" / ".x.tmp").mkdir(parents=True)
    list(store.record(SmallStream(), run_id))
    assert store.status(run_id).state == "finished"
    assert check(store, repair=True) == []


def test_the_command_repairs_only_when_told_to(store, capsys):
    folder = recorded(store)
    tear_events(folder)
    assert cli.main(["doctor", "--runs", str(store.root)]) == 0
    assert "`esacl doctor --repair` does what is safe" in capsys.readouterr().out
    assert (folder / "events.jsonl").read_bytes().endswith(b"Eval")
    assert cli.main(["doctor", "--repair", "--runs", str(store.root)]) == 0
    assert "(mended)" in capsys.readouterr().out
    assert (folder / "events.jsonl").read_bytes().endswith(b"}\n")


# The report


def test_the_report_has_what_explains_a_fault_and_no_data(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    folder = recorded(store, RunConfig(tasks=2, epochs=3, name="secret of Anna"))
    (folder / "log.txt").write_text(f"at {tmp_path}/x\n" + "y" * 300 * 2**10 + "\nsecret of Anna: 99%, Änne's\n")
    write_label(folder, "Änne's")
    logs.note(logs.job_log(folder), "failed", detail="why, Änne's")
    logs.note(logs.server_log(store.root), "start")
    logs.note(logs.server_log(store.root), "fault", text="secret of Anna, Änne's: KeyError")
    out = tmp_path / "report.zip"
    assert cli.main(["doctor", "--runs", str(store.root), "--bundle", str(out)]) == 0
    with zipfile.ZipFile(out) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    of_run = {name.removeprefix(f"runs/{folder.name}/") for name in texts if name.startswith("runs/")}
    assert {"config.json", "done.json", "events.jsonl", "machine.json", "log.jsonl", "log.txt", "files.json"} <= of_run
    assert {"doctor.json", "runs.json", "queue.json", "server/server.jsonl"} <= texts.keys()
    assert json.loads(texts["doctor.json"])["versions"]["python"]
    assert json.loads(texts["runs.json"])[0]["state"] == "finished"
    everything = "".join(texts.values())
    assert "secret of Anna" not in everything
    assert "nne's" not in everything
    assert "(named): 99%, (named)" in texts[f"runs/{folder.name}/log.txt"]
    assert str(tmp_path) not in everything
    assert not any(name.endswith((".npz", ".safetensors")) for name in texts)
    assert max(map(len, texts.values())) <= 256 * 2**10


def report(store: RunStore, out: Path, found: dict) -> dict[str, str]:
    fault_report.write(store, found, out)
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@pytest.mark.parametrize("home", ["jürgen", "o'neil\\50%", "root", "a-b"])
def test_where_the_home_of_the_user_is_stands_in_no_file_of_a_report(store, tmp_path, monkeypatch, home):
    monkeypatch.setenv("HOME", str(tmp_path / home))
    folder = recorded(store)
    told = f"{tmp_path / home}/x, {tmp_path / home}: {tmp_path / home}fs"
    (folder / "log.txt").write_text(f"{told}\n{json.dumps(told)}\n")
    logs.note(logs.job_log(folder), "refused", detail=f"said {json.dumps(told)} of {told!r}")
    found = report(store, tmp_path / "report.zip", {"findings": [told]})
    ours = [line for text in found.values() for line in text.splitlines() if "~" in line]
    assert len(ours) == 4
    assert all(line.count("~") == (4 if "said" in line else 2) and "fs" in line for line in ours)
    left = re.sub(r"\S+fs", "", " ".join(found.values()))
    assert not re.search(r"rgen|neil|/root\b|/a-b\b", left)


NAMES = {"kept": "Änne's \U0001f600", "in error": "Patient Smith\x07", "long": "Patient Smith " * 20, "gone": "Smith's"}


@pytest.mark.parametrize("where", NAMES)
def test_what_a_run_was_called_stands_in_no_file_of_a_report(store, tmp_path, where):
    folder, other, name = recorded(store), recorded(store), NAMES[where]
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": name}))
    told = f"run \n{name} said\n{name}: {name!r} and {repr(name)[:80]}"
    (other / "done.json").write_text(json.dumps({"status": "failed", "detail": told}))
    (other / "events.jsonl").write_text(json.dumps({"event": "Failed", "error": told}) + "\n")
    state = str(store.status(folder.name).detail)
    if where == "gone":
        trash.discard(store, folder.name)
    found = report(store, tmp_path / "report.zip", {"findings": [told, state, json.dumps(told)]})
    assert not [text for text in found.values() if "Smith" in text or "nne's" in text]
    assert "(named) said" in found["doctor.json"]
    for name in ("doctor.json", "runs.json", f"runs/{other.name}/done.json"):
        json.loads(found[name])


@pytest.mark.parametrize("name", ["event", "TaskStarted x", "esacl", "ab"])
def test_a_report_stays_one_whatever_a_run_was_called(store, tmp_path, name):
    folder = recorded(store, RunConfig(tasks=2, epochs=3, name=name))
    found = report(store, tmp_path / "report.zip", {})
    assert found[f"runs/{folder.name}/events.jsonl"] == (folder / "events.jsonl").read_text()
    config = json.loads(found[f"runs/{folder.name}/config.json"])
    assert (config["method"], config["name"]) == ("esacl", "(named)")


def test_a_report_comes_of_a_home_that_nobody_knows_a_clock_before_1980_and_strange_names(store, tmp_path, monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    recorded(store)
    logs.note(logs.server_log(store.root), "start")
    older = logs.server_log(store.root).with_name("server.jsonl.1")
    older.write_text("older")
    (older.parent / os.fsdecode(b"server.jsonl\xff")).write_text("nobody's")
    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(0))
    found = report(store, tmp_path / "report.zip", {})
    assert {name for name in found if name.startswith("server")} == {"server/server.jsonl", "server/server.jsonl.1"}


def test_a_report_that_cannot_be_written_is_one_line(store, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        fault_report.write(store, {}, tmp_path / "none" / "report.zip")
    mine = tmp_path / "mine.zip"
    fault_report.write(store, {}, mine)
    fault_report.write(store, {}, mine)
    mine.write_text("my thesis")
    with pytest.raises(InputError, match=r"mine\.zip is there and is no report of a fault; name another file"):
        fault_report.write(store, {}, mine)
    assert mine.read_text() == "my thesis"


def test_a_report_for_which_there_is_no_room_leaves_nothing(store, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("esacl.fault_report.zipfile.ZipFile.writestr", full)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="No space left on device"):
        fault_report.write(store, {}, tmp_path / "out" / "report.zip")
    assert list((tmp_path / "out").iterdir()) == []


# The format


def test_a_new_run_has_the_number_of_its_format(store):
    folder = recorded(store)
    assert json.loads((folder / "config.json").read_text())["format"] == FORMAT
    assert store.config(folder.name) == CONFIG


def test_a_folder_from_before_there_were_numbers_is_read_as_it_was_meant(store):
    folder = recorded(store)
    fields = json.loads((folder / "config.json").read_text())
    del fields["format"], fields["sdp"]["cut"]
    (folder / "config.json").write_text(json.dumps(fields))
    assert store.config(folder.name).sdp.cut == 1.0
    assert store.status(folder.name).state == "finished"
    fields["format"] = FORMAT
    (folder / "config.json").write_text(json.dumps(fields))
    assert store.config(folder.name).sdp.cut == CONFIG.sdp.cut != 1.0


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_config_of_before_without_its_sections_is_read_as_it_was_meant_too(number):
    fields = {"format": number, "benchmark": "split-digits", "method": "derpp" if number == 2 else "esacl"}
    found = RunConfig.from_dict(settings_of(fields, Path("config.json")))
    assert found.curvature.during == 0
    assert found.sdp.revive == (number >= 4)
    assert found.sdp.cut == (1.0 if number < 3 else 0.25 if number == 5 else 0.35 if found.method == "esacl" else 1.0)
    assert found.pruning.flops_exponent == (0.2 if number == 5 else 0)
    assert found.buffer.rehearsal == ("dark" if number == 2 else "plain")


@pytest.mark.parametrize(
    ("settings", "rehearsal"),
    [
        ({"scenario": "class", "buffer.size": 50}, "plain"),
        ({"method": "er"}, "plain"),
        ({"method": "derpp"}, "dark"),
        ({"method": "sparcl"}, "dark"),
        ({"method": "sparcl", "sparcl.base": "co2l"}, "plain"),
    ],
)
def test_a_run_from_before_rehearsal_was_a_setting_rehearses_as_it_did(settings, rehearsal):
    fields = numbered(read_config(None, settings).to_dict()) | {"format": 2}
    del fields["buffer"]["rehearsal"]
    found = RunConfig.from_dict(settings_of(fields, Path("config.json")))
    assert found.buffer.rehearsal == rehearsal


@pytest.mark.parametrize("settings", [{}, {"scenario": "class", "buffer.size": 50}])
def test_a_run_from_before_a_default_came_up_did_without_it(settings):
    fields = numbered(read_config(None, settings).to_dict())
    for key in LATER:
        *section, last = key.split(".")
        del (fields[section[0]] if section else fields)[last]
    found = RunConfig.from_dict(settings_of(fields | {"format": 3}, Path("config.json")))
    assert {key: dotted(found.to_dict())[key] for key in LATER} == LATER
    today = RunConfig.from_dict(settings_of(fields | {"format": FORMAT}, Path("config.json")))
    assert today.sdp.revive == (today.scenario == "task")
    assert today.pruning.flops_exponent == 0  # what names its cut weighs no costs unless it says so


@pytest.mark.parametrize("settings", [{}, {"sdp.form": "progressive"}, {"method": "ewc"}, {"sparsity": 0.98}])
def test_a_run_from_before_the_cut_came_at_a_quarter_was_cut_where_it_was(settings):
    fields = numbered(read_config(None, settings).to_dict()) | {"format": 4}
    del fields["sdp"]["cut"], fields["pruning"]["flops_exponent"]
    found = RunConfig.from_dict(settings_of(fields, Path("config.json")))
    assert (found.sdp.cut, found.pruning.flops_exponent) == (1.0 if settings else 0.35, 0)


@pytest.mark.parametrize(
    ("number", "told"), [(FORMAT + 1, "update EsaCL"), (0, "which is none"), ("2", "which is none"), (True, "none")]
)
def test_a_format_that_is_not_known_is_one_line(store, number, told):
    folder = recorded(store)
    fields = json.loads((folder / "config.json").read_text()) | {"format": number}
    (folder / "config.json").write_text(json.dumps(fields))
    with pytest.raises(RunUnreadable, match=told):
        store.config(folder.name)
    assert store.status(folder.name).state == "unreadable"


def test_the_runs_that_come_with_the_project_are_read():
    store = RunStore(Path(__file__).resolve().parents[2] / "assets")
    assert store.ids()
    for run_id in store.ids():
        assert any(isinstance(event, RunStarted) for event in store.read(run_id).events)
        assert any(isinstance(event, TaskFinished) for event in store.read(run_id).events)
