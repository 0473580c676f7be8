"""Where FLOPs and bytes go: sums, and what others would cost by hand."""

import json

import pytest
from synthetic_run import synthetic_config, synthetic_events
from tiny_runs import events_of, tiny

from app import bills
from app.figures import costs
from app.wording import number, size
from esacl import consolidation, summary
from esacl.records import RunRecord, Status


def cost_of(config, events):
    return summary.summarise(RunRecord("x", config, Status("finished"), tuple(events), (), {}))["cost"]


@pytest.fixture
def cost(config, events):
    return cost_of(config, events)


def test_the_items_are_those_of_the_bill_and_sum_to_it(cost):
    assert tuple(bills.ITEMS) == summary.BILL
    assert sum(bar.value for bar in bills.items(cost)) == cost["train_flops"]
    assert sum(bar.value for bar in bills.layers(cost)) == cost["train_flops"]
    assert [bar.name for bar in bills.layers(cost)] == ["body.0", "body.2", "head"]
    products = bills.layers({**cost, "train_flops": cost["train_flops"] + 100e6})[-1]
    assert (products.name, products.value) == ("Hessian-vector products", 100e6)


def test_a_run_without_a_bill_has_no_items():
    config = synthetic_config(method="ewc")
    cost = cost_of(config, synthetic_events(config))
    assert bills.items(cost) == bills.layers(cost) == []


def test_rivals_are_computed_from_what_the_run_counted(cost, events):
    assert (consolidation.FISHER_BATCHES, consolidation.FISHER_BATCH_SIZE) == bills.FISHER_EXAMPLES
    found = {bar.name: bar for bar in bills.rivals(cost, events)}
    dense = 3 * 3.1e8
    assert found["this run"].value == cost["train_flops"]
    assert found["dense SGD"].value == dense
    assert found["replay"].value == 2 * dense
    # 3 tasks of 250 images for 3 epochs; each Fisher takes 12 batches of 32
    assert found["EWC"].value == pytest.approx(dense + 3 * 12 * 32 * dense / (3 * 250 * 3))
    assert [bar.computed for bar in found.values()] == [False, True, True, True]
    for bars in (bills.rivals(cost, events, "ewc"), bills.kept(cost, events, "ewc")):
        assert [bar.look for bar in bars if not bar.computed] == ["ewc"]


@pytest.mark.parametrize("scenario", ["task", "class"])
@pytest.mark.parametrize("network", ["mlp", "small-cnn"])
def test_ewc_is_billed_in_another_run_what_it_is_billed_itself(scenario, network):
    def bars(**fields):
        config = tiny({"scenario": scenario, "network": network, "sparsity": 0.0, **fields})
        events = events_of(config)
        return {bar.name: bar.value for bar in bills.rivals(cost_of(config, events), events)}

    itself = bars(method="ewc")
    assert bars(method="finetune")["EWC"] == pytest.approx(itself["this run"], rel=1e-12)
    assert itself["EWC"] == pytest.approx(itself["this run"], rel=1e-12)


def test_a_run_under_way_is_set_beside_the_tasks_that_were_counted(events):
    config = synthetic_config()
    first = [event for event in events if getattr(event, "task", 0) == 0 or type(event).__name__ == "TaskStarted"]
    found = {bar.name: bar.value for bar in bills.rivals(cost_of(config, first), first)}
    assert found["EWC"] == pytest.approx(3.1e8 * (1 + 12 * 32 / 750))


def test_bytes_stand_beside_three_times_the_weights(cost, events):
    found = {bar.name: bar.value for bar in bills.kept(cost, events)}
    assert found == {"this run": 720 + 225 + 1400, "dense SGD": 4 * 1800, "EWC": 3 * 4 * 1800}
    held = {**cost["state_bytes"], "buffer": 500}
    assert {bar.name: bar.value for bar in bills.kept({**cost, "state_bytes": held}, events)}["replay"] == 7700
    unknown = {**cost, "state_bytes": dict.fromkeys(held)}
    assert bills.kept(unknown, events) == bills.places(unknown) == []


def test_what_is_needed_only_while_training_is_pale(cost):
    pale = {bar.name for bar in bills.places(cost) if bar.look == "dense pale"}
    assert pale == {bills.PLACES["optimiser"], bills.PLACES["activations"]} & {bar.name for bar in bills.places(cost)}
    assert pale


def test_bars_say_shares_and_what_was_not_run(cost, events):
    rivals = bills.rivals(cost, events)
    drawing = costs.bars(rivals, "FLOPs", "FLOPs", number, against=rivals[1].value, against_name="dense SGD")
    json.dumps(drawing, allow_nan=False)
    pale = [mark for mark in drawing["marks"] if "pale" in mark["at"].get("class", "")]
    assert len(pale) == 3
    assert all(mark["tip"].endswith("computed, not run") for mark in pale)
    assert "replay 1.86·10⁹ (200\u00a0%)" in drawing["alt"]
    assert "share of dense SGD" in drawing["alt"]
    assert costs.bars([], "kept", "bytes", size)["alt"]


@pytest.mark.parametrize("small", [False, True])
def test_a_long_name_stays_in_its_figure_and_leaves_the_bars_as_they_were(small):
    one, other = (costs.bars([bills.Bar(name, 3.0)], "t", "u", size, small=small) for name in ("a", 40 * "long "))
    end = next(mark["at"]["x"] for mark in other["marks"] if mark.get("text") == 40 * "long ")
    assert end >= 200 * 6
    bar, wider = (next(m["at"]["width"] for m in d["marks"] if "bar" in m["at"].get("class", "")) for d in (one, other))
    assert wider == pytest.approx(bar)
    assert other["width"] > one["width"]


def test_the_bill_as_a_table_has_shares_of_the_whole(cost):
    frame = bills.as_frame(bills.items(cost), "FLOPs")
    assert frame["share, %"].sum() == pytest.approx(100, abs=0.1)
    assert frame.columns.tolist() == ["for", "FLOPs", "share, %"]
