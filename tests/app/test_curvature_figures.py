"""The spectrum, the slices along its eigenvectors, the overlap with the cut, the estimate: read and drawn."""

import json

import numpy as np
import pytest
from synthetic_run import synthetic_config
from synthetic_spectra import density_arrays, spectrum_arrays

from app import curvature_frames, spectra
from app.figures import curvature, overlap, spectrum
from app.wording import number
from esacl.errors import RunUnreadable

EWC = synthetic_config(method="ewc", sparsity=0.9)


@pytest.fixture
def kept(config):
    return spectrum_arrays(config, 2)


def marks(drawing, look):
    return [mark for mark in drawing["marks"] if look in mark["at"].get("class", "").split()]


def texts(drawing):
    return [mark["text"] for mark in drawing["marks"] if "text" in mark]


def every_drawing(config, events, kept):
    frame = curvature_frames.curvature(events)
    for measure in curvature.MEASURES:
        yield curvature.four([("this run", frame), ("EWC", frame)], 2, measure)[0]
    found = spectra.ends(kept)
    yield from spectrum.linked(found).drawings
    yield from spectrum.density(spectra.densities(density_arrays(config, 2)), found)
    lying = spectra.overlap(kept)
    yield overlap.shares(lying, "this run", overlap.scale([lying]))
    yield overlap.legend()
    yield spectrum.interval(spectra.interval(kept))


def test_every_figure_is_plain_json_with_words_for_those_who_cannot_see_it(config, events, kept):
    for drawing in every_drawing(config, events, kept):
        json.dumps(drawing, allow_nan=False)
        assert len(drawing["alt"]) > 15
        assert drawing["marks"]


def test_the_points_of_both_runs_stand_on_one_axis(events):
    frame = curvature_frames.curvature(events)
    higher = frame.assign(lambda_max=frame["lambda_max"] * 10)
    drawing, settled = curvature.four([("a", frame), ("b", higher)], 0, "lambda_max")
    assert settled
    at = {mark["tip"].splitlines()[0]: mark["at"] for mark in drawing["marks"] if mark.get("tip")}
    assert len(at) == 6
    assert at["b, dense"]["cx"] > at["a, dense"]["cx"]
    assert texts(drawing).count("dense") == texts(drawing).count("pruned") == 2


def test_a_dense_run_has_one_row(events):
    frame = curvature_frames.curvature(events)
    drawing, _ = curvature.four([("SGD", frame[frame["where"] == "dense"])], 0, "lambda_max")
    assert "pruned" not in texts(drawing)


def test_what_did_not_converge_is_hollow_and_said(events, kept):
    frame = curvature_frames.curvature(events)
    frame["converged"] = frame["where"] != "pruned"
    drawing, settled = curvature.four([("a", frame)], 0, "lambda_max")
    assert not settled
    hollow = [mark for mark in marks(drawing, "open") if mark.get("tip")]
    assert len(hollow) == 1
    assert "did not converge" in hollow[0]["tip"]
    found = spectrum.linked(spectra.ends({**kept, "pruned/converged": np.array(False)}))
    assert "pruned: did not converge" in texts(found.drawings[0])
    assert found.facts[2]["values"] == ["yes"] * 3 + ["no: hollow"] * 3 + ["yes"] * 3


def test_what_rests_on_eigenvectors_that_did_not_converge_is_hollow_and_said(kept):
    loose = spectra.overlap({**kept, "overlap/converged": np.array([True, False, True])})
    drawing = overlap.shares(loose, "run", overlap.scale([loose]))
    hollow = [mark for mark in marks(drawing, "open") if mark.get("tip")]
    assert len(hollow) == 3
    assert all("did not converge" in mark["tip"] and loose.layers[1][:-7] in mark["tip"] for mark in hollow)
    assert "did not converge" in drawing["caption"]
    estimate = spectrum.interval(spectra.interval({**kept, "interval/converged": np.array(False)}))
    hollow = [mark for mark in marks(estimate, "open") if mark.get("tip")]
    assert len(hollow) == 3
    assert all(mark["tip"].startswith("IDS") for mark in hollow)
    assert "did not converge" in estimate["caption"]
    lying = spectra.overlap(kept)  # an old run, which does not tell
    for settled in (overlap.shares(lying, "run", overlap.scale([lying])), spectrum.interval(spectra.interval(kept))):
        assert not marks(settled, "open")
        assert "converge" not in settled["caption"]


def test_a_mark_that_is_missing_is_told_in_its_row(kept):
    lying = spectra.overlap(kept)
    assert "d'Hd ≤ 0: no diamond" not in texts(overlap.shares(lying, "run", overlap.scale([lying])))
    lying.curvature_share[0] = np.nan
    assert texts(overlap.shares(lying, "run", overlap.scale([lying]))).count("d'Hd ≤ 0: no diamond") == 1


def test_each_eigenvalue_can_be_picked_and_has_its_slice(kept):
    found = spectrum.linked(spectra.ends(kept))
    assert len(found.names) == 9
    assert found.names[0] == f"λ₁ = {number(float(kept['dense/top'][0]))}, dense"
    left, right = found.drawings
    assert sorted(mark["pick"] for mark in left["marks"] if "pick" in mark) == list(range(9))
    moving = [mark["frames"] for drawing in (left, right) for mark in drawing["marks"] if "frames" in mark]
    assert all(len(values) == 9 for frames_ in moving for values in frames_.values())
    ring = next(mark for mark in left["marks"] if "frames" in mark)
    for mark in left["marks"]:
        if "pick" in mark and mark["tag"] == "circle":
            assert ring["frames"]["cx"][mark["pick"]] == mark["at"]["cx"]
    paths = [mark["frames"]["d"] for mark in right["marks"] if "d" in mark.get("frames", {})]
    assert len(paths) == 2
    assert len(set(paths[0])) == 9


def test_the_parabola_is_value_plus_slope_plus_half_the_eigenvalue(kept):
    dense = spectra.ends(kept)[0]
    a = kept["dense/slice_x"][1]
    expected = 0.03 + kept["dense/slice_gradient"][1] * a + kept["dense/top"][1] * a**2 / 2
    assert dense.parabola(1) == pytest.approx(expected)


def test_a_loss_that_is_not_finite_breaks_the_slice(kept):
    kept["dense/slice_loss"][0, 12] = np.nan
    drawing = spectrum.linked(spectra.ends(kept)).drawings[1]
    measured = [mark["frames"]["d"] for mark in drawing["marks"] if "d" in mark.get("frames", {})][1]
    assert measured[0].count("M") > measured[1].count("M")


def test_the_densities_share_both_scales_and_mark_the_top(config, kept):
    found = spectra.densities(density_arrays(config, 2))
    drawn = spectrum.density(found, spectra.ends(kept))
    ticks = [[m["text"] for m in drawing["marks"] if m["at"].get("class") == "tick"] for drawing in drawn]
    assert len(drawn) == 3
    assert ticks[0] == ticks[1] == ticks[2]
    tips = [mark["tip"] for mark in drawn[2]["marks"] if mark.get("tip")]
    assert tips == [f"{spectrum.subscript(i + 1)} = {number(float(v))}" for i, v in enumerate(kept["survivors/top"])]
    assert drawn[0]["caption"].startswith("1\u00a0680 eigenvalues, smoothed by")
    assert spectrum.density([]) == []


def test_the_overlap_of_two_runs_stands_on_one_axis(kept):
    ours, theirs = spectra.overlap(kept), spectra.overlap(spectrum_arrays(EWC, 2))
    x = overlap.scale([ours, theirs])
    first, second = (overlap.shares(one, "run", x) for one in (ours, theirs))
    places = [[m["at"]["cx"] for m in marks(drawing, "pruned")] for drawing in (first, second)]
    assert len(places[0]) == 3
    assert all(a < b for a, b in zip(*places))
    assert first["caption"] == "|d| = 0.9, ½ d'Hd = 0.002 nats"


def test_a_share_of_nothing_is_not_drawn_but_said(kept):
    kept["overlap/curvature_share"][1] = np.nan
    found = spectra.overlap(kept)
    drawing = overlap.shares(found, "run", overlap.scale([found]))
    assert len(marks(drawing, "warm")) == 2
    assert "d'Hd is not above zero" in drawing["alt"]


def test_the_estimate_stands_with_its_interval_over_the_whole_pool(kept):
    drawing = spectrum.interval(spectra.interval(kept))
    dots, diamonds = (marks(drawing, look) for look in ("pruned", "dense"))
    assert len([m for m in dots if m["tag"] == "circle"]) == len(diamonds) == 3
    assert f"whole pool {number(float(kept['dense/top'][0]))}" in drawing["alt"]


def test_old_runs_have_none_of_it(config):
    assert spectra.ends({}) == []
    assert spectra.overlap({}) is None
    assert spectra.interval({}) is None
    assert spectrum.linked([]) is None
    without = {key: v for key, v in spectrum_arrays(config, 0).items() if "slice" not in key}
    assert spectrum.linked(spectra.ends(without)) is None


@pytest.mark.parametrize(
    ("read", "damage"),
    [
        (spectra.ends, {"dense/slice_x": np.zeros((2, 2))}),
        (spectra.ends, {"pruned/products": None}),
        (spectra.overlap, {"overlap/norm": np.zeros(1)}),
        (spectra.overlap, {"overlap/converged": np.array([True])}),
        (spectra.interval, {"interval/low": np.zeros(7)}),
    ],
)
def test_damage_is_named_and_no_fault(kept, read, damage):
    broken = {key: value for key, value in {**kept, **damage}.items() if value is not None}
    with pytest.raises(RunUnreadable, match="measure it again"):
        read(broken)
