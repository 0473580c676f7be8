"""Two networks cut at the same level: which falls first, how far each cut goes, where the loss rises."""

import numpy as np
import pandas as pd
import pytest

from app.experiments import two_networks
from app.experiments.answering import found, verdict
from app.figures import cut_pair
from app.figures.cut_pair import Cut
from esacl.config import RunConfig

LEVELS = np.array([0.0, 0.5, 0.9, 0.95, 0.98])
WAY = (np.array([-0.5, 0.0, 0.5, 0.75, 1.0, 1.5]), np.array([0.1, 0.1, 0.1, 0.4, 0.5, 0.9]))


def cut(accuracy, name="one", method="esacl", way=WAY) -> Cut:
    columns = {"accuracy": accuracy, "rise": 0.1, "displacement_norm": LEVELS * 4, "removed_share": LEVELS / 2}
    return Cut(name, method, pd.DataFrame({"level": LEVELS, **columns}), way)


SURVIVES = cut([0.98, 0.98, 0.98, 0.97, 0.70])
FALLS = cut([0.98, 0.97, 0.85, 0.70, 0.60], "*two*", "ewc")
NEVER = cut([0.98] * 5, "never", "ewc", way=None)


def test_a_fall_is_the_first_level_at_which_so_much_is_lost():
    assert SURVIVES.falls(0.05) == 0.98
    assert FALLS.falls(0.05) == 0.9
    assert NEVER.falls(0.05) is None
    assert cut([0.98, 0.93, 0.98, 0.98, 0.98]).falls(0.05) == 0.5


def test_half_of_the_rise_is_placed_on_the_way():
    assert SURVIVES.half_way == 0.75
    assert NEVER.half_way is None
    assert cut([0.9] * 5, way=(WAY[0], np.full(6, 0.1))).half_way is None


@pytest.mark.parametrize(
    ("pair", "came"),
    [
        ((SURVIVES, FALLS), "theirs"),
        ((FALLS, SURVIVES), "mine"),
        ((FALLS, NEVER), "mine"),
        ((NEVER, SURVIVES), "theirs"),
        ((NEVER, NEVER), "alike"),
        ((FALLS, FALLS), "alike"),
    ],
)
def test_which_falls_first(pair, came):
    assert two_networks.finding(pair, False, False).true == {came}


def test_the_answer_names_the_numbers_and_keeps_names_as_text():
    finding = two_networks.finding((SURVIVES, FALLS), True, False)
    said = " ".join(finding.said)
    assert "**one** has lost 5 points first at **98.0\u00a0%** removed: 98.0\u00a0% dense, 70.0\u00a0% there." in said
    assert "At 90.0\u00a0% removed: the cut of one moves the weights by |d| = 3.6 and takes 45.0\u00a0% of |θ|²" in said
    assert r"\*two\*" in said
    assert "half of the rise of one has come after 75\u00a0% of the way" in said
    assert finding.against == ""


def test_what_contradicts_the_theory_is_said():
    assert "it does not" in two_networks.finding((FALLS, SURVIVES), True, False).against
    assert "it does not" in two_networks.finding((SURVIVES, FALLS), False, True).against
    assert "neither falls" in two_networks.finding((NEVER, NEVER), True, False).against
    assert two_networks.finding((FALLS, SURVIVES), True, True).against == ""


def test_that_the_order_turns_deeper_is_said():
    recovers = cut([0.98, 0.98, 0.98, 0.97, 0.55])
    turned = two_networks.finding((recovers, FALLS), True, False).said
    assert "Deeper the order turns: at 98.0\u00a0% **one** is at 55.0\u00a0% and" in " ".join(turned)
    assert not any("order turns" in said for said in two_networks.finding((SURVIVES, FALLS), True, False).said)
    assert not any("order turns" in said for said in two_networks.finding((FALLS, FALLS), True, False).said)
    chance = cut([0.98, 0.98, 0.98, 0.97, 0.599])  # a tenth of a point below: nothing that one would call so
    assert not any("order turns" in said for said in two_networks.finding((chance, FALLS), True, False).said)


def test_what_was_not_sliced_is_said():
    assert "No slice along its own cut was recorded for never." in two_networks.finding((FALLS, NEVER), 0, 1).said


def test_the_settings_by_which_two_runs_differ():
    mine = RunConfig(sparsity=0.9)
    assert two_networks.differences(mine, mine) == []
    theirs = RunConfig(sparsity=0.95, seed=3, pruning={"saliency": "magnitude"})
    cut = ["the moment of the cut", "how much a weight's cost counts"]  # that of mine is early, by default
    assert two_networks.differences(mine, theirs) == ["the saliency", *cut, "the sparsity", "the seed"]


def test_only_in_its_first_task_is_an_ewc_network_one_of_plain_sgd():
    assert "is one of plain SGD: it has nothing" in two_networks.plain_sgd(0)
    assert "its network of task 1" in two_networks.plain_sgd(4)


def test_two_runs_of_one_method_are_told_apart():
    looks = cut_pair.looks((SURVIVES, cut([0.9] * 5)))
    assert looks[0] != looks[1]
    assert len({look for look, *_ in looks}) == 2


def test_the_figures():
    pair = (SURVIVES, FALLS)
    drawing = cut_pair.accuracies(pair, 2, 0.05)
    assert "at 90.0\u00a0%: one 98.0\u00a0%; *two* 85.0\u00a0%" in drawing["alt"]
    hollow = [mark for mark in drawing["marks"] if "open" in str(mark["at"].get("class"))]
    assert len(hollow) == 2
    assert len([m for m in cut_pair.accuracies((NEVER, NEVER), 2, 0.05)["marks"] if "open" in m["at"]["class"]]) == 0
    assert "one 3.6" in cut_pair.lengths(pair, 2)["alt"]
    assert "one 0.1 → 0.5" in cut_pair.ways(pair)["alt"]
    assert cut_pair.ways((NEVER, NEVER)) is None
    assert [len(fact["values"]) for fact in cut_pair.facts(pair)] == [5, 5]


def test_the_verdict_on_a_prediction():
    options = {"a": "the first", "b": "the second", "c": "neither"}
    assert verdict("a", options, found("a", [])) == "It came out as you predicted."
    assert verdict("a", options, found(("a", "b"), [])) == "It came out as you predicted."
    assert verdict("c", options, found(("a", "b"), [])) == "It came out otherwise: the first; or: the second"
    assert verdict("a", options, found((), [])) == "These data cannot tell."
