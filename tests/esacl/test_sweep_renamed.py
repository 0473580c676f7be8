"""A sweep whose file got another name, or shares rows with another: what is finished is never computed again."""

import signal

import pytest
from sweeping import Command, called, in_second_task, seeds, seeds_of, spec, starts, wait_for

from esacl.store import RunStore
from esacl.sweep.record import read_sweep, sweeps_of

pytestmark = pytest.mark.processes
TOLD = "of its runs are there already, of another sweep or another name"


def test_a_file_of_another_name_finds_its_runs(tmp_path):
    path = spec(tmp_path, seeds(1, 2))
    _, first, _ = called(tmp_path, path)
    store = RunStore(tmp_path / "runs")
    code, again, err = called(tmp_path, path.rename(tmp_path / "renamed.toml"))
    assert (code, again["sweep"]) == (0, "renamed")
    assert again["runs"] == first["runs"]
    assert (starts(store), len(store.ids())) == (2, 2)
    assert f"2 {TOLD}" in err
    assert TOLD not in called(tmp_path, tmp_path / "renamed.toml")[2], "it knows them by now"


def test_of_a_renamed_file_what_was_begun_goes_on(tmp_path):
    gate, path = tmp_path / "gate", spec(tmp_path, seeds(1, 2))
    command = Command(tmp_path, path, "--workers", 1, SMALL_GATE=str(gate))
    (begun,) = wait_for(lambda: in_second_task(command.store, 1))
    command.process.send_signal(signal.SIGINT)
    assert command.end()[0] == 130
    gate.touch()
    assert called(tmp_path, path.rename(tmp_path / "renamed.toml"))[0] == 0
    assert seeds_of(command.store) == {1: 1, 2: 1}
    assert begun in command.store.ids()


def test_what_a_renamed_sweep_has_taken_over_is_its_own(tmp_path):
    gate, path = tmp_path / "gate", spec(tmp_path, seeds(1))
    command = Command(tmp_path, path, "--workers", 1, SMALL_GATE=str(gate))
    (begun,) = wait_for(lambda: in_second_task(command.store, 1))
    command.process.send_signal(signal.SIGINT)
    assert command.end()[0] == 130
    renamed = Command(tmp_path, path.rename(tmp_path / "renamed.toml"), "--workers", 1, SMALL_GATE=str(gate))
    wait_for(lambda: (command.store.root / "sweeps" / "renamed" / "sweep.json").exists())
    renamed.process.send_signal(signal.SIGINT)
    assert renamed.end()[0] == 130
    gate.touch()
    code, told, _ = called(tmp_path, spec(tmp_path, seeds(1), "third.toml"))
    assert code == 0
    assert begun not in {row["run"] for row in told["runs"]}


def test_of_another_sweep_only_what_is_finished_is_taken(tmp_path):
    gate, path = tmp_path / "gate", spec(tmp_path, seeds(1, 2))
    assert called(tmp_path, spec(tmp_path, seeds(1), "one.toml"))[0] == 0
    command = Command(tmp_path, path, "--workers", 1, SMALL_GATE=str(gate))
    (begun,) = wait_for(lambda: [i for i in in_second_task(command.store, 2) if command.store.config(i).seed == 2])
    command.process.send_signal(signal.SIGINT)
    assert f"1 {TOLD}" in command.end()[2]
    gate.touch()
    code, told, err = called(tmp_path, spec(tmp_path, seeds(1, 2, 3), "more.toml"))
    assert code == 0
    assert f"1 {TOLD}" in err
    assert begun not in {row["run"] for row in told["runs"]}, "that one is the other sweep's to go on with"
    assert called(tmp_path, path)[0] == 0
    assert seeds_of(command.store) == {1: 1, 2: 2, 3: 1}


def test_a_run_that_no_sweep_made_and_a_damaged_record_are_let_be(tmp_path):
    path = spec(tmp_path, seeds(1))
    assert called(tmp_path, path)[0] == 0
    store = RunStore(tmp_path / "runs")
    (folder,) = sweeps_of(store.root)
    (folder / "sweep.json").write_text("{")
    code, told, err = called(tmp_path, spec(tmp_path, seeds(1), "other.toml"))
    assert (code, told["done"]) == (0, 1)
    assert TOLD not in err
    assert seeds_of(store) == {1: 2}
    assert read_sweep(store.root / "sweeps" / "other").done == 1
