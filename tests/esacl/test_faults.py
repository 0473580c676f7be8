"""Runs of every method, killed at random moments and resumed to the end: as if nothing had happened."""

import random

import pytest
from faults import check_the_same, killed_and_resumed, undisturbed
from tiny_runs import STATEFUL, distinct, label, tiny

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
ALL = distinct(STATEFUL)
KILLS = 50


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
def test_fifty_kills_over_runs_of_every_method(tmp_path):
    kills, seed = 0, 0
    while kills < KILLS or seed < len(ALL):
        for _ in range(3):  # a run that was over before it could be killed is tried again
            seed += 1
            found = disturbed(tmp_path / str(seed), ALL[(seed - 1) % len(ALL)], 1, seed)
            kills += found
            print(kills, ALL[(seed - 1) % len(ALL)], flush=True)
            if found:
                break
    print(f"{kills} kills over {seed} runs of {len(ALL)} variants, all of them resumed to the very same end")
