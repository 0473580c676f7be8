"""Slices pass through the points they are named after."""

import numpy as np
import pytest
import torch
from looked_run import LOOK
from tiny_runs import array, events_of, tiny

from esacl.curvature import hessian, top_eigenpairs


def test_the_pruning_slice_goes_from_the_dense_to_the_pruned_point(looked):
    slices = looked.array("landscape")
    x, loss = slices["pruning/x"], slices["pruning/loss"]
    at = {float(a): float(b) for a, b in zip(x.round(9), loss)}
    assert at[0.0] == pytest.approx(looked.loss_at(looked.weights("dense")), rel=1e-5)
    assert at[1.0] == pytest.approx(looked.loss_at(looked.cut), rel=1e-5)


def test_random_slices_pass_through_their_points(looked):
    slices = looked.array("landscape")
    for name, weights in (("random_dense", looked.weights("dense")), ("random_pruned", looked.cut)):
        (middle,) = np.flatnonzero(np.abs(slices[f"{name}/x"]) < 1e-9)
        assert slices[f"{name}/loss"][middle] == pytest.approx(looked.loss_at(weights), rel=1e-5)
        assert slices[f"{name}/accuracy"].shape == slices[f"{name}/x"].shape


def test_planes_are_drawn_over_the_chosen_instances(looked):
    slices, chosen = looked.array("landscape"), looked.array("selection")
    rows, weights = torch.tensor(chosen["chosen"]), torch.tensor(chosen["weight"])
    for name, at, x0 in (
        ("plane_dense", looked.weights("dense"), 0.0),
        ("plane_pruning", looked.weights("dense"), 0.0),
        ("plane_pruning", looked.cut, 1.0),
        ("plane_pruned", looked.cut, 0.0),
    ):
        looked.at(at)
        with torch.no_grad():
            outputs = looked.network(looked.train.inputs[rows]).double()
        expected = float(looked.loss(outputs, looked.train.targets[rows], weights))
        column = np.flatnonzero(np.abs(slices[f"{name}/x"] - x0) < 1e-9)
        row = np.flatnonzero(np.abs(slices[f"{name}/y"]) < 1e-9)
        assert slices[f"{name}/loss"].shape == (5, 5)
        assert slices[f"{name}/loss"][row, column].item() == pytest.approx(expected, rel=1e-4)


def test_the_plane_of_the_cut_is_spanned_by_the_cut_and_the_sharpest_direction_at_right_angles_to_it(looked):
    slices, chosen = looked.array("landscape"), looked.array("selection")
    assert (str(slices["plane_pruning/x_name"]), str(slices["plane_pruning/y_name"])) == ("pruning", "eigen1")
    dense = looked.weights("dense")
    looked.at(dense)
    operator = hessian(looked.network, looked.loss, (looked.train.inputs, looked.train.targets))
    found = top_eigenpairs(operator, 2)
    y = operator.unflatten(found.vectors[:, 0])
    d = {name: looked.cut[name] - w for name, w in dense.items()}
    along = sum(float((y[n] * d[n]).sum()) for n in d) / sum(float(d[n].square().sum()) for n in d)
    across = {name: y[name] - along * d[name] for name in d}
    rows, weights = torch.tensor(chosen["chosen"]), torch.tensor(chosen["weight"])
    x, height = slices["plane_pruning/x"], slices["plane_pruning/y"]
    # One nat by the parabola at its ends: lambda a^2 / 2 = 1.
    assert height[-1] == pytest.approx((2 / float(found.values[0])) ** 0.5, rel=1e-5)
    places = ((0, 1), (3, 0), (4, 4))

    def expected(sign: int) -> list[float]:
        losses = []
        for i, j in places:
            looked.at({n: w + float(x[j]) * d[n] + sign * float(height[i]) * across[n] for n, w in dense.items()})
            with torch.no_grad():
                outputs = looked.network(looked.train.inputs[rows]).double()
            losses.append(float(looked.loss(outputs, looked.train.targets[rows], weights)))
        return losses

    found_there = pytest.approx([slices["plane_pruning/loss"][i, j] for i, j in places], rel=1e-3)
    assert found_there in (expected(1), expected(-1))  # an eigenvector has no sign of its own


def test_without_curvature_the_other_side_of_that_plane_is_random():
    events = events_of(tiny(LOOK | {"curvature.top": 0, "curvature.levels": 0}, sparsity=0.8, epochs=1))
    assert str(array(events, "landscape-t0")["plane_pruning/y_name"]) == "random2"


def test_a_dense_run_has_dense_slices_only():
    events = events_of(tiny(LOOK | {"curvature.top": 0, "curvature.levels": 0}, sparsity=0.0, epochs=1))
    assert {name.split("/")[0] for name in array(events, "landscape-t0")} == {"random_dense", "plane_dense"}
