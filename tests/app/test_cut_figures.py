"""What moves with the level: the picture of the mask, the histogram, the ways, the slice, and other rankings."""

import base64
import json

import numpy as np
import pandas as pd
import pytest
from synthetic_run import comparison_arrays, exact_arrays

from app import cuts, frames, scrubbing
from app.figures import cells, choices, palette, planes, sparsity, weight_values
from app.figures import cuts as moving
from app.wording import number
from esacl.errors import RunUnreadable


@pytest.fixture(scope="module")
def found(arrays):
    return cuts.cuts(arrays["cuts-t2"])


@pytest.fixture(scope="module")
def curve(arrays):
    return frames.sparsity(arrays["sparsity-t2"])


def texts(drawing):
    return [mark["text"] for mark in drawing["marks"] if "text" in mark]


def moving_marks(drawing):
    return [mark["frames"] for mark in drawing["marks"] if "frames" in mark]


def test_what_is_recorded_is_what_is_read(arrays, found):
    kept = arrays["cuts-t2"]
    assert (found.levels == kept["levels"]).all()
    assert list(found.survived) == ["body.0.weight", "body.2.weight"]
    assert found.places.shape == (len(found.levels), 3)
    without = {name: array for name, array in kept.items() if not name.startswith("place_")}
    assert cuts.cuts(without).places is None


@pytest.mark.parametrize(
    "spoiled", [{"kept": np.zeros((2, 2))}, {"way": np.zeros(3)}, {"place_x": None}, {"edges": None}]
)
def test_damaged_cuts_are_said(arrays, spoiled):
    given = {**arrays["cuts-t2"], **spoiled}
    given = {name: array for name, array in given.items() if array is not None}
    if "place_x" in spoiled:
        given["place_x"] = np.zeros(3)
        given["place_y"] = given["place_off"] = np.zeros(3)
    with pytest.raises(RunUnreadable, match="damaged"):
        cuts.cuts(given)


def unpacked(drawing):
    """The cells of a picture as the browser reads them."""
    packed = next(mark["cells"] for mark in drawing["marks"] if "cells" in mark)
    shape = packed["height"], packed["width"]
    values = np.frombuffer(base64.b64decode(packed["values"]), "<i2").reshape(shape)
    survived = np.frombuffer(base64.b64decode(packed["survived"]), np.uint8).reshape(shape)
    return values, survived, packed


def test_the_picture_holds_each_weight_and_the_level_that_takes_it(arrays, found):
    weights, layer = arrays["weights-t2"]["dense/body.2.weight"], "body.2.weight"
    drawing = cells.mask(found, layer, weights, 3)
    values, survived, packed = unpacked(drawing)
    assert survived.shape == weights.shape  # 20 x 20: a matrix as it is
    assert (survived == found.survived[layer]).all()
    assert values / 32767 * packed["scale"] == pytest.approx(weights, abs=packed["scale"] / 32767)
    assert len(packed["gone"]) == len(found.levels) + 1
    kept = (found.survived[layer] > 3).sum()
    assert f"{kept} of 400 kept" in texts(drawing)
    json.dumps(drawing, allow_nan=False)


def test_a_first_layer_of_pixels_is_a_mosaic_of_receptive_fields(arrays, found):
    weights, layer = arrays["weights-t2"]["dense/body.0.weight"], "body.0.weight"
    values, survived, _ = unpacked(cells.mask(found, layer, weights, 0))
    assert values.shape == (4 * 9 - 1, 5 * 9 - 1)  # 20 units in rows of 5, tiles of 8 x 8 and a line between them
    second = survived[:8, 9:17]
    assert (second == found.survived[layer][1].reshape(8, 8)).all()
    assert (values[:, 8] == cells.GAP).all()
    assert ((values == cells.GAP).sum() + weights.size) == values.size


def test_layers_of_every_shape_fit_into_a_picture():
    for shape in [(400, 784), (64, 3072), (512, 512, 3, 3), (64, 3, 3, 3), (32, 1, 3, 3), (512, 256, 1, 1), (10, 4608)]:
        laid = cells.view(shape, first=True)
        inside = laid.places[laid.places >= 0]
        assert laid.places.size <= cells.MOST, shape
        assert len(set(inside.tolist())) == len(inside)
        assert inside.max() < np.prod(shape)
        assert ("Shown are the first" in laid.told) == (len(inside) < np.prod(shape)), shape


def test_kernels_stand_where_their_channels_say():
    laid = cells.view((6, 2, 3, 3), first=False)
    # Few inputs: output after output, so that the picture is no thin strip.
    corners = laid.places[::4, ::4].ravel()
    numbers = sorted(int(corner) // 9 for corner in corners if corner >= 0)
    assert numbers == list(range(12))
    square = cells.view((4, 4, 3, 3), first=False).places
    assert square[4, 8] == (1 * 4 + 2) * 9  # output 1, input 2


def test_the_histogram_moves_with_the_level(found):
    drawing = weight_values.at_level(found, 5)
    levels = len(found.levels)
    assert all(len(values) == levels for frames_ in moving_marks(drawing) for values in frames_.values())
    bars = [mark for mark in drawing["marks"] if mark["at"].get("class") == "bar pruned"]
    for bar in bars:
        assert bar["at"]["height"] == pytest.approx(bar["frames"]["height"][5], abs=0.02)
        assert (np.diff(bar["frames"]["height"]) <= 0).all()  # what is gone stays gone
    assert f"■ kept {number(int(found.kept[5].sum()))}" in texts(drawing)
    json.dumps(drawing, allow_nan=False)


def test_each_way_ends_where_its_cut_lands(found, curve):
    lengths = curve["displacement_norm"].to_numpy()
    drawing = moving.ways(found, lengths, 7)
    bold = [mark for mark in drawing["marks"] if mark["at"].get("class") == "line pruned"]
    assert len(bold) == 1
    assert bold[0]["at"]["d"] == bold[0]["frames"]["d"][7]
    mark = next(mark for mark in drawing["marks"] if "cx" in mark.get("frames", {}))
    end = bold[0]["frames"]["d"][7].split("L")[-1].split()
    assert (mark["frames"]["cx"][7], mark["frames"]["cy"][7]) == tuple(map(float, end))


def test_a_deeper_cut_is_drawn_beside_the_plane(arrays, found, curve):
    plane = planes.planes(arrays["landscape-t2"])["plane_pruning"]
    lengths = curve["displacement_norm"].to_numpy()
    last = len(found.levels) - 1
    drawing = moving.place(found, plane, lengths, last)
    on, beside = (
        next(m for m in drawing["marks"] if m["at"].get("class") == f"mark {look}" and "frames" in m)
        for look in ("on-plane", "beside-plane")
    )
    assert on["frames"]["cx"][0] is not None
    assert beside["frames"]["cx"][0] is None
    assert on["frames"]["cx"][last] is None
    assert beside["frames"]["cx"][last] is not None
    assert "off the plane" in drawing["alt"]
    other = planes.plane_of({"x": plane.x, "y": plane.y, "loss": plane.loss}, ("dense", "pruning", "random2"))
    assert moving.place(found, other, lengths, 0) is None  # another plane: the places are not known


def test_rankings_beside_each_other(arrays):
    compared = cuts.comparison(comparison_arrays(arrays["sparsity-t2"]))
    levels = arrays["sparsity-t2"]["levels"]
    for what, fixed, names in (
        ("saliencies", "erk", {"second order ●", "magnitude", "Taylor", "random"}),
        ("allocations", "magnitude", {"global", "ERK", "uniform", "2:4", "whole units"}),
    ):
        drawn = choices.drawings(compared, what, fixed, "second-order", levels, 12, 0.9)
        assert len(drawn) == 2
        for drawing in drawn:
            assert names <= set(texts(drawing))
            assert all(len(values) == len(levels) for f in moving_marks(drawing) for values in f.values())
            json.dumps(drawing, allow_nan=False)
    lines = compared.lines("saliencies", "erk")
    assert (lines["taylor"][1] == compared.rise[2, 1]).all()
    assert (compared.lines("allocations", "taylor")["erk"][1] == compared.rise[2, 1]).all()


def test_marks_of_a_comparison_at_other_levels_stand_at_the_nearest(arrays):
    given = comparison_arrays(arrays["sparsity-t2"])
    sparse = {
        **given,
        "levels": given["levels"][::6],
        "accuracy": given["accuracy"][:, :, ::6],
        "rise": given["rise"][:, :, ::6],
    }
    compared = cuts.comparison(sparse)
    drawing = choices.drawings(compared, "saliencies", "global", "", arrays["sparsity-t2"]["levels"], 5, 0.9)[0]
    assert all(len(values) == len(given["levels"]) for f in moving_marks(drawing) for values in f.values())
    with pytest.raises(RunUnreadable, match="damaged"):
        cuts.comparison({**given, "rise": given["rise"][:2]})


def test_an_exact_cut_is_a_mark_with_its_n(arrays):
    one = cuts.exact(exact_arrays(0.93, 3))
    assert (one.n, one.mean_accuracy) == (300, pytest.approx(0.95))
    assert one.lost == pytest.approx(0.04)
    assert one.rise == pytest.approx(0.2)
    assert one.error == pytest.approx(np.sqrt(3 * 0.95 * 0.05 / 100) / 3)
    seen = frames.accuracy_at_levels(arrays["sparsity-t2"])
    drawing = sparsity.accuracy(seen, 3, 0.9, [0.5] * 3, exact=(one,))
    tips = [mark["tip"] for mark in drawing["marks"] if "exactly" in mark.get("tip", "")]
    assert tips == [f"exactly at 93.00\u00a0%, task {task}: 95.0\u00a0% of 100 images" for task in (1, 2, 3)]
    # Of a longer run, its tasks keep the hues that they have everywhere.
    hues = [mark["hue"] for mark in sparsity.accuracy(seen, 3, 0.9, [0.5] * 3, tasks=5, exact=(one,))["marks"]
            if "hue" in mark]  # fmt: skip
    assert set(hues) == {round(palette.hue(task, 5), 1) for task in range(3)}
    assert cuts.exact_names(["exact-t2-93000", "exact-t1-93000", "exact-t2-90000", "exact-t21-90000"], 2) == [
        "exact-t2-90000",
        "exact-t2-93000",
    ]


def test_an_exact_cut_that_helped_is_said_without_a_minus():
    half, dense, n = np.array([0.5, 0.5]), np.array([0.6, 0.6]), np.array([10, 10])
    worse = scrubbing.exact_said(cuts.Exact(0.9, 0.9, half, dense, dense, half, n))
    assert "the cut costs 10.00 points, and the loss rises by 0.1 nats" in worse
    better = scrubbing.exact_said(cuts.Exact(0.9, 0.9, dense, half, half, dense, n))
    assert "the cut gains 10.00 points, and the loss falls by 0.1 nats" in better


def test_a_key_stands_above_the_panel_where_no_mark_reaches(found):
    seen = pd.DataFrame({0: [1.0, 0.9, 0.6]}, index=[0.0, 0.9, 0.99])
    for drawing in (
        weight_values.at_level(found, 5),
        sparsity.accuracy(seen, 1, 0.9, [0.5], beside=("A run", "ewc", seen)),
    ):
        axis = min(mark["at"]["y1"] for mark in drawing["marks"] if mark["tag"] == "line" and "y1" in mark["at"])
        key = [mark for mark in drawing["marks"] if "label" in mark["at"].get("class", "") and mark["at"]["y"] < axis]
        assert [mark["text"].split(" ")[0] for mark in key] in (["■", "□"], ["A"])
