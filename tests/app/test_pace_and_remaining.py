"""Milliseconds a step from the records of a run, and what is left of each cost."""

import numpy as np
import pytest

from app import pace, remaining
from app.experiments import savings
from app.figures import savings as drawn
from app.pace import Pace
from app.remaining import Share
from esacl.events import Analysing, Pruned, Stepped, TaskStarted


def started(task):
    return TaskStarted(
        task=task, class_names=("0", "1"), train_examples=100, evaluation_examples=10, epochs=1, steps=300
    )


def stepped(task, step, density=0.1):
    return Stepped(
        task=task, epoch=0, step=step, steps=300, loss=0.1, learning_rate=0.1, ramp=0.0, density=density, flips=0,
        doomed_share=0.0, selection_ratio=None, selection_open=False,
    )  # fmt: skip


def cut(task):
    numbers = dict.fromkeys(("dense_accuracy", "pruned_accuracy", "actual_rise", "displacement_norm"), 0.5)
    none = dict.fromkeys(("taylor", "path_integral", "lambda_bound", "estimate_taylor", "estimate_lambda_max"))
    rest = {"network_norm": 1.0, "removed_share": 0.1, "flips": 0, "full_lambda_max": None}
    return Pruned(task=task, sparsity=0.9, **numbers, **none, **rest)


EVENTS = [
    started(0), stepped(0, 100),                                     # dense, alone: 100 steps in 0.2 s
    stepped(0, 150), Analysing(task=0, stage="spectrum", done=0, total=1),  # an analysis beside
    cut(0), stepped(0, 200),                                         # the cut itself
    stepped(0, 300),                                                 # sparse, alone: 100 steps in 0.3 s
    started(1), stepped(1, 50),                                      # the next task begins dense: 50 steps in 0.1 s
]  # fmt: skip
MEASURED = [
    {"events": 2, "seconds": 0.2},
    {"events": 4, "seconds": 1.2},
    {"events": 6, "seconds": 1.5},
    {"events": 7, "seconds": 1.8},
    {"events": 9, "seconds": 1.9},
]


def test_only_stretches_of_training_count_each_for_its_kind():
    dense, sparse = pace.paces(EVENTS, MEASURED, one_cut=True)
    assert (dense.steps, dense.seconds) == (150, pytest.approx(0.3))
    assert (sparse.steps, sparse.seconds) == (100, pytest.approx(0.3))
    assert dense.milliseconds == pytest.approx(2)
    assert sparse.milliseconds == pytest.approx(3)


def test_a_stretch_of_both_kinds_is_left_out():
    dense, sparse = pace.paces(EVENTS, [*MEASURED[:3], MEASURED[4]], one_cut=True)
    assert (dense.steps, sparse.steps) == (100, 0)


def test_where_a_run_tells_what_training_took_an_analysis_beside_it_does_not_count():
    told = [0.2, 0.3, 0.4, 0.7, 0.8]  # of every stretch, whatever else was going on in it
    measured = [entry | {"training_seconds": seconds} for entry, seconds in zip(MEASURED, told)]
    dense, sparse = pace.paces(EVENTS, measured, one_cut=True)
    assert (dense.steps, dense.seconds) == (200, pytest.approx(0.4))
    assert (sparse.steps, sparse.seconds) == (150, pytest.approx(0.4))


def test_a_run_that_is_sparse_at_once_has_no_dense_steps():
    dense, sparse = pace.paces(EVENTS, MEASURED, one_cut=False)
    assert (dense.steps, sparse.steps) == (0, 250)


def test_what_prunes_while_it_trains_is_dense_until_it_has_a_mask():
    events = [started(0), stepped(0, 100, density=1.0), stepped(0, 200), started(1), stepped(1, 60, density=1.0)]
    measured = [{"events": count, "seconds": float(count)} for count in (2, 3, 5)]
    dense, sparse = pace.paces(events, measured, one_cut=False)
    assert (dense.steps, sparse.steps) == (160, 100)


def test_of_a_few_steps_no_pace_is_told():
    assert Pace(pace.LEAST - 1, 1.0).milliseconds is None
    assert pace.paces([], [], one_cut=True)[0].milliseconds is None


def cost(**fields):
    state = {"weights": 1000, "masks": 100, "anchors": 900, "buffer": 0, "optimiser": 5, "activations": 5}
    return {"train_flops": 4e8, "train_flops_dense_sgd": 8e8, "state_bytes": state, **fields}


def test_shares_are_of_the_dense_network():
    found = {share.name: share.of_dense for share in remaining.shares(cost(), 2500, Pace(100, 0.3), Pace(100, 0.2))}
    assert found == pytest.approx({"flops": 0.5, "weights": 0.1, "kept": 0.2, "time": 1.5})


def test_what_is_not_known_is_left_out():
    bare = dict.fromkeys(cost()["state_bytes"])
    assert remaining.shares(cost(train_flops=None, state_bytes=bare), 2500, None, None) == []
    untimed = remaining.shares(cost(), 2500, Pace(3, 1.0), Pace(100, 0.2))
    assert [share.name for share in untimed] == ["flops", "weights", "kept"]


def test_forms_of_storage_break_even_where_the_notes_say():
    forms = remaining.storage(1_000_000, np.array([0.0, 0.5, 0.9, 0.99]))
    assert forms["dense"].tolist() == [4e6] * 4
    assert forms["indexed"] == pytest.approx([8e6, 4e6, 0.8e6, 0.08e6])
    assert forms["bits"] == pytest.approx([4.125e6, 2.125e6, 0.525e6, 0.165e6])


def share(name, of_dense):
    return Share(name, name, of_dense, 1.0, "told")


def test_the_answer_says_what_fell_and_where_nothing_is_saved():
    finding = savings.finding([share("flops", 0.18), share("kept", 0.37), share("time", 1.19)], 0.1)
    assert finding.true == {"flops"}
    assert "18\u00a0%" in finding.said[0]
    assert "**Nothing is saved**" in finding.said[2]
    assert finding.against == ""
    assert savings.finding([share("flops", 0.48), share("time", 1.0)], 0.1).true == {"none"}


def test_more_kept_than_a_dense_network_is_said():
    assert "take more than the cut has freed" in savings.finding([share("kept", 2.0)], 0.1).said[0]
    assert "only once it has been trained" in savings.finding([share("flops", 1.02)], 0.1).said[0]


def test_a_masked_step_that_was_faster_is_not_believed():
    assert "other numbers" in savings.finding([share("time", 0.5)], 0.1).against
    assert "not known of these runs" in savings.finding([share("flops", 0.5)], 0.1).said[-1]
    assert savings.finding([], 0.1).true == frozenset()


def test_the_figures():
    found = [share("flops", 0.48), Share("time", "ms", 1.19, 1.0, "told", measured=True)]
    drawing = drawn.remaining(found, 0.1)
    assert "flops 48\u00a0%; ms 119\u00a0%" in drawing["alt"]
    looks = [mark["at"]["class"] for mark in drawing["marks"] if mark["tag"] == "rect"]
    assert looks == ["bar pruned", "bar warm pale"]
    places = {mark["text"]: mark["at"]["x"] for mark in drawing["marks"] if mark["tag"] == "text"}
    whole = next(mark["at"]["x1"] for mark in drawing["marks"] if mark["at"].get("class") == "axis" and
                 mark["at"]["x1"] == mark["at"]["x2"] and mark["at"]["y2"] - mark["at"]["y1"] > 10)  # fmt: skip
    assert places["48\u00a0%"] < whole < places["119\u00a0%"]
    near = drawn.remaining([share("flops", 0.93)], 0.1)
    assert next(mark["at"]["x"] for mark in near["marks"] if mark.get("text") == "93\u00a0%") > near["width"] - 70 - 12
    assert all(len(fact["values"]) == len(savings.LEVELS) for fact in drawn.facts(1000, savings.LEVELS))
    assert "at 90.0\u00a0%" in drawn.forms(1000, savings.LEVELS, 11)["alt"]
