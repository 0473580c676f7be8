import numpy as np
import pandas as pd
import pytest
from synthetic_run import STEPS, accuracy, synthetic_config, synthetic_events

from app import curvature_frames, frames
from esacl.errors import RunUnreadable
from esacl.events import CurvatureMeasured


def test_losses_count_steps_over_all_tasks(events):
    frame = frames.losses(events)
    assert frame["step"].is_monotonic_increasing
    assert frame["step"].iloc[-1] == 3 * STEPS
    assert set(frame["task"]) == {0, 1, 2}


def test_thinning_keeps_the_tasks_and_the_mean(events):
    frame = frames.losses(events)
    thin = frames.thinned(frame, most=9)
    assert len(thin) <= 12
    assert set(thin["task"]) == set(frame["task"])
    assert frames.thinned(frame, most=10_000) is frame


def test_the_matrix_leaves_out_what_was_not_evaluated():
    frame = frames.matrix([[0.9, None], [0.8, 0.7]])
    assert frame.to_numpy().tolist() == [[0, 0, 0.9], [1, 0, 0.8], [1, 1, 0.7]]


def test_curvature_tells_the_three_points_apart(events):
    frame = curvature_frames.curvature(events)
    counts = frame[frame["engine"] == "lanczos"].groupby("where").size().to_dict()
    assert counts == {"dense": 3, "pruned": 3, "survivors": 3}


def test_a_later_measurement_replaces_the_earlier_one(events):
    again = curvature_frames.curvature([*events, *events])
    assert len(again) == len(curvature_frames.curvature(events))


def test_the_cross_check_is_relative(events):
    check = curvature_frames.cross_check(curvature_frames.curvature(events))
    assert len(check) == 3
    assert check["difference"].to_numpy() == pytest.approx(0.001)
    assert "0.1 %" in curvature_frames.agreement(check)
    assert "has not been asked" in curvature_frames.agreement(
        curvature_frames.cross_check(curvature_frames.curvature([]))
    )


def test_every_eigenvalue_that_both_have_is_compared(events):
    frame = curvature_frames.curvature(events)
    theirs = frame["engine"] == "pyhessian"
    ours = frame[(frame["engine"] == "lanczos") & (frame["where"] == "dense")]["eigenvalues"].iloc[0]
    frame.loc[theirs & (frame["task"] == 0), "eigenvalues"] = pd.Series(
        [tuple(value * (1.03 if i == 1 else 1.001) for i, value in enumerate(ours))], index=frame.index[theirs][:1]
    )
    check = curvature_frames.cross_check(frame)
    assert check["values"].tolist() == [len(ours), 1, 1]
    assert check["difference"].max() == pytest.approx(0.03)
    assert "at most 3 % (task 1, dense: eigenvalue 2: " in curvature_frames.agreement(check)
    assert f"the {len(ours)} largest eigenvalues" in curvature_frames.agreement(check)


def test_an_eigenvalue_of_zero_can_be_compared():
    about = {"task": 0, "point": "dense", "restricted": False, "residuals": (0.0,), "products": 3, "converged": True}
    about |= {"network_norm": 1.0, "relative_sharpness": 1.0, "examples": 3, "fraction": 1.0}
    about |= {"top_eigenvalues": (1.0, 0.0)}
    events = [CurvatureMeasured(engine=engine, **about) for engine in ("lanczos", "pyhessian")]
    assert curvature_frames.cross_check(curvature_frames.curvature(events))["difference"].tolist() == [0.0]


def test_each_eigenvalue_is_taken_along_in_full_with_its_residual(events):
    frame = curvature_frames.curvature(events)
    taken = curvature_frames.eigenvalues(frame)
    assert len(taken) == sum(len(values) for values in frame["eigenvalues"])
    first = taken[(taken["task"] == 1) & (taken["where"] == "dense") & (taken["engine"] == "lanczos")]
    whole = frame[(frame["task"] == 0) & (frame["where"] == "dense") & (frame["engine"] == "lanczos")].iloc[0]
    assert tuple(first["eigenvalue"]) == whole["eigenvalues"]
    assert tuple(first["residual"]) == whole["residuals"]
    assert first["place"].tolist() == list(range(1, len(first) + 1))


def test_what_has_not_converged_is_named_and_not_compared(events):
    frame = curvature_frames.curvature(events)
    loose = (frame["task"] == 1) & (frame["engine"] == "pyhessian")
    frame.loc[loose, "lambda_max"] = -3.0
    frame.loc[loose, "converged"] = False
    said = curvature_frames.agreement(curvature_frames.cross_check(frame))
    assert "2 of 3 points" in said
    assert "at most 0.1 %" in said
    assert "Not converged, so not compared: task 2, dense: 7.26 and -3." in said
    none = curvature_frames.agreement(curvature_frames.cross_check(frame.assign(converged=False)))
    assert "at most" not in none


def test_pruning_has_a_row_a_cut(events):
    assert len(frames.pruning(events)) == 3
    dense = synthetic_events(synthetic_config(method="finetune", sparsity=0.0))
    assert frames.pruning(dense).empty


def test_the_sparsity_curve_keeps_its_levels(arrays, config):
    curve = frames.sparsity(arrays["sparsity-t1"])
    assert config.sparsity in curve["level"].to_numpy()
    seen = frames.accuracy_at_levels(arrays["sparsity-t1"])
    assert seen.shape[1] == 2
    assert seen.iloc[0, 0] == pytest.approx(accuracy(config, 1, 0), abs=1e-3)
    assert frames.layer_densities(arrays["sparsity-t1"]).iloc[0].tolist() == [1.0, 1.0]


def test_the_pool_marks_who_was_chosen(arrays):
    kept = arrays["selection-t0"]
    pool = frames.pool(kept)
    assert pool["chosen"].sum() == len(np.unique(kept["chosen"]))
    assert pool.loc[kept["chosen"], "weight"].to_numpy() == pytest.approx(kept["weight"])
    shown = pool[pool["thumbnail"] >= 0]
    assert (kept["thumbnail_of"][shown["thumbnail"]] == shown["position"]).all()


def test_class_shares_add_up(arrays):
    balance = frames.balance(frames.pool(arrays["selection-t0"]))
    for column in ("pool", "chosen", "weighted"):
        assert balance[column].sum() == pytest.approx(1)


def test_the_bias_of_an_estimate_is_signed_and_relative(arrays):
    estimates = frames.estimates(arrays["selection-t0"]).set_index("name")
    assert estimates.loc["whole pool", "bias"] == 0
    assert estimates.loc["top-k", "bias"] == pytest.approx(24 / 6.6 - 1)
    below = {**arrays["selection-t0"], "estimate_lambda_max": np.array([2.0, 1.0, 3.0, 4.0, 5.0])}
    assert frames.estimates(below).set_index("name").loc["IDS", "bias"] == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("name", "read", "harm"),
    [
        ("sparsity-t0", frames.sparsity, lambda a: a.pop("rise")),
        ("sparsity-t0", frames.sparsity, lambda a: a.update(taylor=a["taylor"][:3])),
        ("sparsity-t0", frames.accuracy_at_levels, lambda a: a.update(accuracy=a["accuracy"][:, 0])),
        ("sparsity-t0", frames.layer_densities, lambda a: a.update(layers=a["layers"][:1])),
        ("histogram-t0", frames.histogram, lambda a: a.update(kept=a["kept"][:5])),
        ("selection-t0", frames.pool, lambda a: a.pop("score")),
        ("selection-t0", frames.pool, lambda a: a.update(chosen=a["chosen"] + 1000)),
        ("selection-t0", frames.pool, lambda a: a.update(thumbnail_of=a["thumbnail_of"] - 500)),
        ("selection-t0", frames.pool, lambda a: a.update(weight=a["weight"][:2])),
        ("selection-t0", frames.pool, lambda a: a.update(embedding=a["embedding"][:, :1])),
        ("selection-t0", frames.estimates, lambda a: a.update(estimate_sd=a["estimate_sd"][:1])),
    ],
)
def test_damaged_arrays_are_refused_in_one_line(arrays, name, read, harm):
    damaged = dict(arrays[name])
    harm(damaged)
    with pytest.raises(RunUnreadable) as refused:
        read(damaged)
    assert "\n" not in str(refused.value)
