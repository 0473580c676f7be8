"""The recorded series over anchor strengths: read, averaged, drawn, answered; and calm where it is not there."""

import json

import numpy as np
import pytest

from app import anchoring
from app.experiments import anchors
from app.figures import anchoring as drawn


def row(strength, seed, average, learning, transfer) -> dict:
    matrix = [[learning, None], [learning + transfer, learning]]
    return {
        "strength": strength,
        "seed": seed,
        "average_accuracy": average,
        "learning_accuracy": learning,
        "backward_transfer": transfer,
        "accuracy_matrix": matrix,
    }


ROWS = [
    row(1, 0, 0.95, 0.97, -0.02),
    row(0, 0, 0.80, 0.99, -0.20),
    row(1, 1, 0.97, 0.97, -0.04),
    row(0, 1, 0.84, 0.99, -0.16),
    row(10, 0, 0.90, 0.91, -0.01),
    row(10, 1, 0.90, 0.91, -0.01),
]

WHOLE = {"rows": ROWS, "setting": {"sparsity": 0.9}, "made": {"commit": "abc", "versions": {"a": "1"}}}


@pytest.fixture
def series():
    return anchoring.series(ROWS, "three strengths")


def test_rows_become_means_over_seeds_in_the_order_of_strength(series):
    means = series.means()
    assert means["strength"].tolist() == [0, 1, 10] == series.strengths
    assert means["average_accuracy"].tolist() == pytest.approx([0.82, 0.96, 0.90])
    assert means["average_accuracy_sd"].iloc[0] == pytest.approx(0.04 / np.sqrt(2))
    assert means["n"].tolist() == [2, 2, 2]
    assert series.at_the_end() == pytest.approx(np.array([[0.81, 0.99], [0.94, 0.97], [0.90, 0.91]]))


@pytest.mark.parametrize("whole", [WHOLE, ROWS])
def test_a_file_is_read(tmp_path, whole):
    path = tmp_path / "anchor.json"
    path.write_text(json.dumps(whole))
    found = anchoring.read(path)
    assert found.strengths == [0, 1, 10]
    assert found.told == ("sparsity: 0.9 · commit: abc" if isinstance(whole, dict) else "")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"rows": 3}', json.dumps(ROWS[:1]), json.dumps([{**ROWS[0], "strength": "x"}])]
)
def test_what_is_no_series_is_none(tmp_path, text):
    path = tmp_path / "anchor.json"
    path.write_text(text)
    assert anchoring.read(path) is None
    assert anchoring.read(tmp_path / "nowhere.json") is None


def test_the_answer_names_the_best_and_both_numbers(series):
    finding = anchors.finding(series)
    assert finding.true == {"between"}
    assert "**λ = 1**: 96.0 % ± 1.4 % over 2 seeds" in finding.said[0]
    assert "−18.0 points at λ = 0 and −1.0 at λ = 10" in finding.said[1]
    assert "99.0 % at λ = 0 and to 91.0 % at λ = 10" in finding.said[2]
    assert finding.against == ""


def test_a_difference_within_the_standard_error_is_a_tie():
    near = [*ROWS[:4], row(10, 0, 0.955, 0.91, -0.01), row(10, 1, 0.955, 0.91, -0.01)]
    finding = anchors.finding(anchoring.series(near))
    assert finding.true == {"between", "strongest"}
    assert "Within one standard error of it: λ = 10." in finding.said[0]


def test_what_contradicts_the_theory_is_said():
    upside = [row(0, 0, 0.9, 0.9, -0.01), row(1, 0, 0.9, 0.95, -0.05)]
    against = anchors.finding(anchoring.series(upside)).against
    assert "over this series they do not" in against
    assert "learned as well as without" in against


def test_the_figures_move_with_the_strength(series):
    for make in (drawn.over_strength, drawn.tradeoff, drawn.each_task):
        drawing = make(series, 1)
        moved = [mark["frames"] for mark in drawing["marks"] if "frames" in mark]
        assert moved
        assert all(len(values) == 3 for frames in moved for values in frames.values())
    assert all(len(fact["values"]) == 3 for fact in drawn.facts(series))
