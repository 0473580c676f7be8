"""A plane through two directions by name: through the point it names, inside the mask, and to the next solution."""

from importlib import import_module

import numpy as np
import pytest
import torch
from looked_run import Run
from tiny_runs import array, of_kind

from esacl.analysis import analyse
from esacl.analysis.again import _scene
from esacl.analysis.axes import axis
from esacl.analysis.points import ends_at, points
from esacl.analysis.scene import at_cut
from esacl.curvature.lanczos import extreme_steps
from esacl.errors import InputError
from esacl.events import CurvatureMeasured
from esacl.look import Look
from esacl.stepwise import finish


@pytest.fixture(scope="module")
def first() -> Run:
    """The first task of a run of two, so that there is a next one."""
    return Run({"method": "ewc", "epochs": 4})


def following(run: Run) -> dict[str, np.ndarray]:
    return array(run.events, "weights-t1")


def plane(run: Run, look: Look, **more) -> dict[str, np.ndarray]:
    events = list(analyse("landscape", run.config, run.task, run.recorded, look=look, **more))
    assert not of_kind(events, CurvatureMeasured)
    return array(events, f"plane-t{run.task}-{look.at}-{look.x}-{look.y}")


def value_at(found: dict[str, np.ndarray], x: float, y: float) -> float:
    (column,) = np.flatnonzero(np.abs(found["x"] - x) < 1e-9)
    (row,) = np.flatnonzero(np.abs(found["y"] - y) < 1e-9)
    return float(found["loss"][row, column])


@pytest.mark.parametrize("names", [("eigen1", "random1"), ("pruning", "eigen1"), ("random1", "random2")])
def test_a_plane_says_whether_its_eigenvectors_converged(first, names, monkeypatch):
    assert bool(plane(first, Look(*names))["converged"])

    def hurried(operator, top, bottom):
        return extreme_steps(operator, top, bottom, max_products=top + bottom)

    monkeypatch.setattr(import_module("esacl.analysis.points"), "extreme_steps", hurried)
    assert bool(plane(first, Look(*names))["converged"]) == ("eigen1" not in names)


PAIRS = [("random1", "random2"), ("eigen1", "eigen2"), ("eigen3", "random4"), ("pruning", "eigen1")]
PAIRS += [("pruning", "task")]


@pytest.mark.parametrize("names", PAIRS)
def test_a_plane_passes_through_the_dense_point(first, names):
    found = plane(first, Look(*names, at="dense"), following=following(first))
    assert value_at(found, 0, 0) == pytest.approx(first.loss_at(first.weights("dense")), rel=1e-5)
    assert (str(found["x_name"]), str(found["y_name"])) == names
    assert (int(found["examples"]), int(found["holes"]), str(found["statistics"])) == (48, 0, "none")


def test_at_one_along_the_cut_stands_the_pruned_network_and_along_the_task_the_next_solution(first):
    found = plane(first, Look("pruning", "task"), following=following(first))
    after = {n.removeprefix("dense/"): torch.tensor(w) for n, w in following(first).items() if n.startswith("dense/")}
    assert value_at(found, 1, 0) == pytest.approx(first.loss_at(first.cut), rel=1e-4)
    assert value_at(found, 0, 1) == pytest.approx(first.loss_at(after), rel=1e-4)


@pytest.mark.parametrize("names", [("random1", "random2"), ("eigen1", "random1"), ("task", "eigen2")])
def test_a_plane_of_the_pruned_network_stays_inside_its_mask(first, names):
    found = plane(first, Look(*names, at="pruned"), following=following(first))
    assert value_at(found, 0, 0) == pytest.approx(first.loss_at(first.cut), rel=1e-5)
    scene = _scene(first.config, 0, first.recorded, None)
    survivors = next(point for point in points(scene) if point.name == "survivors")
    ends = {"survivors": finish(ends_at(scene, survivors, 2))}
    after = {name: torch.tensor(w) for name, w in following(first).items()}
    with at_cut(scene.network, scene.mask):
        for name in names:
            direction = axis(scene, name, at="pruned", found=ends, following=after).direction
            assert any(bool(part.any()) for part in direction.values())
            for layer, entry in scene.mask.items():
                assert not bool(direction[layer][~entry].any()), (name, layer)


def test_an_eigenvector_is_shown_as_far_as_one_nat_of_its_parabola(first):
    found = plane(first, Look("eigen1", "eigen2"))
    tops = next(e.top_eigenvalues for e in of_kind(first.events, CurvatureMeasured) if e.task == 0)
    for side, value in zip(("x", "y"), tops):
        assert value * float(found[side][-1]) ** 2 / 2 == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("names", "at", "message"),
    [
        (("task", "random1"), "dense", r"task 0 has no next task whose solution is kept; choose another axis or task"),
        (("eigen9", "eigen9 "), "dense", r"unknown axis 'eigen9 '"),
        (("eigen1", "eigen1"), "dense", r"both axes are 'eigen1', which is a line; choose two"),
        (("eigen0", "random1"), "dense", r"unknown axis 'eigen0'; choose from pruning, eigen1..eigen9, random1"),
        (("pruning", "random1"), "pruned", r"leads out of the mask; look at it from the dense point"),
        (("random1", None), "dense", r"a plane has two axes; give both --x and --y"),
        (("random1", "random2"), "moon", r"unknown point 'moon'; choose dense or pruned"),
    ],
)
def test_axes_that_do_not_exist_are_refused(first, names, at, message):
    with pytest.raises(InputError, match=message):
        plane(first, Look(*names, at=at))


def test_a_dense_run_has_no_pruning_axis():
    run = Run({"method": "finetune", "sparsity": 0.0, "epochs": 1, "curvature.top": 0, "curvature.levels": 0})
    for look in (Look("pruning", "random1"), Look("random1", "random2", at="pruned")):
        with pytest.raises(InputError, match="prunes nothing"):
            plane(run, look)


def test_probes_must_be_a_number_that_gives_an_error():
    for probes in (1, -1, 1001):
        with pytest.raises(InputError, match=rf"probes {probes} is out of range; choose 0 \(no density\) or 2 to 1000"):
            Look(probes=probes)
