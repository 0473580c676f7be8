"""The words of the Forgetting page that hang on the run."""

import json

import pytest
from pages_runs import record
from test_pages import drawings, everything, said

from app import series
from esacl.store import RunStore


@pytest.mark.parametrize(("kind", "floor"), [("esacl", "50\u00a0%"), ("class", "17\u00a0%")])
def test_the_shade_begins_at_guessing(app, kind, floor):
    at = app("forgetting", run=kind)
    assert any(f"from guessing, {floor}, to 100 %" in caption.value for caption in at.caption)


def test_the_shade_follows_what_the_network_is_told(app):
    at = app("forgetting", run="class")
    at.toggle(key="task-known").set_value(True).run()
    assert any("from guessing, 50\u00a0%, to 100 %" in caption.value for caption in at.caption)


def test_the_reader_learns_where_tasks_count_from(app):
    captions = [caption.value for caption in app("forgetting", run="esacl").caption]
    assert any("`--task` and the files of a run count them from 0" in caption for caption in captions)


def stepped(at, label):
    """What the component was given whose slider has this label."""
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    found = [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_drawings"]
    return next((data for data in found if data.get("scrub", {}).get("label") == label), None)


def test_the_anchor_is_moved_without_the_server(app):
    data = stepped(app("forgetting", run="esacl"), "Strength of the anchor")
    steps = len(data["scrub"]["names"])
    assert steps >= 7
    assert data["scrub"]["names"][0] == "0"
    assert data["scrub"]["local"]
    assert all(len(fact["values"]) == steps for fact in data["scrub"]["facts"])
    assert [len(drawing["alts"]) for drawing in data["drawings"]] == [steps] * 3


def test_a_series_that_is_not_there_is_a_calm_line(app, monkeypatch, tmp_path):
    for name in ("anchor_series", "finetune_series"):
        read = getattr(series, name)
        monkeypatch.setattr(series, name, lambda read=read: read(tmp_path))
    at = app("forgetting", run="esacl")
    assert not at.exception
    assert not at.error
    assert [line for line in said(at) if "has not been made" in line] == said(at)
    assert len(said(at)) == 2


@pytest.mark.parametrize(("view", "drawn"), [("mean", 2), ("tasks", 4), ("methods", 2)])
def test_methods_stand_side_by_side_in_their_colours(app, view, drawn):
    at = app("forgetting", run="esacl")
    at.segmented_control(key="side-by-side-3").set_value(view).run()
    assert not at.exception
    first = [d["alt"] for d in drawings(at)]
    shown = [d for d in drawings(at) if "Key:" in d["alt"] or "over the" in d["alt"]]
    assert len(shown) >= drawn, first
    looks = " ".join(mark["at"].get("class", "") for drawing in shown for mark in drawing["marks"])
    assert "esacl" in looks
    assert "ewc" in looks


def test_a_name_stands_below_its_method_and_not_over_the_title_of_the_axis(app):
    at = app("forgetting", run="esacl")
    at.segmented_control(key="side-by-side-3").set_value("methods").run()
    shown = [d for d in drawings(at) if d["alt"].startswith("EsaCL, ")]
    assert shown
    for drawing in shown:
        written = [mark for mark in drawing["marks"] if mark["tag"] == "text"]
        (name,) = (mark["at"]["y"] for mark in written if "EsaCL" in mark["text"])
        axis = [m["at"]["y"] for m in written if m["at"]["class"] in ("title", "tick")]
        assert max(axis) < name < drawing["height"]


def test_a_run_alone_has_nobody_beside_it(app):
    assert "No other finished run" in everything(app("forgetting", run="joint"))


def test_zero_in_class_il_is_explained_with_the_numbers_of_real_runs(app):
    words = everything(app("forgetting", run="esacl"))
    assert "no example of an earlier class is seen" in words
    assert "**0.0\u00a0%** on the earlier tasks" in words
    assert "mean of n = 3 seeds" in words


def test_fine_tuning_in_class_il_is_explained_with_its_own_numbers(app, monkeypatch, tmp_path):
    store = RunStore(tmp_path / "tuned")
    run_id = record(store, method="finetune", sparsity=0.0, scenario="class")
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    words = everything(app("forgetting", run=run_id))
    assert "This run." in words
    assert "no example of an earlier class is seen" in words
    assert "**88.9\u00a0%** on the earlier tasks" in words


@pytest.mark.parametrize("switch", [{"mask_logits": True}, {"balance_logits": 1.0}])
def test_fine_tuning_with_weighed_logits_is_not_what_is_explained(app, monkeypatch, tmp_path, switch):
    store = RunStore(tmp_path / "tuned")
    run_id = record(store, method="finetune", sparsity=0.0, scenario="class", **switch)
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    assert "This run." not in everything(app("forgetting", run=run_id))
