"""2-D slices: what is read from a run, and the figures made of it."""

import json

import numpy as np
import pytest
from synthetic_run import synthetic_config, synthetic_events
from synthetic_spectra import plane_arrays

from app import looking
from app.figures import landscape, plane_colours, planes, slices
from esacl.errors import RunUnreadable
from esacl.events import ArrayRecorded

X, Y = np.linspace(-1, 1, 9), np.linspace(-2, 2, 7)


def plane(where=("dense", "eigen1", "random1"), *, holes=(), **fields):
    loss = 0.1 + X[None, :] ** 2 + 2 * Y[:, None] ** 2
    for cell in holes:
        loss[cell] = np.nan
    return planes.plane_of({**plane_arrays(X, Y, loss), **fields}, where)


def every_plane(arrays):
    return [p for name, kept in arrays.items() if name.startswith("landscape") for p in planes.planes(kept).values()]


def test_the_slices_of_a_run_are_found_by_their_axes(arrays):
    found = planes.finest(planes.planes(arrays["landscape-t0"]).values())
    assert set(found) == {
        ("dense", "pruning", "eigen1"),
        ("dense", "random1", "random2"),
        ("pruned", "random1", "random2"),
    }
    dense = synthetic_events(synthetic_config(method="finetune", sparsity=0.0))
    cuts = next(e.arrays for e in dense if isinstance(e, ArrayRecorded) and e.name == "landscape-t0")
    assert slices.along_pruning(cuts, "loss") is None
    assert [p.slice for p in planes.planes(cuts).values()] == [("dense", "random1", "random2")]


def test_runs_from_before_the_axes_had_names_are_read(arrays):
    old = {key: value for key, value in arrays["landscape-t0"].items() if key.rpartition("/")[2] in ("x", "y", "loss")}
    kept = planes.planes(old)["plane_pruning"]
    assert kept.slice == ("dense", "pruning", "random2")
    assert kept.accuracy is None
    assert planes.facts(kept) == "21 × 21 cells, each computed"


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("plane-t2-dense-eigen1-random1", ("dense", "eigen1", "random1")),
        ("plane-t2-pruned-random3-task-grid51", ("pruned", "random3", "task")),
        ("plane-t12-dense-eigen1-random1", None),
        ("plane-t2-dense-eigen10-random1", None),
        ("plane-t2-nowhere-eigen1-random1", None),
        ("landscape-t2", None),
    ],
)
def test_arrays_tell_their_slice_by_their_name(name, where):
    assert planes.slice_of(name, 2) == where


def test_of_one_slice_the_finest_is_shown_and_either_way_round():
    coarse, fine = (
        plane(),
        planes.plane_of(plane_arrays(X, X, X[None] + X[:, None] ** 2 + 2), ("dense", "eigen1", "random1")),
    )
    found = planes.finest([fine, coarse])
    assert planes.lookup(found, ("dense", "eigen1", "random1")) is fine
    turned = planes.lookup(planes.finest([coarse]), ("dense", "random1", "eigen1"))
    assert (turned.x_name, turned.y_name) == ("random1", "eigen1")
    assert turned.loss[2, 3] == coarse.loss[3, 2]
    assert turned.evaluated.shape == turned.loss.shape == (9, 7)
    assert planes.lookup(found, ("pruned", "eigen1", "random1")) is None


def test_a_slice_says_what_was_computed_what_guessed_and_what_is_missing():
    said = planes.facts(plane(holes=[(0, 0), (6, 8)], statistics=np.array("kept")))
    assert said.startswith(
        "9 × 7 cells: 27\u00a0% computed, the others interpolated, off by at most 0.0021 nats (estimated)"
    )
    assert "2 holes without a finite loss, left blank" in said
    assert "BatchNorm statistics: the network's own" in said
    assert said.endswith("20 instances")
    assert "BatchNorm" not in planes.facts(plane())
    assert "an eigenvector did not converge" in planes.facts(plane(converged=np.array(False)))
    assert "converge" not in planes.facts(plane())


def test_points_are_marked_where_they_are():
    assert [(name, x, y) for name, _, x, y in plane(("dense", "random1", "pruning")).points] == [
        ("dense", 0.0, 0.0),
        ("pruned", 0.0, 1.0),
    ]
    assert plane(("dense", "task", "random1")).points[1][0] == "next task"
    assert [p[0] for p in plane(("pruned", "task", "random1")).points] == ["pruned"]


def test_colours_are_locked_over_all_planes(arrays):
    found = every_plane(arrays)
    low, high = plane_colours.limits(found)
    assert low == pytest.approx(min(p.loss.min() for p in found))
    assert high == pytest.approx(max(p.loss.max() for p in found))
    for one in found:
        field = landscape.contour(one, (low, high))["data"][0]
        assert (field["zmin"], field["zmax"]) == pytest.approx((np.log10(low), np.log10(high)))
        sheet = landscape.surface(one, (low, high))["data"][0]
        assert (sheet["cmin"], sheet["cmax"]) == pytest.approx((np.log10(low), np.log10(high)))
    assert plane_colours.limits(found, "accuracy") == (0.0, 1.0)


def test_a_small_plane_takes_its_part_of_an_axis_that_it_shares():
    alone, shared = (plane_colours.picture(plane(), height=200, ends=ends)["marks"] for ends in (None, (-8.0, 8.0)))
    assert (alone[0]["at"]["y"], alone[0]["at"]["height"]) == (0, 200)
    assert (shared[0]["at"]["y"], shared[0]["at"]["height"]) == (75, 50)  # -2 to 2 of -8 to 8
    assert [mark["at"]["cy"] for mark in shared if mark["tag"] == "circle"] == [100]


def test_a_loss_of_nearly_nothing_does_not_take_the_colours_from_the_rest():
    one = plane()
    one.loss[3, 4] = 1e-7
    assert plane_colours.limits([one]) == pytest.approx((1e-3, 1.0))
    one.loss[:] = np.linspace(1e-7, 1e-5, one.loss.size).reshape(one.loss.shape)
    assert plane_colours.limits([one]) == pytest.approx((1e-6, 1e-5))


@pytest.mark.parametrize("draw", [landscape.contour, landscape.surface])
def test_panels_beside_each_other_have_the_same_axes(draw):
    small, large = plane(), plane(("pruned", "eigen1", "random1"), x=3 * X)
    layouts = [draw(one, (0.1, 9.0), beside=[small, large])["layout"] for one in (small, large)]
    axes = [[(layout.get("scene") or layout)[f"{name}axis"]["range"] for name in "xy"] for layout in layouts]
    assert axes == [[[-3.0, 3.0], [-2.0, 2.0]]] * 2


@pytest.mark.parametrize("draw", [landscape.contour, landscape.surface])
@pytest.mark.parametrize("quantity", ["loss", "accuracy"])
def test_holes_are_counted_and_left_blank(draw, quantity):
    one = plane(holes=[(2, 3), (0, 0)])
    one.loss[0, 1] = np.inf
    assert one.holes == 3
    figure = draw(one, plane_colours.limits([one], quantity), quantity=quantity)
    assert sum(cell is None for row in figure["data"][0]["z"] for cell in row) == 3
    assert figure["data"][0]["connectgaps"] is False
    json.dumps(figure, allow_nan=False)
    json.dumps(plane_colours.picture(one), allow_nan=False)


def test_a_cell_says_whether_it_was_computed():
    told = landscape.contour(plane(), (0.1, 9.0))["data"][0]["customdata"]
    assert told[0][0] == "9.1"
    assert told[0][1].endswith("(interpolated)")


def test_a_plotly_figure_can_be_made_of_each():
    import plotly.graph_objects as go

    for draw in (landscape.contour, landscape.surface):
        for quantity in ("loss", "accuracy"):
            figure = landscape.themed(draw(plane(), (0.1, 9.0), quantity=quantity, bar=True), "#123456", "serif")
            assert go.Figure(figure).layout.font.color == "#123456"
            assert "@" not in json.dumps(figure)


@pytest.mark.parametrize("where", [("dense", "pruning", "random1"), ("pruned", "task", "random1")])
def test_the_names_of_the_points_read_beside_the_plane_too(where):
    one = plane(where)
    layout = landscape.contour(one, (0.1, 9.0), beside=[one, plane(x=9 * X)])["layout"]
    assert [(note["text"], note["x"], note["y"]) for note in layout["annotations"]] == [
        (name, x, y) for name, _, x, y in one.points
    ]
    assert all(note["bgcolor"] and note["font"]["color"] == "white" for note in layout["annotations"])


@pytest.mark.parametrize("value", [0.0, 0.97, 1.0])
def test_the_scale_of_an_accuracy_has_no_room_for_more_than_all(value):
    same = np.full(9, value)
    cuts = {f"{name}/x": X for name in ("pruning", "random_dense")}
    cuts |= {f"{name}/accuracy": same for name in ("pruning", "random_dense")}
    for draw in (slices.along_pruning, slices.random_lines):
        numbers = [
            float(mark["text"])
            for mark in draw(cuts, "accuracy")["marks"]
            if mark["tag"] == "text" and mark["at"].get("text-anchor") == "end" and mark["text"][:1].isdigit()
        ]
        assert numbers
        assert all(0 <= number <= 1 for number in numbers)


def test_the_key_of_the_colours_lies_within_it():
    for quantity, locked in (("loss", (0.02, 7.0)), ("accuracy", (0.0, 1.0))):
        places = [tick["at"] for tick in landscape.key(locked, quantity)["ticks"]]
        assert len(places) >= 3
        assert all(-0.01 <= at <= 1.01 for at in places)


@pytest.mark.parametrize(
    "damage",
    [{"x": np.zeros(3)}, {"evaluated": np.zeros((2, 2))}, {"accuracy": np.zeros(5)}],
)
def test_a_plane_of_another_shape_is_refused(damage):
    with pytest.raises(RunUnreadable, match="eigen1 × random1"):
        plane(**damage)


def test_only_what_a_run_can_have_is_offered(config):
    assert looking.directions(config, 0)[:2] == ["pruning", "eigen1"]
    assert looking.directions(config, 0)[-1] == "task"
    assert looking.directions(config, config.tasks - 1)[-1] == "random3"
    dense = synthetic_config(method="finetune", sparsity=0.0)
    assert "pruning" not in looking.directions(dense, 0)
