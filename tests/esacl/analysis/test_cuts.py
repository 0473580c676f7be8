"""One number a weight holds its masks at every level; the histogram, the ways and the places that follow."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from looked_run import Run

from esacl.analysis.cuts import kept_by_value, survivals
from esacl.analysis.sparsity import levels
from esacl.pruning import ALLOCATIONS, keep_top

LEVELS = levels(25, 0.9)


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_the_survivors_of_a_level_are_the_mask_of_the_cut(allocation, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (30, 16), "b": (12, 30), "conv": (4, 3, 3, 3)}
    saliency = {name: torch.rand(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    survived = survivals(saliency, LEVELS, allocation)
    for place, level in enumerate(LEVELS):
        mask = keep_top(saliency, level, allocation)
        for name, counts in survived.items():
            assert counts.shape == shapes[name]
            assert ((counts > place) == mask[name]).all(), (name, level)


def test_survivals_counted_by_hand():
    saliency = {"a": torch.tensor([[5.0, 1.0]]), "b": torch.tensor([[4.0, 3.0], [2.0, 6.0]])}
    found = survivals(saliency, [0.0, 0.5, 5 / 6], "global")
    assert found["a"].tolist() == [[2, 1]]  # 5 is the second of six: out where one is kept
    assert found["b"].tolist() == [[2, 1], [1, 3]]
    by_layer = survivals(saliency, [0.0, 0.5], "uniform")
    assert by_layer["a"].tolist() == [[2, 1]]
    assert by_layer["b"].tolist() == [[2, 1], [1, 2]]


@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.sampled_from(sorted(ALLOCATIONS)))
def test_equal_saliencies_may_change_places_and_nothing_else(values, allocation):
    half = len(values) // 2
    saliency = {"a": torch.tensor(values[:half]).float()[None], "b": torch.tensor(values[half:]).float()[None]}
    steps = [0.0, 0.3, 0.6, 0.9]
    survived = survivals(saliency, steps, allocation)
    for place, level in enumerate(steps):
        mask = keep_top(saliency, level, allocation)
        ours, theirs = (
            sorted(float(s) for name in saliency for s in saliency[name][kept[name]])
            for kept in ({n: c > place for n, c in survived.items()}, mask)
        )
        assert ours == theirs
    assert all(((a > 1) <= (a > 0)).all() for a in survived.values())  # nested


def test_the_histogram_of_every_level_is_that_of_its_survivors():
    rng = np.random.default_rng(0)
    values, survived = rng.normal(size=500), rng.integers(0, 5, 500)
    edges = np.linspace(-np.abs(values).max(), np.abs(values).max(), 8)
    found = kept_by_value(values, survived, edges, 4)
    for level in range(4):
        assert (found[level] == np.histogram(values[survived > level], edges)[0]).all()
    assert found[0].sum() == (survived > 0).sum()


def test_a_run_records_the_survivors_of_its_own_ranking(looked):
    recorded, weights, mask = looked.array("cuts"), looked.weights("dense"), looked.weights("mask")
    scores = {name: weights[name].abs() for name in mask}  # EWC is cut by magnitude
    for place, level in enumerate(recorded["levels"]):
        kept = keep_top(scores, float(level))
        for name in mask:
            assert ((recorded[f"survived/{name}"] > place) == kept[name].numpy()).all()
    own = int(np.flatnonzero(recorded["levels"] == looked.config.sparsity)[0])
    assert (recorded["kept"][own] == looked.array("histogram")["kept"]).all()
    assert recorded["kept"][0].sum() == sum(m.numel() for m in mask.values())


def test_the_way_begins_dense_and_ends_at_the_cut(looked):
    recorded, curve = looked.array("cuts"), looked.array("sparsity")
    assert recorded["way"][0] == 0
    assert recorded["way"][-1] == 1
    rise = recorded["way_loss"][:, -1] - recorded["way_loss"][:, 0]
    assert rise == pytest.approx(curve["rise_of_chosen"], rel=1e-4, abs=1e-6)
    assert np.ptp(recorded["way_loss"][:, 0]) < 1e-6
    assert np.ptp(recorded["way_loss"][0]) < 1e-6  # nothing is cut, so nothing moves


def test_places_on_the_plane_of_the_cut(looked):
    recorded, curve = looked.array("cuts"), looked.array("sparsity")
    assert str(recorded["place_of_y"]) == "eigen1"
    own = int(np.flatnonzero(recorded["levels"] == looked.config.sparsity)[0])
    here = [float(recorded[f"place_{part}"][own]) for part in ("x", "y", "off")]
    assert here == pytest.approx([1, 0, 0], abs=1e-5)
    assert [float(recorded[f"place_{part}"][0]) for part in ("x", "y", "off")] == [0, 0, 0]
    # Masks are nested: a shallower cut is a part of the run's own, a deeper one holds it.
    squared = curve["displacement_norm"] ** 2
    assert recorded["place_x"] == pytest.approx(np.minimum(squared / squared[own], 1), abs=1e-6)
    rest = squared - recorded["place_x"] ** 2 * squared[own]
    assert (recorded["place_off"] ** 2 <= rest + 1e-5 * squared + 1e-6).all()
    assert recorded["place_off"][-1] > 0


def test_a_dense_run_has_survivors_and_no_plane_of_a_cut():
    run = Run({"method": "finetune", "sparsity": 0.0, "curvature.top": 0, "curvature.levels": 3})
    recorded = run.array("cuts")
    assert "place_x" not in recorded
    assert "way_loss" in recorded
    assert {name for name in recorded if name.startswith("survived/")} == {
        f"survived/{name}" for name in run.array("sparsity")["layers"]
    }
