"""The Selection page: what each way of choosing takes, of today's recordings and of older ones."""

import json
import re

import numpy as np
import pytest
from pages_runs import record
from test_pages import everything, said

from app import analysing
from esacl.arrays import keep_arrays
from esacl.events import ArrayRecorded
from esacl.store import RunStore

NEW = ("el2n", "way_names", "way_chosen", "way_weight", "map", "map_name", "map_trust", "estimate_each")


def given(at):
    """What the component was given that selects instances."""
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    found = [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_drawings"]
    return next(data for data in found if "linked" in data)


@pytest.fixture
def older(monkeypatch, tmp_path):
    """A run whose selection was recorded before there were maps."""
    store = RunStore(tmp_path / "older")
    run_id = record(store)
    arrays = store.array(run_id, "selection-t2")
    kept = {name: np.asarray(array) for name, array in arrays.items() if name not in NEW}
    keep_arrays(store.folder(run_id), ArrayRecorded(name="selection-t2", arrays=kept))
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    return run_id


def commit(at, run: str, answer: str):
    """Answer the question of the page."""
    at.radio(key=f"ask-experiment-4-{run}").set_value(answer).run()
    return at.button(key=f"commit-experiment-4-{run}").click().run()


def test_what_the_highest_scores_tell_is_predicted_before_it_is_shown(app, runs):
    at = app("selection", run="esacl")
    before = given(at)
    assert "signed bias of λₘₐₓ" not in {fact["label"] for fact in before["scrub"]["facts"]}
    assert len(before["drawings"]) == 5
    assert not re.search(r"Hard examples are biased|truth", everything(at) + json.dumps(before))
    commit(at, runs["esacl"], "small")
    assert len(given(at)["drawings"]) == 6
    words = everything(at)
    assert "It came out otherwise: Too large by more than a quarter" in words
    assert "Hard examples are biased" in words
    at = at.switch_page("../pages/experiments.py")
    at.query_params["experiment"] = "4"
    assert "You predicted: **Too small by more than a quarter**" in everything(at.run())  # one question, asked once


def test_every_way_can_be_looked_at_without_the_server(app, runs):
    data = given(commit(app("selection", run="esacl"), runs["esacl"], "large"))
    assert data["scrub"]["names"] == ["IDS", "random", "EL2N", "top-k"]
    assert data["scrub"]["local"]
    assert [drawing.get("lasso", False) for drawing in data["drawings"]] == [True, True, False, False, False, False]
    assert all(len(drawing["alts"]) == 4 for drawing in data["drawings"])
    facts = {fact["label"]: fact["values"] for fact in data["scrub"]["facts"]}
    assert facts["signed bias of λₘₐₓ"] == ["+5\u00a0%", "+20\u00a0%", "+233\u00a0%", "+264\u00a0%"]
    assert facts["instances taken"] == ["20 of 80"] * 4
    assert len(data["linked"]["weights"]) == 4


def test_the_page_says_why_hard_examples_mislead(app, runs):
    words = everything(commit(app("selection", run="esacl"), runs["esacl"], "large"))
    assert "It came out as you predicted." in words
    assert "Hard examples are biased" in words
    assert "Gauss–Newton" in words


def test_an_older_recording_shows_what_it_has_and_offers_the_rest(app, older, monkeypatch):
    asked = []
    monkeypatch.setattr(analysing.jobs, "analyse", lambda store, *about, owner: asked.append(about))
    monkeypatch.setattr(analysing, "possible", lambda entry, task: True)
    at = app("selection", run=older)
    assert not at.error
    data = given(at)
    assert data["scrub"]["names"] == ["IDS", "top-k"]
    assert len([drawing for drawing in data["drawings"] if drawing.get("lasso")]) == 1
    assert "neither a nonlinear map" in everything(at)
    at.button(key="measure-now").click().run()
    assert asked == [(older, "selection", {"task": 2})]


def test_a_run_without_estimates_shows_the_maps_all_the_same(app, monkeypatch, tmp_path):
    store = RunStore(tmp_path / "plain")
    run_id = record(store)
    arrays = store.array(run_id, "selection-t2")
    kept = {name: array for name, array in arrays.items() if not name.startswith("estimate")}
    keep_arrays(store.folder(run_id), ArrayRecorded(name="selection-t2", arrays=kept))
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    data = given(app("selection", run=run_id))
    assert len(data["drawings"]) == 5


def test_a_map_that_does_not_fit_is_one_line(app, monkeypatch, tmp_path):
    store = RunStore(tmp_path / "damaged")
    run_id = record(store)
    arrays = dict(store.array(run_id, "selection-t2"))
    arrays["map"] = arrays["map"][:7]
    keep_arrays(store.folder(run_id), ArrayRecorded(name="selection-t2", arrays=arrays))
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    at = app("selection", run=run_id)
    assert not at.exception
    assert "the map t-SNE has another shape" in said(at)[0]
