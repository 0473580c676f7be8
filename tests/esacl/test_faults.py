"""Runs of every method, killed at random moments and resumed to the end: as if nothing had happened."""

import random

import kills
import pytest
from faults import check_the_same, killed_and_resumed, undisturbed
from tiny_runs import label, tiny

from esacl.store import RunStore

pytestmark = pytest.mark.processes

SOME = [
    {"sdp.cut": 0.4, "epochs": 3},
    *(
        pytest.param(settings, marks=pytest.mark.slow)
        for settings in (
            {"method": "derpp"},
            {"method": "packnet"},
            {"method": "sparcl", "sparcl.base": "co2l", "scenario": "class"},
        )
    ),
]


def disturbed(tmp_path, settings: dict, kills: int, seed: int) -> int:
    store, config = RunStore(tmp_path / "runs"), tiny(settings)
    whole = undisturbed(store, config)
    killed = killed_and_resumed(store, config, whole, kills, random.Random(seed))
    check_the_same(store, whole, killed.run_id)
    return killed.kills


@pytest.mark.parametrize("settings", SOME, ids=label)
def test_a_run_that_is_killed_and_resumed_ends_as_if_nothing_had_happened(settings, tmp_path):
    assert disturbed(tmp_path, settings, 1, seed=7) == 1


@pytest.mark.slow
def test_fifty_kills_over_runs_of_every_method(capsys):
    assert kills.main(["--kills", "50"]) == 0, capsys.readouterr().out


def test_a_run_that_does_not_end_the_same_is_told(monkeypatch, capsys):
    monkeypatch.setattr(kills, "VARIANTS", [{}])

    def apart(store, one, other):
        assert one == other, "they differ"

    monkeypatch.setattr(kills, "check_the_same", apart)
    assert kills.main(["--kills", "1"]) == 1
    told = capsys.readouterr().out
    assert "0 resumed to the very same end, 1 not" in told
    assert "they differ" in told
