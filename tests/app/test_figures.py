import json
import re
import tomllib
from pathlib import Path

import numpy as np

from app import curvature_frames, frames, ways
from app.figures import (
    accuracy,
    costs,
    curvature,
    maps,
    plane_colours,
    planes,
    selection,
    slices,
    sparsity,
    training,
    weight_values,
)
from app.figures.palette import hue
from app.wording import number

ROOT = Path(__file__).resolve().parents[2]
MATRIX = [[0.9, None, None], [0.85, 0.95, None], [0.8, 0.9, 1.0]]


def texts(drawing):
    return [mark["text"] for mark in drawing["marks"] if "text" in mark]


def every_drawing(events, arrays):
    curve, seen = frames.sparsity(arrays["sparsity-t2"]), frames.accuracy_at_levels(arrays["sparsity-t2"])
    pool, measured = frames.pool(arrays["selection-t2"]), curvature_frames.curvature(events)
    cuts = arrays["landscape-t2"]
    yield accuracy.over_sequence(MATRIX, 0.5)
    yield accuracy.matrix(MATRIX, tasks=3)
    yield training.loss(frames.losses(events), 3)
    yield training.doomed(frames.losses(events), 3)
    yield training.gate(frames.losses(events).assign(selection_ratio=0.3), 3, 0.6)
    yield costs.flops({"train_flops": 4e8, "train_flops_dense_sgd": None})
    yield costs.state({"state_bytes": {"weights": 720, "masks": 225, "buffer": 0}})
    yield curvature.tops(measured, 3, "this run")
    yield curvature.legend([measured])
    yield curvature.spectrum(measured, 1)
    for index in (0, 12, len(curve) - 1):
        yield sparsity.accuracy(seen, index, 0.9, [0.5] * 3, beside=("EWC", "ewc", seen * 0.9))
        yield sparsity.rise(curve, index, 0.9)
        yield sparsity.how_far(curve, index)
        yield sparsity.layers(frames.layer_densities(arrays["sparsity-t2"]), index)
    yield weight_values.before_the_cut(frames.histogram(arrays["histogram-t2"]), 0.9)
    yield selection.thumbnails(pool, arrays["selection-t2"]["thumbnails"])
    yield selection.scores(pool)
    yield selection.balance(frames.balance(pool))
    yield selection.estimates(frames.estimates(arrays["selection-t2"]))
    yield from (maps.scatter(pool, where, ["4", "5"]) for where in ways.maps(arrays["selection-t2"]))
    yield slices.along_pruning(cuts, "loss")
    yield slices.random_lines(cuts, "accuracy")
    for plane in planes.planes(cuts).values():
        yield plane_colours.picture(plane)


def test_every_figure_is_plain_json_with_words_for_those_who_cannot_see_it(events, arrays):
    for drawing in every_drawing(events, arrays):
        json.dumps(drawing, allow_nan=False)
        assert len(drawing["alt"]) > 15
        assert drawing["marks"]


def test_every_mark_that_follows_the_level_has_a_place_for_each(events, arrays):
    levels = len(arrays["sparsity-t2"]["levels"])
    seen = frames.accuracy_at_levels(arrays["sparsity-t2"])
    drawing = sparsity.accuracy(seen, 3, 0.9, [0.5])
    moving = [mark["frames"] for mark in drawing["marks"] if "frames" in mark]
    assert len(moving) == seen.shape[1] + 1
    assert all(len(values) == levels for frames_ in moving for values in frames_.values())
    curve = frames.sparsity(arrays["sparsity-t2"])
    assert all(len(fact["values"]) == levels for fact in sparsity.facts(curve, seen))


def test_the_matrix_says_which_way_it_is_read_and_leaves_the_unknown_blank():
    drawing = accuracy.matrix(MATRIX, tasks=3)
    assert "accuracy on task →" in texts(drawing)
    assert "after task ↓" in texts(drawing)
    blank = [mark for mark in drawing["marks"] if mark["at"].get("class") == "blank"]
    assert len(blank) == 3
    assert "85.0" in texts(drawing)
    tips = {mark.get("tip") for mark in drawing["marks"]}
    assert "after task 2, on task 1: 85.00\u00a0%" in tips


def relative_luminance(colour):
    """Of WCAG 2, from linear red, green and blue."""
    return float(colour @ np.array([0.2126, 0.7152, 0.0722]))


def linear(written):
    parts = np.array([int(written[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def mixed(ground, full, share):
    """As `color-mix(in oklab, ...)`; matrices of Ottosson, "A perceptual color space for image processing", 2020."""
    cones = np.array([[0.4122214708, 0.5363325363, 0.0514459929],
                      [0.2119034982, 0.6806995451, 0.1073969566],
                      [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    lab = np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                    [1.9779984951, -2.4285922050, 0.4505937099],
                    [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
    low, high = (lab @ np.cbrt(cones @ linear(end)) for end in (ground, full))
    between = low + share * (high - low)
    return np.clip(np.linalg.inv(cones) @ (np.linalg.inv(lab) @ between) ** 3, 0, 1)


def test_every_number_of_the_matrix_can_be_read_in_both_themes():
    style = (ROOT / "app/component/drawing.css").read_text(encoding="utf-8")
    theme = tomllib.loads((ROOT / "app/.streamlit/config.toml").read_text(encoding="utf-8"))["theme"]
    full = re.search(r"\.heat \{ fill: .*?light-dark\((#\w{6}), (#\w{6})\)", style).groups()
    assert "--day: #000; --night: #fff; fill: light-dark(var(--day), var(--night))" in style
    assert ".by-day { --day: #fff; }" in style
    assert ".by-night { --night: #000; }" in style
    for value in np.linspace(0, 1, 401):
        drawing = accuracy.matrix([[float(value)]], tasks=1)
        share = next(mark["share"] for mark in drawing["marks"] if "share" in mark)
        look = next(mark["at"]["class"] for mark in drawing["marks"] if "cell" in mark["at"].get("class", ""))
        for name, shade, turned in (("light", full[0], "by-day"), ("dark", full[1], "by-night")):
            behind = relative_luminance(mixed(theme[name]["backgroundColor"], shade, share))
            ink = float((name == "light") == (turned in look.split()))
            contrast = (max(ink, behind) + 0.05) / (min(ink, behind) + 0.05)
            assert contrast >= 4.5, f"{name}: {100 * value:.1f} at {contrast:.2f}"


def test_pruned_has_one_mark_everywhere():
    assert curvature.WHERE["pruned"][1:] == ("pruned", "diamond")


def test_a_running_matrix_has_room_for_what_comes():
    drawing = accuracy.matrix([[0.9, None, None, None, None]], tasks=5)
    blank = [mark for mark in drawing["marks"] if mark["at"].get("class") == "blank"]
    assert len(blank) == 24


def test_a_dense_run_has_no_cut_in_view(events):
    frame = frames.losses(events)
    assert training.doomed(frame.assign(doomed_share=0.0), 3) is None
    assert training.gate(frame, 3, opens_below=0.5) is None


def test_zero_accuracy_is_drawn():
    drawing = accuracy.over_sequence([[0.9, None], [0.0, 0.95]], 0.1)
    assert "0.0\u00a0%" in drawing["alt"]


def test_tasks_have_an_order_of_hues():
    assert len({round(hue(task, 10)) for task in range(10)}) == 10


def test_rises_below_zero_are_left_out_of_the_log_axis(arrays):
    curve = frames.sparsity(arrays["sparsity-t0"])
    curve.loc[2, "rise"] = -1e-6
    curve.loc[3, "taylor"] = 0.0
    json.dumps(sparsity.rise(curve, 2, 0.9), allow_nan=False)


def test_the_estimates_stand_beside_the_rise_of_the_same_instances(arrays):
    kept = arrays["sparsity-t0"]
    curve = frames.sparsity(kept)
    drawing = sparsity.rise(curve, 12, 0.9)
    assert f"true rise {number(float(kept['rise_of_chosen'][12]))}" in drawing["alt"]
    assert f"rise, whole pool {number(float(kept['rise'][12]))}" in drawing["alt"]
    assert "½ d'Hd alone" in texts(drawing)
    assert sparsity.facts(curve, frames.accuracy_at_levels(kept))[2]["values"][12] == number(float(kept["rise"][12]))


def test_points_lost_to_the_cut_are_positive(arrays):
    seen = frames.accuracy_at_levels(arrays["sparsity-t0"])
    lost = sparsity.facts(frames.sparsity(arrays["sparsity-t0"]), seen)[1]["values"]
    assert lost[0] == "0.0"
    assert lost[-1].startswith("+")


def test_a_run_that_did_not_record_the_terms_is_drawn_without_them(arrays):
    old = {
        key: value for key, value in arrays["sparsity-t0"].items() if key not in ("rise_of_chosen", "curvature_term")
    }
    said = texts(sparsity.rise(frames.sparsity(old), 12, 0.9))
    assert "rise, whole pool" in said
    assert not {"true rise", "½ d'Hd alone"} & set(said)


def test_two_runs_share_one_scale(events):
    frame = curvature_frames.curvature(events)
    higher = frame.assign(lambda_max=frame["lambda_max"] * 10)
    scale = curvature.shared_scale([frame, higher], "lambda_max")
    assert scale.low == 0
    assert scale.high > higher["lambda_max"].max()


def test_negative_eigenvalues_are_not_cut_off(events):
    frame = curvature_frames.curvature(events)
    frame["lambda_max"] = -frame["lambda_max"]
    assert curvature.shared_scale([frame], "lambda_max").low < frame["lambda_max"].min()


def test_names_of_classes_are_text(arrays):
    pool = frames.pool({**arrays["selection-t0"], "class_names": np.array(["<b>zero</b>", "one"])})
    drawing = selection.balance(frames.balance(pool))
    assert "<b>zero</b>" in texts(drawing)
