"""What a run ran on: every machine that worked on it is kept, and a resumed run is as exact as all of them allow."""

import pytest

from esacl import __version__, machine
from esacl.events import RunStarted
from esacl.resuming import exactness

EXACT = "on the cpu every event and every weight will be that of an undisturbed run, bit for bit"


def stretch(cpu: str = "first", **more) -> dict:
    return {"versions": {"torch": "2.13.0", "numpy": "2.0"}, "hardware": {"cpu": cpu, "cores": 2, **more}}


@pytest.fixture
def here(monkeypatch):
    """Says what this machine is."""
    return lambda facts: monkeypatch.setattr(machine, "facts", lambda: facts)


def started(device: str) -> RunStarted:
    return RunStarted(tasks=1, classes=2, network="mlp", parameters=1, prunable=1, device=device, device_name="it")


def test_a_run_that_comes_back_to_its_first_machine_is_not_called_exact(here):
    there_and_back = stretch()
    for name in ("second", "first"):
        here(stretch(name))
        there_and_back = machine.facts_after(there_and_back)
    assert there_and_back["earlier"] == [stretch("second")]
    said = exactness(there_and_back, started("cpu"), "cpu")
    assert said.startswith("the processor second has become first: the rest may differ by rounding from that of an ")


def test_the_same_machine_is_kept_once_and_is_exact(here):
    here(stretch())
    assert machine.facts_after(stretch()) == stretch()
    assert exactness(stretch(), started("cpu"), "cpu") == EXACT
    assert exactness({}, None, "cpu") == EXACT


def test_another_gpu_is_named_and_on_the_cpu_it_does_not_matter(here):
    here(stretch(gpus=["NVIDIA H100"]))
    before = stretch(gpus=["NVIDIA A100"])
    assert exactness(before, started("cuda:0"), "cuda:0").startswith("the GPU NVIDIA A100 has become NVIDIA H100: ")
    assert exactness(before, started("cpu"), "cpu") == EXACT


def test_processors_of_one_name_are_told_apart_by_what_they_can_do(here):
    here(stretch(instructions="0123abcd"))
    assert exactness(stretch(instructions="0123abcd"), None, "cpu") == EXACT
    assert exactness(stretch(), None, "cpu") == EXACT  # a run of before, which did not tell
    said = exactness(stretch(instructions="89efabcd"), None, "cpu")
    assert said.startswith("the processor first is another one of that name, which computes otherwise: the rest may ")


def test_a_run_that_another_version_began_is_not_called_exact(here):
    here(stretch())
    before = stretch()
    before["versions"] |= {"esacl": "0.1.0"}
    said = exactness(before, started("cpu"), "cpu")
    assert said == f"EsaCL 0.1.0 began it and {__version__} goes on: the rest may be computed otherwise"
    before["versions"] |= {"esacl": __version__}
    assert exactness(before, started("cpu"), "cpu") == EXACT


@pytest.mark.parametrize("damaged", [
    {"versions": [], "hardware": 3},
    {"earlier": "no list"},
    {"earlier": [3, None, {"hardware": {"gpus": 7, "cpu": None, "processes": "x"}}]},
])
def test_damage_says_nothing(damaged, here):
    here(stretch())
    assert exactness(damaged, started("cuda:0"), "cuda:0").startswith("on cuda:0 the rest is exact")
    machine.facts_after(damaged)


def test_a_run_that_other_code_of_this_version_began_is_not_called_exact(here):
    here({**stretch(), "code": "89abcdef"})
    changed = f"the code of EsaCL {__version__} has changed since: the rest may be computed otherwise"
    assert exactness({**stretch(), "code": "0123abcd"}, started("cpu"), "cpu") == changed
    assert exactness(stretch(), started("cpu"), "cpu") == changed  # of before code was told
    assert exactness({**stretch(), "code": "89abcdef"}, started("cpu"), "cpu") == EXACT
    here(stretch())  # installed without sources: nobody can say
    assert exactness({**stretch(), "code": "0123abcd"}, started("cpu"), "cpu") == EXACT
