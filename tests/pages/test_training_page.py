"""The Training page: a slider through the looks of a task, for runs that cut and runs that do not."""

import json

import pytest


def component(at):
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    found = [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_drawings"]
    return next(data for data in found if "scrub" in data)


def everything(at):
    return " ".join(str(element.value) for kind in (at.markdown, at.caption) for element in kind)


def test_the_slider_steps_through_the_looks_of_the_task_and_plays(app):
    at = app("training", run="esacl", task="2")
    scrub = component(at)["scrub"]
    assert scrub["names"][0] == "5 of 60 · epoch 1"
    assert scrub["names"][-1] == "60 of 60 · epoch 3"
    assert scrub["local"]
    assert scrub["play"]["interval"] > 0
    assert scrub["marked_label"] == "after the cut"
    assert len(component(at)["drawings"]) == 5
    assert "flips" in everything(at)


def test_a_run_without_a_cut_has_no_mask_to_show(app):
    at = app("training", run="dense")
    assert "no mask that could move" in everything(at)
    assert component(at)["scrub"]["marked"] is None


def test_all_tasks_at_once_are_one_task(app):
    assert not app("training", run="joint").exception


@pytest.mark.parametrize("kind", ["unmeasured", "esacl"])
def test_sharpness_is_shown_where_it_was_measured(app, kind):
    headers = [header.value for header in app("training", run=kind).header]
    assert ("Sharpness, task after task" in headers) == (kind == "esacl")


def test_the_marks_of_the_sharpness_have_their_key(app):
    at = app("training", run="esacl")
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    found = [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_drawings"]
    key, drawing = next(data["drawings"] for data in found if "scrub" not in data)
    assert key["alt"] == "Circle: dense; Diamond: pruned; Square: pruned, survivors only"
    assert "before and after the cut" in drawing["alt"]
