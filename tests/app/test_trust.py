"""Which estimate of the rise may be trusted: counted level by level."""

import numpy as np
import pandas as pd
import pytest

from app import trust
from app.experiments import bounds
from app.figures import rises

RISE = np.array([0.0, 0.1, 0.2, 0.4])


def curve(**columns) -> pd.DataFrame:
    given = {
        "level": [0.0, 0.5, 0.8, 0.9],
        "displacement_norm": [0.0, 1.0, 2.0, 3.0],
        "rise": RISE,
        "rise_of_chosen": RISE,
        "lambda_bound": RISE * 100,
        "taylor": RISE * 0.5,
        "curvature_term": RISE * 0.25,
        "path_integral": RISE * [1, 0.99, 1.02, 1.0],
    }
    return pd.DataFrame({**given, **columns})


def test_a_bound_is_never_below_and_an_estimate_is_told_by_its_ratio():
    found = trust.records(curve())
    assert found["lambda_bound"].bounds
    assert found["lambda_bound"].median == pytest.approx(100)
    assert (found["taylor"].above, found["taylor"].levels) == (0, 3)
    assert found["path_integral"].off == pytest.approx(0.02)
    assert "output_bound" not in found


def test_one_level_below_is_no_bound():
    found = trust.records(curve(lambda_bound=[0.0, 10.0, 0.1, 40.0]))
    assert (found["lambda_bound"].above, found["lambda_bound"].bounds) == (2, False)


def test_the_truth_is_over_the_images_of_the_estimates():
    found = trust.records(curve(rise=RISE * 10))
    assert found["path_integral"].median == pytest.approx(1.0)
    assert trust.records(curve().drop(columns=trust.TRUTH)) == {}


def test_one_percent_short_is_short():
    assert not trust.records(curve(path_integral=RISE * 0.995))["path_integral"].bounds


def test_what_was_not_measured_is_not_asked_about():
    without = curve(lambda_bound=[np.nan] * 4).drop(columns="curvature_term")
    assert trust.known(without) == ["taylor", "path_integral"]
    assert trust.known(curve().drop(columns=trust.TRUTH)) == []


def test_the_furthest_is_told_in_nats_so_that_a_rise_below_zero_has_one_too():
    fell = curve(rise_of_chosen=[0.0, -0.1, 0.2, 0.4], taylor=[0.0, -0.5, 0.1, 0.2])
    assert trust.furthest(fell, 1, ["taylor", "path_integral"]) == "taylor"
    assert trust.furthest(fell, 1, ["taylor", "lambda_bound"]) == "lambda_bound"
    assert trust.furthest(curve(taylor=[np.nan] * 4), 1, ["taylor"]) is None


def test_what_is_lost_in_rounding_is_not_held_against_a_bound():
    found = trust.records(curve(lambda_bound=RISE - 0.5 * trust.TOLERANCE))
    assert found["lambda_bound"].bounds
    assert not trust.records(curve(lambda_bound=RISE - 2 * trust.TOLERANCE))["lambda_bound"].bounds


def test_no_ratio_of_a_rise_that_is_none():
    found = trust.records(curve(rise_of_chosen=[0.0, -0.1, 1e-5, 0.4]))
    assert found["taylor"].compared == 1
    assert np.isnan(trust.ratios(curve(rise_of_chosen=[0.0, -0.1, 1e-5, 0.4]))["taylor"][:3]).all()


def test_the_answer_names_the_numbers_and_the_curve_that_held():
    finding = bounds.finding(curve(), "relu")
    assert finding.true == {"lambda_bound"}
    told = next(sentence for sentence in finding.said if "λ bound" in sentence)
    assert "3 of 3 levels" in told
    assert "100 times the rise in the median" in told
    assert any("observation and not the theorem" in sentence for sentence in finding.said)
    assert finding.against == ""
    assert not any("observation" in sentence for sentence in bounds.finding(curve(), "softplus").said)


def test_what_contradicts_the_theory_is_said():
    broken = bounds.finding(curve(lambda_bound=RISE * 0.9), "relu")
    assert broken.true == {"none"}
    assert "here it does" in broken.against
    assert "off by up to 50\u00a0%" in bounds.finding(curve(path_integral=RISE * 1.5), "relu").against
    lucky = bounds.finding(curve(taylor=RISE * 2), "relu")
    assert lucky.true == {"lambda_bound", "taylor"}
    assert "Taylor is no bound by any theorem" in lucky.against


def test_nothing_cut_is_nothing_to_compare():
    assert bounds.finding(curve(displacement_norm=[0.0] * 4), "relu").true == frozenset()


def test_the_figure_has_a_line_an_estimate_and_a_value_a_level():
    names = trust.known(curve())
    drawing = rises.over_truth(curve(), names, 3, 0.8)
    assert "at 90.0\u00a0%: Taylor 0.5 ×, path integral 1 ×, λ bound 100 ×, ½ d'Hd alone 0.25 ×." in drawing["alt"]
    assert drawing["alt"].endswith("Somewhere below it: Taylor, path integral, ½ d'Hd alone.")
    assert all(len(fact["values"]) == 4 for fact in rises.facts(curve(), names))
    moving = [mark["frames"]["cy"] for mark in drawing["marks"] if "cy" in mark.get("frames", {})]
    taylor, _, lambda_bound, _ = moving
    assert taylor[0] is None
    assert taylor[3] > lambda_bound[3], "a larger factor is drawn higher"


def test_bars_follow_the_level_and_stop_at_the_foot_of_the_axis():
    names = trust.known(curve())
    figure = rises.at_level(curve(), names, 3)
    bars = [mark for mark in figure["marks"] if mark["tag"] == "rect"]
    assert len(bars) == 5
    assert all(len(bar["frames"]["width"]) == 4 for bar in bars)
    assert [bar["frames"]["width"][0] for bar in bars] == [0] * 5, "not above zero: no bar"
    assert max(bar["at"]["width"] for bar in bars) == bars[1 + names.index("lambda_bound")]["at"]["width"]
    line = next(mark for mark in figure["marks"] if "x1" in mark.get("frames", {}))
    assert line["frames"]["x1"][0] is None
    assert line["at"]["x1"] == pytest.approx(bars[0]["at"]["x"] + bars[0]["at"]["width"], abs=0.1)
    assert "λ bound 40" in figure["alt"]


def test_before_the_answer_the_truth_stands_alone():
    figure = rises.truth(curve(), 2, 0.8)
    looks = " ".join(mark["at"].get("class", "") for mark in figure["marks"])
    assert "dense" in looks
    assert not {"warm", "purple", "green", "pink"} & set(looks.split())
    assert "at 80.0\u00a0% it is 0.2" in figure["alt"]
