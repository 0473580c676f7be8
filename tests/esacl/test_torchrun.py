"""`torchrun -m esacl`: the same result as by one process, whatever becomes of one of them, and nobody left behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from faults import check_the_same
from tiny_runs import TINY, tiny

from esacl import cli, leader, machine
from esacl.ranks import Ranks, count_of, of_torchrun
from esacl.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240.0
TOLD = {
    "TORCHELASTIC_RUN_ID": "x", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
}  # fmt: skip


def test_only_torchrun_makes_several_processes_of_a_run():
    assert of_torchrun(TOLD) == Ranks(rank=1, local_rank=1, count=2, local_count=2)
    assert of_torchrun({key: value for key, value in TOLD.items() if key != "TORCHELASTIC_RUN_ID"}) is None
    assert of_torchrun(TOLD | {"WORLD_SIZE": "1"}) is None
    assert of_torchrun(TOLD | {"TORCHELASTIC_RESTART_COUNT": "2"}).restarts == 2


def test_the_number_of_processes_is_among_the_facts_of_a_run(monkeypatch):
    assert "processes" not in machine.facts()["hardware"]
    for name, value in TOLD.items():
        monkeypatch.setenv(name, value)
    assert count_of(machine.facts()["hardware"]) == 2
    assert [count_of(odd) for odd in (None, {}, {"processes": "x"}, {"processes": True}, {"processes": 0})] == [1] * 5


def test_a_run_that_torchrun_starts_again_is_refused(monkeypatch, capsys, tmp_path):
    for name, value in (TOLD | {"TORCHELASTIC_RESTART_COUNT": "1"}).items():
        monkeypatch.setenv(name, value)
    assert cli._main(["run", "--runs", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err == (
        "error: torchrun would start the whole run again; leave --max-restarts at 0, and resume the run\n"
    )


# -- the real thing


def options(settings: dict[str, Any]) -> list[str]:
    return [f"--set={key}={json.dumps(value)}" for key, value in (TINY | settings).items()]


@contextlib.contextmanager
def started(*words: Any) -> Iterator[subprocess.Popen[str]]:
    """Two processes of `esacl` by torchrun, which outlive no test."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "esacl", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
    try:
        yield process
    finally:
        ours = [process.pid, *(child.pid for child in children(process))]
        process.kill()
        for pid in ours:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of the run, by rank."""
    try:
        found = psutil.Process(process.pid).children()
        return sorted((c for c in found if "RANK" in c.environ()), key=lambda c: int(c.environ()["RANK"]))
    except psutil.Error:
        return []


def by_two(*words: Any) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with started(*words) as process:
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err


def ends(process: subprocess.Popen[str], workers: list[psutil.Process]) -> str:
    """What it said on stderr, once it and its workers are gone."""
    _, err = process.communicate(timeout=PATIENCE)
    assert psutil.wait_procs(workers, timeout=10)[1] == [], "a process is left behind"
    return err


def in_a_task(store: RunStore) -> str:
    """The id of the one run, once it has a checkpoint."""
    end = time.monotonic() + PATIENCE
    while not list(store.root.glob("*/checkpoints/*.safetensors")):
        assert time.monotonic() < end, "it does not begin"
        time.sleep(0.05)
    return store.ids()[0]


@pytest.mark.processes
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "finetune", "batch_size": 7},
        {"sdp.form": "admm"},
        {"sdp.form": "progressive", "network": "small-cnn"},
        {"method": "derpp", "scenario": "class"},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)
def test_it_comes_to_what_one_process_comes_to(settings, tmp_path, capsys):
    store = RunStore(tmp_path / "runs")
    code, out, err = by_two("run", "--runs", store.root, "--json", *options(settings))
    assert code == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert len(out.splitlines()) == 1, "one process prints"
    assert summary["hardware"]["processes"] == 2
    assert cli.main(["run", "--runs", str(store.root), "--json", *options(settings)]) == 0
    alone = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "processes" not in alone["hardware"]
    assert summary["accuracy_matrix"] == alone["accuracy_matrix"]
    measured = ("seconds", "training_seconds", "peak_bytes")
    bills = [{k: v for k, v in s["cost"].items() if k not in measured} for s in (summary, alone)]
    assert bills[0] == bills[1]
    states = [store.checkpoint(s["run"]) for s in (summary, alone)]
    for name, wanted in states[1].tensors.items():
        atol = 1e-5 * np.abs(wanted).max(initial=0)
        np.testing.assert_allclose(states[0].tensors[name], wanted, rtol=0, atol=atol, err_msg=name)
    assert cli.main(["show", "--runs", str(store.root), summary["run"]]) == 0
    assert "by 2 processes together\n" in capsys.readouterr().out


@pytest.mark.processes
def test_one_that_is_killed_fails_the_run_which_goes_on_as_if_nothing_had_been(tmp_path, capsys):
    store = RunStore(tmp_path / "runs")
    words = ["--runs", store.root, "--json", *options({"epochs": 25})]
    code, out, err = by_two("run", *words)
    assert code == 0, err
    whole = json.loads(out)["run"]
    store = RunStore(tmp_path / "killed")
    words[1] = store.root
    with started("run", *words) as process:
        killed = in_a_task(store)
        workers = children(process)
        workers[1].kill()
        err = ends(process, workers)
        assert process.returncode == 1
    reason = "process 1 of 2 was ended from outside; resume the run"
    assert (store.status(killed).state, store.status(killed).detail) == ("failed", reason)
    assert err.count(f"error: {reason}") == err.count("error: ") == 1
    code, out, err = by_two("resume", killed, *words[:3])
    assert code == 0, err
    assert "bit for bit" in err
    (tmp_path / "runs" / whole).rename(store.root / whole)
    check_the_same(store, whole, killed)
    assert by_two("resume", killed, *words[:3])[:2] == (0, out), "a finished run prints its result, and nobody waits"


ELSEWHERE = "import platform, runpy, sys; platform.node = lambda: 'elsewhere'; sys.argv[0] = 'esacl'; "


@pytest.mark.processes
def test_one_of_another_machine_that_is_killed_is_named(tmp_path):
    store = RunStore(tmp_path / "runs")
    words = ["run", "--runs", str(store.root), *options({"epochs": 1000, "method": "finetune"})]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    about = {**os.environ, **TOLD, **meeting, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "PYTHONPATH": str(ROOT)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    start = ELSEWHERE + "runpy.run_module('esacl', run_name='__main__')"
    here = subprocess.Popen([sys.executable, "-m", "esacl", *words], env=about | {"RANK": "0"}, **quiet)
    there = subprocess.Popen([sys.executable, "-c", start, *words], env=about | {"RANK": "1"}, **quiet)
    try:
        run_id = in_a_task(store)
        there.kill()
        _, err = here.communicate(timeout=PATIENCE)
    finally:
        for process in (here, there):
            process.kill()
            process.communicate()
    reason = "process 1 of 2, on another machine, gives no sign of life; look at that one, then resume the run"
    assert here.returncode == 1
    assert (store.status(run_id).state, store.status(run_id).detail) == ("failed", reason)
    assert err.count(f"error: {reason}") == err.count("error: ") == 1, err


@pytest.mark.processes
@pytest.mark.parametrize("how", ["flag", "ctrl-c", "terminate"])
def test_a_stop_reaches_all_and_one_process_can_go_on(how, tmp_path, capsys):
    store = RunStore(tmp_path / "runs")
    with started("run", "--runs", store.root, *options({"epochs": 1000, "method": "finetune"})) as process:
        run_id = in_a_task(store)
        workers = children(process)
        assert len(workers) == 2
        if how == "flag":
            store.cancel(run_id)
        else:
            process.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGTERM)
        err = ends(process, workers)
        assert process.returncode == 1
    assert store.status(run_id).state == "cancelled", err
    assert not (store.folder(run_id) / "CANCEL").exists()
    assert store.checkpoint(run_id) is not None
    if how == "flag":
        _shortened(store, run_id)
        assert cli.main(["resume", "--runs", str(store.root), run_id]) == 0
        assert "a run by 2 processes has become one by 1 process: the rest may differ by" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.processes
def test_a_run_whose_other_process_stands_still_can_be_cancelled(tmp_path):
    store = RunStore(tmp_path / "frozen")
    words = ("run", "--runs", store.root, *options({"epochs": 1000, "method": "finetune"}))
    with started(*words) as process:
        run_id = in_a_task(store)
        workers = children(process)
        workers[1].suspend()
        time.sleep(1.0)
        store.cancel(run_id)
        end = time.monotonic() + 3 * leader.STOP_GRACE
        while store.status(run_id).live and time.monotonic() < end:
            time.sleep(0.2)
        found = store.status(run_id)
        assert (found.state, "did not answer" in found.detail) == ("cancelled", True)
        assert not (store.folder(run_id) / "CANCEL").exists()
        workers[1].resume()
        assert "in which another process did not answer" in ends(process, workers)


def _shortened(store: RunStore, run_id: str) -> None:
    """Only the epochs that are done, and one more, in either task."""
    state = store.checkpoint(run_id)
    path = store.folder(run_id) / "config.json"
    config = json.loads(path.read_text())
    assert state.task == 0
    path.write_text(json.dumps(config | {"epochs": state.epoch + 1}))


@pytest.mark.processes
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--benchmark", "nothing"], "error: unknown benchmark 'nothing'; choose from "),
        (["run", "--nothing"], "error: unknown '--nothing'; "),
        (["run", "--device", "cuda:0"], "error: device 'cuda:0' is one and there are 2 processes; choose auto, "),
        (["run", "--benchmark", "split-mnist"], "error: MNIST "),
        (["list"], "error: only run and resume are for several processes; start this one without torchrun"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(words, said, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    data = tmp_path / "data"
    data.mkdir()
    code, out, err = by_two(*words, "--runs", tmp_path / "runs", "--data", data)
    assert (code, out) == (1, ""), "torchrun itself ends with 1 whatever its processes end with"
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    assert lines[0].startswith(said)
    assert "exitcode  : 2 " in err
    assert not (tmp_path / "runs").exists()


def test_tiny_runs_have_an_uneven_last_batch():
    config = tiny({"batch_size": 7})
    assert config.train_limit % config.batch_size
