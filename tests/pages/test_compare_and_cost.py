"""The Compare page groups seeds and never mixes problems; the Cost page itemises what it can."""

import json

import pytest
from pages_runs import record
from synthetic_run import synthetic_config, synthetic_events
from test_pages import drawings, everything, said

from app import beside, comparison, reading
from esacl.records import RunRecord, Status
from esacl.store import RunStore
from esacl.summary import summarise


@pytest.fixture
def seeds(app, monkeypatch, tmp_path):
    """Three seeds of EsaCL, two of EWC, one run in another scenario."""
    store = RunStore(tmp_path / "seeds")
    for seed in range(3):
        record(store, seed=seed)
    for seed in range(2):
        record(store, seed=seed, method="ewc")
    record(store, scenario="class")
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    return app


def test_seeds_are_one_method_and_other_problems_are_left_out(seeds):
    at = seeds("compare", run=next(e.run_id for e in reading.entries() if e.config.scenario == "task"))
    assert at.multiselect[0].options == ["EsaCL, 90\u00a0% (n = 3)", "EWC, dense (n = 2)"]
    table = at.dataframe[0].value
    assert table["n"].tolist() == ["3", "2"]
    assert "±" in table["ACC, %"][0]
    columns = json.loads(at.dataframe[0].proto.columns)
    assert {columns[name].get("alignment") for name in table if name != "method"} == {"right"}
    assert "alignment" not in columns["method"]
    assert {frame.proto.placeholder for frame in at.dataframe} == {"–"}
    transfer = " ".join(table["BWT"])
    assert "−" in transfer  # a minus, which here some have
    assert "-" not in transfer
    assert len(at.selectbox(key=next(b.key for b in at.selectbox if b.key.startswith("family"))).options) == 2
    assert [toggle.key for toggle in at.toggle] == ["_large"]


def test_a_run_that_nobody_can_sum_up_stops_no_page_about_another(seeds, monkeypatch):
    found = [entry.run_id for entry in reading.entries() if entry.config.scenario == "task"]

    def sum_up(run):
        if run.run_id == found[1]:
            raise TypeError("nobody thought of it")
        return summarise(run)

    monkeypatch.setattr(reading, "summarise", sum_up)
    for page in ("compare", "cost", "start"):
        at = seeds(page, run=found[0])
        assert not at.exception
        assert "cannot be drawn" not in " ".join(said(at))
    told = f"A run is left out: run {found[1]} cannot be summed up (TypeError); the log of the server says more."
    assert told in said(seeds("compare", run=found[0]))


def test_methods_can_be_left_out_and_the_axis_changed(seeds):
    at = seeds("compare", run=next(e.run_id for e in reading.entries() if e.config.scenario == "task"))
    at.multiselect[0].unselect(at.multiselect[0].value[1]).run()
    assert len(at.dataframe[0].value) == 1
    at.button_group[0].set_value("memory").run()
    assert "bytes kept between tasks" in drawings(at)[0]["alt"]
    assert drawings(at)[0]["save"] == "esacl-split-digits-task-memory"
    at.multiselect[0].set_value([]).run()
    assert said(at) == ["Choose at least one method above."]
    assert not at.exception


def test_methods_that_were_not_given_the_same_are_told_of(app, monkeypatch, tmp_path):
    store = RunStore(tmp_path / "unequal")
    record(store)
    record(store, method="er", epochs=1)
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    at = app("compare")
    assert said(at) == ["These methods were not given the same: epochs 3, 1."]
    table = at.dataframe[0].value
    assert table["method"].tolist() == ["EsaCL, 90\u00a0%, epochs=3", "ER, 200 images, dense, epochs=1"]
    assert not {"buffer", "logits"} & set(table)  # they are in the name
    assert said(app("cost")) == []


def test_a_mean_over_runs_of_several_versions_is_told_of(app, monkeypatch, tmp_path):
    store = RunStore(tmp_path / "versions")
    for seed in range(2):
        record(store, seed=seed)
        record(store, seed=seed, scenario="class")
    for entry in store.ids():
        path = store.folder(entry) / "machine.json"
        config = store.config(entry)
        if (config.scenario, config.seed) == ("task", 0):
            path.write_text(json.dumps({**json.loads(path.read_text()), "code": "0123abcd"}))
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    one = {entry.config.scenario: entry.run_id for entry in reading.entries()}
    assert "Means over runs of 2 versions" in everything(app("compare", run=one["task"]))
    assert "Means over runs" not in everything(app("compare", run=one["class"]))


def test_class_il_can_be_compared_with_the_task_known(seeds):
    at = seeds("compare", run=next(e.run_id for e in reading.entries() if e.config.scenario == "class"))
    before = drawings(at)[0]["alt"]
    at.toggle(key="task-known").set_value(True).run()
    assert drawings(at)[0]["alt"] != before


def test_nothing_finished_is_said(app, monkeypatch, tmp_path):
    store = RunStore(tmp_path / "none-finished")
    record(store, failure="the loss is no longer finite; lower lr")
    monkeypatch.setenv("ESACL_RUNS", str(store.root))
    assert said(app("compare")) == ["No run has finished yet: there is nothing to compare."]


def test_the_recorded_runs_fill_the_page_at_first_sight(app, monkeypatch, tmp_path):
    monkeypatch.setenv("ESACL_RUNS", str(tmp_path / "empty"))
    monkeypatch.setattr(reading, "RECORDED", reading.ASSETS)
    at = app("compare")
    assert len(at.dataframe[0].value) == 2
    assert {"mark esacl", "mark ewc"} <= {mark["at"].get("class") for mark in drawings(at)[0]["marks"]}
    at = at.switch_page("../pages/cost.py").run()
    assert not at.exception
    assert not at.error


def test_the_clock_is_compared_on_one_machine_and_for_equal_effort(seeds):
    record(reading.own_runs(), method="er", epochs=1)
    at = seeds("cost", run=next(e.run_id for e in reading.entries() if e.config.method == "ewc"))
    time, memory = drawings(at)[-2:]
    assert time["alt"].startswith("seconds of training: this run ")
    assert memory["alt"].startswith("most memory, measured: this run ")
    looks = [mark["at"]["class"] for mark in time["marks"] if mark["tag"] == "rect"]
    assert looks == ["bar ewc", "bar esacl"]  # and none of ER, which had fewer epochs
    assert all("EsaCL, 90\u00a0% " in drawing["alt"] for drawing in (time, memory))
    alone = seeds("cost", run=next(e.run_id for e in reading.entries() if e.config.scenario == "class"))
    assert "No other method has finished the same problem on this machine" in everything(alone)


@pytest.mark.parametrize("other", [
    {"hardware": {"cpu": "B"}}, {"hardware": {"cpu": "A", "processes": 2}}, {"hardware": {"cpu": "A", "cores": 4}},
])  # fmt: skip
def test_no_clock_of_another_machine_stands_beside(other):
    def summarised(run_id, machine, **fields):
        config = synthetic_config(**fields)
        record = RunRecord(run_id, config, Status("finished"), tuple(synthetic_events(config)), (), machine)
        return summarise(record)

    here = {"hardware": {"cpu": "A"}}
    runs = [summarised("own", here), summarised("ewc", here, method="ewc"), summarised("er", other, method="er")]
    assert [group.method for group in beside.fair(comparison.groups(runs), "own")] == ["esacl", "ewc"]
    assert beside.fair(comparison.groups(runs), "gone") == []


def test_a_bill_is_itemised_and_an_old_run_says_that_it_is_not(app):
    at = app("cost", run="esacl")
    assert [d["alt"].partition(":")[0] for d in drawings(at)] == [
        "FLOPs of training", "for what", "in which layer", "kept between tasks", "for what",
        "seconds of training", "most memory, measured",
    ]  # fmt: skip
    old = app("cost", run="ewc")
    assert "Not itemised" in everything(old)
    assert len(drawings(old)) == 5
    assert at.metric[4].value != "–"
