"""The sparsity curve: its ends, the row of the run's own cut, and what every row holds."""

import numpy as np
import pytest
from looked_run import Run

from esacl.analysis.sparsity import levels
from esacl.events import Pruned
from esacl.pruning import keep_top


def test_levels_hold_both_ends_and_the_target():
    found = levels(25, 0.9)
    assert found[0] == 0
    assert found[-1] == 0.995
    assert 0.9 in found
    assert found == sorted(set(found))
    assert len(found) in (25, 26)
    assert {0.5, 0.8, 0.9, 0.95, 0.98, 0.99} < set(found)
    gaps = np.diff(np.log(1 - np.array(found)))
    assert gaps.min() > 2.2 * gaps.mean()  # still near geometric steps (they are negative)
    assert levels(1, 0.5) == [0.0, 0.5]


def test_the_row_of_the_target_agrees_with_the_cut(looked):
    curve, cut = looked.array("sparsity"), looked.event(Pruned)
    (row,) = np.flatnonzero(curve["levels"] == looked.config.sparsity)
    assert float(curve["chosen"]) == looked.config.sparsity
    assert curve["accuracy"][row, looked.task] == cut.pruned_accuracy
    assert curve["rise"][row] == pytest.approx(cut.actual_rise, rel=1e-4, abs=1e-7)
    assert curve["displacement_norm"][row] == pytest.approx(cut.displacement_norm)
    assert curve["removed_share"][row] == pytest.approx(cut.removed_share)
    assert curve["taylor"][row] == pytest.approx(cut.estimate_taylor)
    assert np.isfinite(curve["output_bound"]).all()
    assert curve["loss"][row] == pytest.approx(looked.loss_at(looked.cut), rel=1e-6)


def test_the_row_of_0_is_the_dense_network(looked):
    curve, cut = looked.array("sparsity"), looked.event(Pruned)
    assert curve["levels"][0] == 0
    assert curve["accuracy"][0, looked.task] == cut.dense_accuracy
    for name in ("rise", "taylor", "path_integral", "displacement_norm", "removed_share"):
        assert curve[name][0] == 0, name
    assert (curve["layer_density"][0] == 1).all()
    assert curve["loss"][0] == pytest.approx(looked.loss_at(looked.weights("dense")), rel=1e-6)


def test_every_row_is_a_cut_by_the_same_ranking(looked):
    curve = looked.array("sparsity")
    count = len(curve["levels"])
    assert curve["accuracy"].shape == (count, looked.task + 1)
    assert curve["layer_density"].shape == (count, 2)
    assert list(curve["layers"]) == list(looked.weights("mask"))
    assert curve["chance"].tolist() == [0.5] * (looked.task + 1)
    sizes = np.array([looked.weights("mask")[n].numel() for n in curve["layers"]])
    density = curve["layer_density"] @ sizes / sizes.sum()
    assert ((1 - density >= curve["levels"] - 1e-6) & (1 - density < curve["levels"] + 1e-3)).all()
    scores = {n: w.abs() for n, w in looked.weights("dense").items() if n in looked.weights("mask")}
    for level, row in zip(curve["levels"], curve["layer_density"]):
        assert list(keep_top(scores, float(level)).layer_densities().values()) == pytest.approx(list(row))
    assert (np.diff(curve["displacement_norm"]) > 0).all()
    assert (curve["lambda_bound"][1:] > curve["rise_of_chosen"][1:]).all()


def test_chance_in_class_il_is_among_all_classes_seen():
    run = Run({"scenario": "class", "curvature.top": 0, "curvature.levels": 2, "curvature.grid": 0}, task=1)
    assert run.array("sparsity")["chance"].tolist() == [0.25, 0.25]


def test_the_histogram_counts_every_prunable_weight_once(looked):
    histogram, mask = looked.array("histogram"), looked.weights("mask")
    values = np.concatenate([w.numpy().ravel() for n, w in looked.weights("dense").items() if n in mask])
    kept = np.concatenate([m.numpy().ravel() for m in mask.values()])
    assert histogram["kept"].sum() == kept.sum()
    assert histogram["removed"].sum() == (~kept).sum()
    edges = histogram["edges"]
    inside = (values >= edges[40]) & (values < edges[41])
    assert histogram["kept"][40] == (inside & kept).sum()
    # Pruned by magnitude: what is removed lies within what is kept.
    assert np.abs(values[~kept]).max() <= np.abs(values[kept]).min()
