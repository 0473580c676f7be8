"""Series of runs that come with the project: what is read, what is refused, and the figures made of them."""

import json

import numpy as np
import pytest

from app import series, stepping
from app.figures import anchor
from esacl import metrics
from esacl.errors import RunUnreadable

MADE = {"command": "python x.py", "commit": "abc", "hardware": "a CPU", "versions": {"esacl": "0"}, "date": "today"}


def row(strength, seed):
    held = min(0.2, strength / 10)
    matrix = [[0.98 - held / 10, None], [0.6 + held + 0.02 * seed, 0.97 - held]]
    return {"strength": strength, "seed": seed, **metrics.transfer(matrix, joint=False), "accuracy_matrix": matrix}


@pytest.fixture
def told():
    rows = [row(strength, seed) for strength in (1.0, 0.0, 2.0) for seed in range(3)]
    return {"made": {**MADE, "n": 3}, "setting": {"sparsity": 0.98}, "rows": rows}


@pytest.fixture
def kept(tmp_path):
    def keep(told):
        (tmp_path / "anchor-digits.json").write_text(json.dumps(told))
        return series.anchor_series(tmp_path)

    return keep


def test_a_level_is_the_mean_over_its_seeds(told, kept):
    found = series.levels(kept(told))
    assert [(one.strength, one.n) for one in found] == [(0.0, 3), (1.0, 3), (2.0, 3)]
    assert found[0].mean[1, 0] == pytest.approx(0.62)
    assert found[0].sd[1, 0] == pytest.approx(0.02)
    assert np.isnan(found[0].mean[0, 1])
    assert found[0].numbers["backward_transfer"] == pytest.approx((-0.36, 0.02))


def test_one_seed_has_no_spread(told, kept):
    told["rows"] = told["rows"][::3]
    level = series.levels(kept(told))[0]
    assert level.n == 1
    assert np.nanmax(level.sd) == 0
    assert level.numbers["forgetting"][1] == 0


@pytest.mark.parametrize(
    "harm",
    [
        lambda t: t.pop("made"),
        lambda t: t["made"].pop("commit"),
        lambda t: t.update(rows=[]),
        lambda t: t.update(rows=7),
        lambda t: t["rows"][0].pop("seed"),
        lambda t: t["rows"][0].update(strength=-1),
        lambda t: t["rows"][0].update(average_accuracy=98.0),
        lambda t: t["rows"][0].update(accuracy_matrix=[[0.9, None]]),
        lambda t: t["rows"][0].update(accuracy_matrix=[[0.9]]),
        lambda t: t["rows"][0].update(accuracy_matrix=[[0.9, 0.5], [0.9, 0.9]]),
        lambda t: t["rows"][0].update(accuracy_matrix=[[0.9, None], [None, 0.9]]),
        lambda t: t["rows"][0].update(accuracy_matrix=[[0.9, None], ["<b>", 0.9]]),
        lambda t: t["rows"][0].update(accuracy_matrix=[[0.9, None], [1.2, 0.9]]),
    ],
)
def test_a_damaged_series_is_one_line(told, kept, harm):
    harm(told)
    with pytest.raises(RunUnreadable, match=r"anchor-digits.json cannot be read .* makes it") as refused:
        kept(told)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 320


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"rows": NaN}', "null"])
def test_what_is_no_json_is_one_line(tmp_path, content):
    (tmp_path / "anchor-digits.json").write_text(content)
    with pytest.raises(RunUnreadable, match="cannot be read"):
        series.anchor_series(tmp_path)


def test_a_series_that_was_not_made_is_said(tmp_path):
    with pytest.raises(RunUnreadable, match="has not been made"):
        series.finetune_series(tmp_path)


def test_the_strengths_become_one_drawing(told, kept):
    found = series.levels(kept(told))
    lines = stepping.merged([anchor.sequence(one, found) for one in found])
    json.dumps(lines, allow_nan=False)
    assert len(lines["alts"]) == 3
    assert "62.0\u00a0%" in lines["alts"][0]
    moving = [mark for mark in lines["marks"] if "frames" in mark]
    assert {"path", "polygon", "circle", "text"} <= {mark["tag"] for mark in moving}
    tips = [mark["frames"]["tip"] for mark in moving if "tip" in mark["frames"]]
    assert any("after task 2: 62.0\u00a0% ± 2.0" in tip[0] for tip in tips)


def test_a_ring_is_on_the_strength_that_is_looked_at(told, kept):
    found = series.levels(kept(told))
    trade = stepping.merged([anchor.tradeoff(found, index) for index in range(3)])
    json.dumps(trade, allow_nan=False)
    ring = trade["marks"][-1]
    places = [mark["at"]["cx"] for mark in trade["marks"] if mark.get("pick") is not None]
    assert ring["frames"]["cx"] == places
    assert [mark["pick"] for mark in trade["marks"] if "pick" in mark] == [0, 1, 2]
    assert "at 2 they are" in trade["alts"][2]


def test_the_means_of_matrices_keep_what_was_not_evaluated():
    both = [((0.5, None), (0.2, 0.4)), ((0.7, None), (0.4, 0.8))]
    found = series.mean_matrix(both)
    assert found[0] == [pytest.approx(0.6), None]
    assert found[1] == pytest.approx([0.3, 0.6])


def test_the_series_that_come_with_the_project_show_what_is_said_of_them():
    found = series.anchor_series()
    levels = series.levels(found)
    assert all(one.n == found.made.n == 3 for one in levels)
    names = ("learning_accuracy", "backward_transfer", "average_accuracy")
    learned, transfer, average = ([one.numbers[name][0] for one in levels] for name in names)
    assert transfer[0] < -0.1  # nothing held: the past fades
    assert transfer[-1] > -0.01
    assert learned[-1] < learned[0] - 0.02  # held tightly: less is learned
    assert 0 < average.index(max(average)) < len(levels) - 1
    zero = series.mean_matrix([row.accuracy_matrix for row in series.finetune_series().rows])
    assert max(zero[-1][:-1]) < 0.01
