"""The six experiments: no answer before the prediction, one from the data after it, and calm where data lack."""

import json

import pytest
from pages_runs import KINDS, MAIN
from streamlit.testing.v1 import AppTest
from test_pages import drawings, everything, said

from app import reading, series
from app.experiments import EXPERIMENTS
from app.language import text
from esacl.errors import RunUnreadable

NUMBERS = tuple(EXPERIMENTS)
VERDICTS = ("It came out", "These data cannot tell")


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """Opens an experiment on the runs that come with the project."""
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "none"))

    def open_page(number: str) -> AppTest:
        at = AppTest.from_file(MAIN, default_timeout=60)
        at.query_params["experiment"] = number
        return at.run().switch_page("../pages/experiments.py").run()

    return open_page


def answered(at) -> bool:
    return any(verdict in everything(at) for verdict in VERDICTS)


def commit(at, place: int = 0) -> AppTest:
    at.radio[0].set_value(at.radio[0].options[place]).run()
    assert not answered(at), "choosing is not committing"
    return next(button for button in at.button if button.key.startswith("commit-")).click().run()


@pytest.mark.parametrize("number", NUMBERS)
def test_there_is_no_answer_before_the_prediction_and_one_after(app, number):
    at = app("experiments", run="esacl", experiment=number)
    assert [header.value for header in at.header] == [text(EXPERIMENTS[number].question)]
    assert len(at.radio) == 1
    assert not answered(at)
    before = len(drawings(at))
    at = commit(at)
    assert not at.exception
    assert not at.error
    assert answered(at)
    assert not at.radio
    assert len(drawings(at)) > before
    assert any(button.key.startswith("again-") for button in at.button)


@pytest.mark.parametrize("number", NUMBERS)
def test_asking_again_takes_the_answer_away(app, number):
    at = commit(app("experiments", run="esacl", experiment=number))
    at = next(button for button in at.button if button.key.startswith("again-")).click().run()
    assert len(at.radio) == 1
    assert at.radio[0].value is None
    assert not answered(at)


@pytest.mark.parametrize("kind", [*KINDS, "failed", "lost", "bad arrays", "no arrays"])
@pytest.mark.parametrize("number", NUMBERS)
def test_every_experiment_is_calm_whatever_the_run_lacks(app, number, kind):
    at = app("experiments", run=kind, experiment=number)
    assert not at.exception
    assert not any("cannot be drawn" in line for line in said(at))
    assert any(expander.label == "For the teacher" for expander in at.expander)
    if at.radio:
        at = commit(at)
        assert not at.exception
        assert not any("cannot be drawn" in line for line in said(at))


@pytest.mark.parametrize("asked", ["9", "0", "nope", "<script>alert(1)</script>", "x" * 3000])
def test_an_experiment_that_is_not_there_is_one_line_and_the_first_is_shown(app, asked):
    at = app("experiments", run="esacl", experiment=asked)
    assert not at.exception
    assert not at.error
    assert said(at)[0].startswith("There is no experiment")
    assert len(said(at)[0]) < 120
    assert at.header[0].value == text(EXPERIMENTS["1"].question)


def test_the_choice_goes_into_the_link(app):
    at = app("experiments", run="esacl")
    control = at.main.get("button_group")[0]
    control.set_value("3").run()
    assert at.query_params["experiment"] == "3"
    assert at.header[0].value == text(EXPERIMENTS["3"].question)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_notes_are_whole(app, number):
    notes = EXPERIMENTS[number].notes
    assert sum(int(minutes) for minutes, _ in notes.script) == 10
    assert len(notes.misconceptions) >= 3
    at = app("experiments", run="esacl", experiment=number)
    shown = " ".join(str(part.value) for part in at.expander[0].markdown)
    for part in (notes.aim, notes.ask, notes.own_data, notes.exercise, notes.answer):
        assert text(part) in shown


def test_without_the_series_it_is_said(app, monkeypatch):
    def missing():
        raise RunUnreadable("The series has not been made")

    monkeypatch.setattr(series, "anchor_series", missing)
    at = app("experiments", run="esacl", experiment="5")
    assert not at.radio
    assert said(at) == ["The recorded series over anchor strengths is not there: this experiment needs it."]


def test_the_series_says_what_was_run(app):
    at = commit(app("experiments", run="esacl", experiment="5"))
    assert "EsaCL on split digits in task-IL at 98\u00a0% sparsity, n = 3 seeds" in everything(at)
    assert "Distillation, which the defaults add, is off" in everything(at)


def test_a_run_without_another_of_its_kind_is_told_what_the_other_must_have(app):
    at = app("experiments", run="joint", experiment="1")
    assert "the same benchmark, scenario and number of tasks; this one has 2 tasks" in said(at)[0]


def test_a_dense_run_saves_nothing(app):
    assert "cuts nothing" in said(app("experiments", run="dense", experiment="6"))[0]


def test_a_name_with_markup_stays_text_in_the_answer(app):
    at = commit(app("experiments", run="esacl", experiment="1"))
    for element in [*at.markdown, *at.caption]:
        assert "<b>" not in str(element.value)
        assert "![i]" not in str(element.value)


# The runs that come with the project: the answers hold their numbers.


def entry_of(method: str):
    return next(entry for entry in reading.entries() if entry.config and entry.config.method == method)


def test_the_recorded_pair_is_answered_by_its_curves(recorded):
    at = commit(recorded("1"), 1)
    curves = {method: reading.arrays(entry_of(method), "sparsity-t4") for method in ("esacl", "ewc")}
    shown = everything(at)
    for arrays in curves.values():
        mean = arrays["accuracy"].mean(axis=1)
        level = arrays["levels"][(mean[0] - mean >= 0.05).argmax()]
        assert f"**{100 * level:.1f}\u00a0%** removed" in shown
    assert "It came out as you predicted." in shown
    assert "through the dense and the pruned point" in json.dumps(drawings(at))


def test_the_recorded_bound_is_counted(recorded):
    at = commit(recorded("2"))
    arrays = reading.arrays(entry_of("esacl"), "sparsity-t4")
    cut = arrays["displacement_norm"] > 0
    held = int((arrays["taylor"][cut] >= arrays["rise_of_chosen"][cut] - 1e-5).sum())
    assert f"**Taylor** is not below the true rise at {held} of {int(cut.sum())} levels" in everything(at)


def test_the_recorded_selection_is_answered_by_its_estimates(recorded):
    at = commit(recorded("4"), 2)
    arrays = reading.arrays(entry_of("esacl"), "selection-t4")
    found = dict(zip(arrays["estimate_names"].tolist(), arrays["estimate_lambda_max"].tolist()))
    truth, hard = next(iter(found.values())), found["top-k"]
    assert f"**{hard:.3g}**: {hard / truth:.3g} times the truth" in everything(at)
    assert "It came out as you predicted." in everything(at)


def test_the_recorded_savings_are_counted_and_timed(recorded):
    at = commit(recorded("6"), 3)
    shown = everything(at)
    cost = reading.summary(entry_of("esacl"))["cost"]
    assert f"{100 * cost['train_flops'] / cost['train_flops_dense_sgd']:.0f}\u00a0% of dense SGD's" in shown
    assert "a step at sparse weights took" in shown
    assert "It came out as you predicted." in shown
