import numpy as np
import pandas as pd
import pytest

from app import claims
from app.figures import rises


def curve(**columns):
    """Five levels; the truth is measurable at the last three."""
    given = {
        "level": [0.0, 0.5, 0.9, 0.95, 0.99],
        "rise": [0.0, -0.001, 0.1, 0.4, 1.0],
        "rise_of_chosen": [0.0, -0.001, 0.1, 0.4, 1.0],
        "taylor": [0.0, -0.002, 0.09, 0.41, 0.5],
        "path_integral": [0.0, -0.001, 0.0995, 0.4, 1.001],
        "output_bound": [0.0, 0.0, 0.11, 0.5, 0.8],
        "lambda_bound": [0.0, 0.5, 8.0, 40.0, 900.0],
        "displacement_norm": [0.0, 1.0, 2.0, 3.0, 4.0],
        **columns,
    }
    return pd.DataFrame({name: values for name, values in given.items() if values is not None})


def test_levels_count_where_the_loss_rises():
    assert list(claims.counted(curve())) == [False, False, True, True, True]
    nearly = curve(rise_of_chosen=[0.0, 0.0009, 0.1, 0.4, 1.0])
    assert not claims.counted(nearly).iloc[1], "less than a thousandth of the largest rise"


def test_factors_are_estimate_over_truth():
    found = claims.factors(curve())
    assert list(found["level"]) == [0.9, 0.95, 0.99]
    assert found["taylor"].to_numpy() == pytest.approx([0.9, 1.025, 0.5])


def test_verdicts_count_how_often_an_estimate_falls_short():
    found = claims.verdicts(curve()).set_index("name")
    assert list(found["levels"]) == [3, 3, 3, 3]
    assert dict(found["below"]) == {"taylor": 2, "path_integral": 0, "output_bound": 1, "lambda_bound": 0}
    assert found.loc["lambda_bound", ["smallest", "median", "largest"]].to_list() == pytest.approx([80, 100, 900])


def test_within_a_hundredth_is_not_below():
    assert claims.never_below(curve()) == ["path_integral", "lambda_bound"]
    assert claims.never_below(curve(path_integral=[0, 0, 0.0985, 0.4, 1])) == ["lambda_bound"]


def test_the_furthest_is_told_in_nats_so_that_a_rise_below_zero_has_one_too():
    assert claims.furthest(curve(), 1) == "lambda_bound"
    near = curve(lambda_bound=[0.0, -0.001, 0.1, 0.4, 1.0])
    assert claims.furthest(near, 4) == "taylor"
    assert claims.furthest(near, 1) == "taylor" or claims.furthest(near, 1) == "output_bound"


def test_what_was_not_measured_is_not_asked_about():
    without = curve(lambda_bound=[np.nan] * 5, output_bound=None)
    assert claims.known(without) == ["taylor", "path_integral"]
    assert claims.furthest(without, 4) == "taylor"
    assert claims.known(curve(rise_of_chosen=None)) == []


def test_where_the_loss_never_rises_nothing_is_claimed():
    flat = curve(rise_of_chosen=[0.0, -1.0, -1.0, -2.0, -3.0])
    assert not claims.counted(flat).any()
    assert claims.never_below(flat) == []


def test_bars_follow_the_level_and_stop_at_the_foot_of_the_axis():
    names = claims.known(curve())
    figure = rises.at_level(curve(), names, 4)
    bars = [mark for mark in figure["marks"] if mark["tag"] == "rect"]
    assert len(bars) == 5
    assert all(len(bar["frames"]["width"]) == 5 for bar in bars)
    assert [bar["frames"]["width"][1] for bar in bars[:3]] == [0, 0, 0], "not above zero: no bar"
    widths = [bar["at"]["width"] for bar in bars]
    assert max(widths) == widths[-1]
    line = next(mark for mark in figure["marks"] if "x1" in mark.get("frames", {}))
    assert line["frames"]["x1"][1] is None
    assert line["at"]["x1"] == pytest.approx(bars[0]["at"]["x"] + widths[0], abs=0.1)
    assert "λ bound 900" in figure["alt"]


def test_the_factors_are_drawn_around_one_and_what_falls_short_is_named():
    names = claims.known(curve())
    figure = rises.over_truth(curve(), names, 4, 0.9)
    assert figure["alt"].endswith("Somewhere below it: Taylor, output bound.")
    moving = [mark["frames"]["cy"] for mark in figure["marks"] if "cy" in mark.get("frames", {})]
    assert len(moving) == 4
    taylor, _, _, lambda_bound = moving
    assert taylor[0] is None
    assert taylor[4] > taylor[3] > lambda_bound[3], "a larger factor is drawn higher"


def test_before_the_answer_the_truth_stands_alone():
    figure = rises.truth(curve(), 2, 0.9)
    looks = " ".join(mark["at"].get("class", "") for mark in figure["marks"])
    assert "dense" in looks
    assert not {"warm", "purple", "green", "pink"} & set(looks.split())
    assert "at 90.0 % it is 0.1" in figure["alt"]
