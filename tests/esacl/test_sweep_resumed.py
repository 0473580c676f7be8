"""A sweep that the app goes on with: the same command, in a process of its own, refused where somebody is at work."""

import json
import os
import signal

import pytest
from sweeping import Command, called, in_second_task, seeds, seeds_of, spec, starts, surroundings, wait_for

from esacl import cli, jobs, locks
from esacl.errors import InputError
from esacl.store import RunStore
from esacl.sweep import record, resuming
from esacl.sweep.book import opened
from esacl.sweep.record import read_sweep
from esacl.sweep.spec import read_spec

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    yield
    for child in jobs._children:
        child.wait(60)


@pytest.fixture
def store(tmp_path, monkeypatch) -> RunStore:
    """Where sweeps that are resumed have runs made of numbers."""
    monkeypatch.setattr(resuming, "MODULE", "small_sweep")
    monkeypatch.setenv("PYTHONPATH", surroundings()["PYTHONPATH"])
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    return RunStore(tmp_path / "runs")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_was_stopped_or_lost_goes_on_and_what_is_finished_is_left_alone(tmp_path, store, monkeypatch, how):
    gate, path = tmp_path / "gate", spec(tmp_path, seeds(1))
    called(tmp_path, path)
    (done,) = store.ids()
    command = Command(tmp_path, spec(tmp_path, seeds(1, 2, 3)), "--workers", 2, SMALL_GATE=str(gate))
    begun = [run_id for run_id in wait_for(lambda: in_second_task(store, 3)) if run_id != done]
    command.process.send_signal(how)
    command.process.communicate()
    folder = store.root / "sweeps" / "some"
    monkeypatch.setenv("SMALL_GATE", str(gate))
    resuming.resume(store, folder)
    assert read_sweep(folder).live, "there is an instant at which it looks dead"
    for again in (lambda: resuming.resume(store, folder), lambda: opened(store, read_spec(path), "x", 1).__enter__()):
        with pytest.raises(InputError, match="sweep some is being worked on by another process; wait for its end"):
            again()
    assert os.getsid(jobs._children[-1].pid) == jobs._children[-1].pid, "it would end with the server's session"
    gate.touch()
    wait_for(lambda: not read_sweep(folder).live)
    assert seeds_of(store) == {1: 1, 2: 1, 3: 1}
    assert starts(store) == (5 if how == signal.SIGINT else 3)  # the runs of a sweep that is killed go on by themselves
    assert all(("going on after" in _log(store, one)) == (how == signal.SIGINT) for one in begun)
    assert (read_sweep(folder).done, read_sweep(folder).workers, resuming.problem(folder)) == (3, 2, "")


def _log(store: RunStore, run_id: str) -> str:
    return (store.folder(run_id) / "log.txt").read_text()


def test_the_command_is_the_one_that_was_given(tmp_path):
    path, data = spec(tmp_path, seeds(1)), tmp_path / "data"
    called(tmp_path, path, "--workers", 3, "--data", data)
    folder = tmp_path / "runs" / "sweeps" / "some"
    given = ["--engine=process", "--workers=3", f"--data={data}"]
    assert resuming._words(folder, record.content_of(folder)) == ["sweep", str(path), *given]
    content = record.content_of(folder) | {"engine": "dask", "asked": {"scheduler": "tcp://a:1", "workers": None}}
    given = ["--engine=dask", "--scheduler=tcp://a:1"]
    assert resuming._words(folder, content) == ["sweep", str(path), *given]


def test_what_the_process_says_at_its_end_is_there_to_be_read_until_a_command_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", surroundings()["PYTHONPATH"])
    store, folder = RunStore(tmp_path / "runs"), _waiting(tmp_path, engine="ray")
    resuming.resume(store, folder)  # by `python -m esacl` itself
    wait_for(lambda: not read_sweep(folder).live)
    assert resuming.problem(folder) == "unknown engine 'ray'; choose from process, dask"
    with opened(store, read_spec(tmp_path / "some.toml"), "process", 1):
        assert resuming.problem(folder) == ""


def _waiting(tmp_path, **changes):
    """The folder of a sweep of which nothing is done yet; `changes`: in its record."""
    with opened(RunStore(tmp_path / "runs"), read_spec(spec(tmp_path, seeds(1))), "process", 1) as book:
        folder = book.folder
    content = json.loads((folder / record.FILE).read_text()) | changes
    (folder / record.FILE).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"file": "some.toml"}, r"sweep\.json names no file; move it away"),
        ({"file": "/nowhere/some.toml"}, r"the file of sweep some is gone: /nowhere/some\.toml; put it back"),
        ({"engine": "a\0b"}, r"sweep some cannot be started \(embedded null byte\); mend"),
        ({"asked": None}, r"does not say how the sweep was started; give its command once more"),
        ({"rows": 3}, r"is no record of a sweep that this EsaCL reads; move it away"),
    ],
)
def test_what_cannot_be_started_is_refused_in_one_line_and_holds_nothing(tmp_path, changes, told):
    folder = _waiting(tmp_path, **changes)
    with pytest.raises(InputError, match=told):
        resuming.resume(RunStore(tmp_path / "runs"), folder)
    assert not locks.is_held(folder / "lock")


def test_what_the_process_before_said_is_gone_once_another_is_started(tmp_path, monkeypatch):
    folder = _waiting(tmp_path)
    (folder / record.LOG).write_text("error: of the process before\n")
    monkeypatch.setattr(resuming.subprocess, "Popen", lambda *_, **__: None)
    monkeypatch.setattr(resuming.jobs, "mind", lambda process: None)
    resuming.resume(RunStore(tmp_path / "runs"), folder)
    assert resuming.problem(folder) == ""


def test_its_output_goes_into_no_file_that_a_link_leads_to(tmp_path):
    folder, theirs = _waiting(tmp_path), tmp_path / "theirs"
    theirs.write_text("theirs")
    (folder / record.LOG).symlink_to(theirs)
    with pytest.raises(InputError, match=r"sweep some cannot be started .*; mend"):
        resuming.resume(RunStore(tmp_path / "runs"), folder)
    assert theirs.read_text() == "theirs"


def test_the_file_of_another_sweep_is_not_begun_in_this_ones_name(tmp_path):
    folder = _waiting(tmp_path, file=str(spec(tmp_path, seeds(2), "other.toml")))
    with pytest.raises(InputError, match=r"names .*other\.toml, the file of another sweep; move it away"):
        resuming.resume(RunStore(tmp_path / "runs"), folder)


def test_who_has_as_many_jobs_as_the_server_allows_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ESACL_USER_BYTES", "0")
    with pytest.raises(InputError, match="this server allows"):
        resuming.resume(RunStore(tmp_path / "runs"), _waiting(tmp_path))


def test_where_jobs_are_counted_a_sweep_goes_on_from_a_terminal_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("ESACL_USER_JOBS", "5")
    with pytest.raises(InputError, match=r"on a terminal only, where .* jobs a person \(ESACL_USER_JOBS\)"):
        resuming.resume(RunStore(tmp_path / "runs"), _waiting(tmp_path))


def test_a_request_to_stop_that_came_before_the_process_is_heard(tmp_path):
    folder = _waiting(tmp_path)
    held = locks.take(folder / "lock")
    record.cancel(folder)
    with opened(RunStore(tmp_path / "runs"), read_spec(tmp_path / "some.toml"), "process", 1, held=held) as book:
        assert book.cancelled()
    assert not locks.is_held(folder / "lock")


def test_the_lock_of_something_else_is_not_taken_for_the_sweeps(tmp_path, capsys):
    _waiting(tmp_path)
    with (tmp_path / "other").open("w") as other:
        words = ["sweep", str(tmp_path / "some.toml"), "--runs", str(tmp_path / "runs")]
        assert cli.main([*words, "--held-lock", str(other.fileno())]) == 2
    assert "is not the lock of" in capsys.readouterr().err
