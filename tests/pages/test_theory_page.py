"""The theory page: the lesson stands without a run, and no answer is shown before the reader has predicted."""

import json

import numpy as np
import pytest
from pages_runs import record
from test_pages import everything, said

from app import frames, reading, trust
from app.experiments import bounds
from esacl.arrays import keep_arrays
from esacl.events import ArrayRecorded
from esacl.store import RunStore

LEVELS = 25  # of a synthetic run: 24 and its own


def given(at, component):
    """What a component was given, once for each time it stands on the page."""
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    return [json.loads(proto.json) for proto in protos if getattr(proto, "component_name", "") == component]


def answer(at, start, option):
    """Choose an option of the question whose key starts so, and commit to it."""
    radio = next(one for one in at.radio if one.key.startswith(f"ask-{start}"))
    radio.set_value(option).run()
    key = radio.key.removeprefix("ask-")
    return at.button(key=f"commit-{key}").click().run()


def drawn(at):
    """The titles of the figures of the run."""
    titles = []
    for data in given(at, "esacl_drawings"):
        for drawing in data["drawings"]:
            titles += [mark["text"] for mark in drawing["marks"] if mark["at"].get("class") == "title"][:1]
    return titles


def curve_of(runs, kind="esacl", task=2):
    entry = next(entry for entry in reading.entries() if entry.run_id == runs[kind])
    return frames.sparsity(reading.arrays(entry, f"sparsity-t{task}"))


def test_the_lesson_needs_no_run(app, monkeypatch, tmp_path):
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "empty"))
    at = app("theory")
    assert [header.value[:2] for header in at.header] == ["1.", "2.", "3.", "4.", "5.", "6.", "7."]
    assert len(given(at, "esacl_two_weights")) == 4
    assert said(at) == ["There is no run yet: start one on the Run page, or with `esacl run`."]


def test_the_direction_is_predicted_before_its_figure_is_seen(app):
    at = app("theory", run="esacl")
    keys = [data["key"] for data in given(at, "esacl_two_weights")]
    assert "two-weights-direction" not in keys
    assert "1.08" not in everything(at)
    at = answer(at, "lesson-direction", "long")
    assert "two-weights-direction" in [data["key"] for data in given(at, "esacl_two_weights")]
    assert "It is the other way. The long step costs ½ · 0.06 · 2² = **0.12**" in everything(at)
    assert "= **1.08**" in everything(at)
    at = app("theory", run="esacl")
    assert "As you said. The long step" in everything(answer(at, "lesson-direction", "short"))


def test_nothing_of_the_run_is_given_away(app):
    at = app("theory", run="esacl")
    assert drawn(at) == ["true rise of the loss, nats"]
    assert len(at.radio) == 2, "the question on all levels comes after the one on this level"


def test_the_furthest_is_told_from_the_data_of_the_run(app, runs):
    at = app("theory", run="esacl", sparsity="0.95")
    question = next(radio for radio in at.radio if radio.key.startswith("ask-lesson-furthest"))
    curve = curve_of(runs)
    index = int((curve["level"] - 0.95).abs().argmin())
    assert f"{100 * curve['level'].iloc[index]:.1f}\u00a0%" in question.label
    assert question.options == ["Taylor", "path integral", "output bound", "λ bound"]
    at = answer(at, "lesson-furthest", "taylor")
    assert trust.furthest(curve, index, ["taylor", "path_integral", "lambda_bound"]) == "lambda_bound"
    assert "It is another: **λ bound** says" in everything(at)
    assert drawn(at) == ["true rise of the loss, nats", "rise of the loss at this level"]
    again = answer(app("theory", run="esacl", sparsity="0.95"), "lesson-furthest", "lambda_bound")
    assert "As you said: **λ bound** says" in everything(again)


@pytest.mark.parametrize(("option", "verdict"), [("output_bound", "As you said."), ("several", "Not so.")])
def test_what_never_falls_short_is_told_from_the_data_of_the_run(app, runs, option, verdict):
    known = trust.records(curve_of(runs))
    assert {name for name, record in known.items() if record.bounds} == {"output_bound"}
    assert bounds.finding(curve_of(runs), "relu").true == {"none"}, "Experiment 2 asks of the other four"
    at = answer(answer(app("theory", run="esacl"), "lesson-furthest", "taylor"), "lesson-bound", option)
    assert f"{verdict} Never below: **output bound**." in everything(at)
    assert drawn(at)[2:] == ["rise of the loss by the cut, nats (log)", "estimate over true rise (log)"]
    table = next(element.value for element in at.markdown if element.value.startswith("| estimate |"))
    counted, above = known["taylor"].levels, known["taylor"].above
    assert f"| Taylor | *below the truth* at {counted - above} of {counted} levels | *smallest factor* 0.882 |" in table
    assert "to 10⁻⁵ nats" in everything(at)
    assert "computes with ReLU, so none of the bounds is a theorem here" in everything(at)


@pytest.fixture
def own(app, monkeypatch, tmp_path):
    """A run whose sparsity curve a test may change: `own(rise_of_chosen=None)`."""

    def change(**arrays):
        store = RunStore(tmp_path / "own")
        run_id = record(store)
        kept = {**store.array(run_id, "sparsity-t2"), **arrays}
        kept = {name: values for name, values in kept.items() if values is not None}
        keep_arrays(store.folder(run_id), ArrayRecorded(name="sparsity-t2", arrays=kept))
        monkeypatch.setenv("ESACL_RUNS", str(store.root))
        return app("theory", run=run_id)

    return change


def test_a_run_without_the_truth_of_the_same_instances_is_one_line(own):
    at = own(rise_of_chosen=None)
    assert not at.exception
    assert said(at) == ["This run is older than the comparison: it kept no rise over the same instances."]


def test_an_estimate_that_was_not_taken_is_not_asked_about(own):
    at = own(output_bound=None, lambda_bound=np.full(LEVELS, np.nan))
    question = next(radio for radio in at.radio if radio.key.startswith("ask-lesson-furthest"))
    assert question.options == ["Taylor", "path integral"]
    at = answer(answer(at, "lesson-furthest", "taylor"), "lesson-bound", "none")
    assert not at.exception
    assert "As you said. Never below: **none**." in everything(at)


def test_a_run_that_cuts_nothing_has_nothing_to_compare(own):
    at = own(displacement_norm=np.zeros(LEVELS))
    at = answer(answer(at, "lesson-furthest", "taylor"), "lesson-bound", "none")
    assert not at.exception
    assert "there is nothing to compare" in everything(at)


def test_a_curve_that_was_not_recorded_is_said_after_the_lesson(app):
    at = app("theory", run="no arrays")
    assert said(at)[0].startswith("The sparsity curve of task 3 has not been recorded")
    assert len(given(at, "esacl_two_weights")) == 4
