"""A mean from a few instances: the three ways of choosing."""

import numpy as np
import pandas as pd
import pytest
import torch

from app import choosing
from app.experiments import hard_examples
from app.figures.choosing import facts, over_share
from esacl import selection


@pytest.fixture
def scores() -> np.ndarray:
    return np.random.default_rng(1).lognormal(-3, 1.6, 200)


@pytest.mark.parametrize("kept", [3, 50, 150, 200])
def test_the_probabilities_are_the_librarys(scores, kept):
    theirs = selection.inclusion_probabilities(torch.tensor(scores), kept).numpy()
    assert np.allclose(choosing.inclusion(scores, kept), theirs)
    assert choosing.inclusion(scores, kept).sum() == pytest.approx(kept)


def test_the_uniform_share_is_the_librarys():
    assert choosing.UNIFORM_SHARE == selection.UNIFORM_SHARE


def test_the_highest_exaggerate_until_they_are_all(scores):
    found = choosing.estimates(scores)
    place = int(np.flatnonzero(found.kept == 50)[0])
    assert found.highest[place] == pytest.approx(np.sort(scores)[-50:].mean() / scores.mean())
    assert (np.diff(found.highest) < 0).all()
    assert found.highest[-1] == pytest.approx(1)
    assert [found.random_sd[-1], found.weighted_sd[-1]] == pytest.approx([0, 0], abs=1e-12)


def test_the_scatter_of_a_random_choice_is_that_of_draws(scores):
    found, rng = choosing.estimates(scores), np.random.default_rng(0)
    place = int(np.flatnonzero(found.kept == 50)[0])
    draws = [rng.choice(scores, 50, replace=False).mean() / scores.mean() for _ in range(4000)]
    assert found.random_sd[place] == pytest.approx(np.std(draws), rel=0.05)


def test_weighted_draws_are_right_on_average_and_scatter_less(scores):
    found = choosing.estimates(scores)
    error = found.weighted_sd / np.sqrt(choosing.DRAWS)
    assert (np.abs(found.weighted - 1) < 4 * error + 1e-9).all()
    assert (found.weighted_sd[:-1] < found.random_sd[:-1]).all()


def test_each_draw_takes_as_many_as_were_asked_for(scores, monkeypatch):
    monkeypatch.setattr(choosing, "inclusion", lambda s, k: np.full(len(s), k / len(s)))
    drawn = choosing._weighted(np.ones(200), 30, np.random.default_rng(0))
    assert np.allclose(drawn, 1.0)


@pytest.mark.parametrize("given", [np.zeros(50), np.ones(3), np.zeros(0)])
def test_nothing_to_estimate_is_none(given):
    assert choosing.estimates(given) is None


def test_the_figure_and_its_facts(scores):
    found = choosing.estimates(scores)
    drawing = over_share(found, 200, 7)
    assert f"from {found.kept[7]} instances" in drawing["alt"]
    assert all(len(fact["values"]) == len(found.kept) for fact in facts(found, 200))


def pool() -> pd.DataFrame:
    score = np.arange(10.0)
    return pd.DataFrame({"score": score, "chosen": score % 3 == 0, "times": 1, "weight": 2.0, "thumbnail": -1})


def test_the_three_ways_of_choosing():
    assert hard_examples.choice(pool(), "highest", 3, 0)["score"].tolist() == [9, 8, 7]
    assert hard_examples.choice(pool(), "IDS", 4, 0)["score"].tolist() == [9, 6, 3, 0]
    random = hard_examples.choice(pool(), "random", 4, 0)
    assert len(random) == 4
    assert random["score"].is_monotonic_decreasing
    assert random["score"].tolist() == hard_examples.choice(pool(), "random", 4, 0)["score"].tolist()


def estimates(top: float, sd: float = 0.5) -> pd.DataFrame:
    values = np.array([8.0, 8.4, 9.0, top])
    names, draws = ["whole pool", "IDS", "random", "top-k"], [1, 5, 5, 1]
    return pd.DataFrame(
        {"name": names, "draws": draws, "lambda_max": values, "sd": [0, sd, 2.0, 0], "bias": values / 8 - 1}
    )


@pytest.mark.parametrize(("top", "came"), [(24.0, "large"), (8.5, "right"), (4.0, "small")])
def test_the_answer_follows_the_estimate(top, came):
    finding = hard_examples.finding(estimates(top))
    assert finding.true == {came}
    assert ("in this run they do not" in finding.against) == (came != "large")


def test_the_answer_names_bias_scatter_and_draws():
    said = hard_examples.finding(estimates(24.0)).said
    assert "**24**: 3 times the truth" in said[0]
    assert "8.4 ± 0.5 over 5 draws (bias +5\u00a0%)" in said[1]
    assert "9 ± 2 over 5 draws (bias +12\u00a0%)" in said[2]
    assert "should scatter less" in hard_examples.finding(estimates(24.0, sd=2.5)).against


def test_a_run_without_that_estimate_cannot_tell():
    assert hard_examples.finding(estimates(24.0).head(2)).true == frozenset()


def test_another_score_is_named_where_it_was_recorded():
    more = {"name": "EL2N", "draws": 1, "lambda_max": 16.0, "sd": 0.0, "bias": 1.0}
    said = hard_examples.finding(pd.concat([estimates(24.0), pd.DataFrame([more])])).said
    assert said[1] == "The highest EL2N, another score for what is hard, unweighted too, say 16 (bias +100\u00a0%)."
