from dataclasses import replace

import pytest
from synthetic_run import synthetic_config, synthetic_events

from app import results
from app.reading import Entry
from esacl import outcomes
from esacl.events import StatisticsRefreshed
from esacl.records import RunRecord, Status
from esacl.summary import summarise


@pytest.fixture
def made():
    """A record of a synthetic run with the fields given."""

    def make(**fields):
        config = synthetic_config(**fields)
        events = tuple(synthetic_events(config))
        return RunRecord("a-run", config, Status("finished"), events, measured=())

    return make


def test_the_app_and_the_terminal_give_the_cost_of_the_cut_the_same_sign(made):
    summary = summarise(made())
    cost = results.cost_of_cuts(summary)
    assert cost == pytest.approx(outcomes.row(summary)["pruning_drop"])
    assert cost > 0
    assert results.cost_of_cuts(summarise(made(method="finetune", sparsity=0.0))) is None


def test_refreshed_statistics_are_told_of_with_what_they_did(made):
    run = made()
    assert results.refreshed(run, 1) == ""
    told = StatisticsRefreshed(task=1, examples=1200, accuracy_before=0.5, accuracy=0.75)
    with_it = replace(run, events=(*run.events, told))
    assert results.refreshed(with_it, 0) == ""
    assert "1\u00a0200 images" in results.refreshed(with_it, 1)
    assert "50.0\u00a0% by the cut alone, 75.0\u00a0% with them" in results.refreshed(with_it, 1)


def test_guessing_is_one_of_the_classes_that_compete(made):
    assert results.chance(made()) == 1 / 2
    assert results.chance(made(scenario="class")) == 1 / 6
    assert results.chance(made(scenario="class"), task_known=True) == 1 / 2


def test_a_long_name_is_cut_with_a_sign_that_it_was():
    names = ("n" * 60, "n" * 40)
    long, short = (Entry("a-run", False, synthetic_config(name=name), Status("finished")) for name in names)
    assert results.named(long) == "n" * 39 + "…"
    assert results.named(short) == "n" * 40
