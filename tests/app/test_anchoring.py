"""Experiment 5 over a recorded series: drawn, answered, and what contradicts the theory is said."""

import json

import numpy as np
import pytest

from app import series, stepping
from app.experiments import anchors
from app.series import Row, Series


def row(strength, seed, average, learning, transfer) -> Row:
    matrix = ((learning, None), (learning + transfer, learning))
    return Row(strength, seed, average, learning, transfer, -transfer, matrix, None)


ROWS = (
    row(1, 0, 0.95, 0.97, -0.02),
    row(0, 0, 0.80, 0.99, -0.20),
    row(1, 1, 0.97, 0.97, -0.04),
    row(0, 1, 0.84, 0.99, -0.16),
    row(10, 0, 0.90, 0.91, -0.01),
    row(10, 1, 0.90, 0.91, -0.01),
)


def levels_of(*rows: Row):
    made = series.Made("python x.py", "abc", "a CPU", {}, "today", 2)
    return series.levels(Series(made, {}, rows))


def test_the_answer_names_the_best_and_both_numbers():
    finding = anchors.finding(levels_of(*ROWS))
    assert finding.true == {"between"}
    assert "**λ = 1**: 96.0\u00a0% ± 1.4\u00a0% over 2 seeds" in finding.said[0]
    assert "−18.0 points at λ = 0 and −1.0 at λ = 10" in finding.said[1]
    assert "99.0\u00a0% at λ = 0 and to 91.0\u00a0% at λ = 10" in finding.said[2]
    assert finding.against == ""


def test_a_difference_within_the_standard_error_is_a_tie():
    near = [*ROWS[:4], row(10, 0, 0.955, 0.91, -0.01), row(10, 1, 0.955, 0.91, -0.01)]
    finding = anchors.finding(levels_of(*near))
    assert finding.true == {"between", "strongest"}
    assert "Within one standard error of it: λ = 10." in finding.said[0]


def test_what_contradicts_the_theory_is_said():
    against = anchors.finding(levels_of(row(0, 0, 0.9, 0.9, -0.01), row(1, 0, 0.9, 0.95, -0.05))).against
    assert "over this series they do not" in against
    assert "learned as well as without" in against


def test_every_figure_moves_with_the_strength():
    levels = levels_of(*ROWS)
    for draw in anchors.DRAWN:
        drawing = stepping.merged([draw(levels, place) for place in range(3)])
        json.dumps(drawing, allow_nan=False)
        moved = [mark["frames"] for mark in drawing["marks"] if "frames" in mark]
        assert moved
        assert all(len(values) == 3 for frames in moved for values in frames.values())
    assert all(len(fact["values"]) == 3 for fact in anchors.facts(levels))


def test_the_line_of_the_tasks_is_that_of_the_strength():
    levels = levels_of(*ROWS)
    drawing = stepping.merged([anchors.DRAWN[2](levels, place) for place in range(3)])
    tips = [mark["frames"]["tip"] for mark in drawing["marks"] if "tip" in mark.get("frames", {})]
    assert tips[0] == ["λ = 0, task 1: 81.0\u00a0%", "λ = 1, task 1: 94.0\u00a0%", "λ = 10, task 1: 90.0\u00a0%"]
    assert np.all([one.mean[-1, 0] for one in levels] == pytest.approx([0.81, 0.94, 0.90]))
