"""The Sparsity page beside its curves: what was recorded of the cuts, what is offered, what is compared."""

import contextlib
import json

import pytest
from pages_runs import record
from synthetic_run import comparison_arrays, exact_arrays

from app import analysing
from esacl.arrays import keep_arrays
from esacl.events import ArrayRecorded
from esacl.store import RunStore


@pytest.fixture
def store(tmp_path, monkeypatch, app):
    """An EsaCL run that recorded its cuts, and an older baseline that did not."""
    store = RunStore(tmp_path / "runs")
    record(store, method="ewc", sparsity=0.9)
    record(store, name="ours")
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    return store


def run_of(store, method):
    return next(run_id for run_id in store.ids() if method in run_id)


@pytest.fixture
def asked(monkeypatch):
    found = []
    monkeypatch.setattr(analysing.jobs, "analyse", lambda store, *about, owner: found.append(about))
    return found


def keep(store, run_id, name, arrays):
    keep_arrays(store.folder(run_id), ArrayRecorded(name=name, arrays=arrays))


def alts(at):
    protos = [element.proto for element in at.main if hasattr(element, "proto")]
    found = [json.loads(p.json) for p in protos if getattr(p, "component_name", "") == "esacl_drawings"]
    return " ".join(drawing["alt"] for data in found for drawing in data["drawings"])


def keys(at):
    return {button.key for button in at.button}


def test_what_was_recorded_moves_with_the_level(app, store):
    at = app("sparsity", run=run_of(store, "esacl"), sparsity="0.95")
    said = alts(at)
    for part in (
        "as a picture",
        "Weights by value",
        "Loss along the way",
        "The loss in the plane",
        "Density per layer",
    ):
        assert part in said, part
    assert "measure-cuts" not in keys(at)
    at.segmented_control(key="layer-2").set_value("body.2.weight").run()
    assert "The weights of body.2 as a picture" in alts(at)


def test_an_older_run_shows_what_it_has_and_offers_the_rest(app, store, asked):
    old = run_of(store, "ewc")
    at = app("sparsity", run=old)
    assert "as a picture" not in alts(at)
    assert "Weights before the cut" in alts(at)
    assert any("Which weights each level takes" in caption.value for caption in at.caption)
    at.button(key="measure-cuts").click().run()
    at.button(key="measure-compare").click().run()
    options = {"task": 2, "points": None}
    assert asked == [(old, "sparsity", options), (old, "sparsity", {**options, "compare": True})]


def test_rankings_are_compared_where_they_were_measured(app, store):
    ours = run_of(store, "esacl")
    keep(store, ours, "comparison-t2", comparison_arrays(store.array(ours, "sparsity-t2")))
    at = app("sparsity", run=ours)
    assert "measure-compare" not in keys(at)
    assert "second order" in alts(at)
    at.segmented_control(key="compare-2").set_value("allocations").run()
    at.segmented_control(key="with-saliencies-4").set_value("random").run()
    assert "ERK" in alts(at)
    assert not at.exception


def test_one_cut_is_evaluated_exactly_where_it_is_asked_for(app, store, asked):
    ours = run_of(store, "esacl")
    at = app("sparsity", run=ours, sparsity="0.93")
    number = at.number_input(key="exact-0.93")
    assert number.value == 93.0
    number.set_value(93.25).run()
    at.button(key="measure-exact").click().run()
    assert asked == [(ours, "sparsity", {"task": 2, "exact": 0.9325})]
    keep(store, ours, "exact-t2-93250", exact_arrays(0.9325, 3))
    at = app("sparsity", run=ours, sparsity="0.93")
    assert any("n = 300" in caption.value.replace("\\", "") for caption in at.caption)
    assert at.dataframe[0].value["images"].tolist() == [300]


@pytest.mark.parametrize("value", [100.0, -5.0, 1e9])
def test_a_cut_that_cannot_be_is_one_line_and_nothing_is_evaluated_in_its_place(app, store, asked, value):
    at = app("sparsity", run=run_of(store, "esacl"), sparsity="0.93")
    field = at.number_input(key="exact-0.93")
    assert not field.proto.has_min
    assert not field.proto.has_max
    field.set_value(value)
    at.button(key="measure-exact").click().run()
    assert not at.exception
    (line,) = [error.value.replace("\\", "") for error in at.error]
    assert line == f"{value:g} % cannot be removed; choose a number from 0 to 99.99."
    assert at.button(key="measure-exact").disabled
    assert not asked


def test_cuts_of_other_levels_are_not_mixed_with_the_curve(app, store):
    ours = run_of(store, "esacl")
    arrays = store.array(ours, "cuts-t2")
    keep(store, ours, "cuts-t2", {**arrays, "levels": arrays["levels"] * 0.99})
    at = app("sparsity", run=ours)
    assert "as a picture" not in alts(at)
    assert "measure-cuts" in keys(at)


def test_damaged_cuts_are_one_line(app, store):
    ours = run_of(store, "esacl")
    arrays = {name: array for name, array in store.array(ours, "cuts-t2").items() if name != "way"}
    keep(store, ours, "cuts-t2", arrays)
    at = app("sparsity", run=ours)
    assert not at.exception
    assert len(at.error) == 1
    assert "damaged" in at.error[0].value


def test_the_table_of_exact_cuts_is_read_in_chinese_and_kept_in_english(app, store):
    ours = run_of(store, "esacl")
    keep(store, ours, "exact-t2-93250", exact_arrays(0.9325, 3))
    at = app("sparsity", run=ours, sparsity="0.93", language="zh")
    table = next(one for one in at.dataframe if "images" in one.value)
    told = {name: column["label"] for name, column in json.loads(table.proto.columns).items() if "label" in column}
    assert list(table.value) == [
        "removed, %", "task 1, %", "task 2, %", "task 3, %", "mean, %", "points lost", "loss rise, nats", "images",
    ]  # fmt: skip
    assert told == {
        "removed, %": "剪掉，%", "task 1, %": "任务 1，%", "task 2, %": "任务 2，%", "task 3, %": "任务 3，%",
        "mean, %": "平均，%", "points lost": "损失的百分点", "loss rise, nats": "损失的上升，nat", "images": "图像数",
    }  # fmt: skip


def test_what_a_button_far_down_has_begun_is_followed_beneath_it(app, store, monkeypatch):
    ours = run_of(store, "esacl")
    at = app("sparsity", run=ours)
    with contextlib.ExitStack() as job:
        hold = lambda *about, owner: job.enter_context(store.workers.hold(ours))  # noqa: E731
        monkeypatch.setattr(analysing.jobs, "analyse", hold)
        at.button(key="measure-exact").click().run()
        order = [element.type for element in at.main]
        assert order.count("progress") == 1
        assert order.index("progress") > order.index("number_input")
        assert not at.button(key=f"cancel-{ours}").disabled
