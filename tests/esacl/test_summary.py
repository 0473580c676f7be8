import json

import pytest
from small_stream import CONFIG, TASKS, SmallStream

from esacl.config import RunConfig
from esacl.events import (
    CostCounted,
    CurvatureMeasured,
    Evaluated,
    Pruned,
    RunStarted,
    Selected,
    StatisticsRefreshed,
    TaskFinished,
)
from esacl.printing import result_text
from esacl.records import RunRecord, Status
from esacl.summary import BILL, accuracy_matrix, fields, summarise

# The names that others build on.
TOP = {
    "run", "status", "config", "accuracy_matrix", "average_accuracy", "learning_accuracy", "backward_transfer",
    "forgetting", "forward_transfer", "forward_transfer_reason", "accuracy_matrix_task", "pruning", "curvature",
    "selection", "cost", "versions", "hardware", "made_by",
}  # fmt: skip
PRUNING = {
    "task", "sparsity", "dense_accuracy", "pruned_accuracy", "actual_rise", "taylor", "path_integral",
    "output_bound", "lambda_bound", "displacement_norm", "network_norm", "removed_share", "flips",
}  # fmt: skip
CURVATURE = {
    "task", "point", "top_eigenvalues", "residuals", "products", "converged", "restricted", "relative_sharpness",
}  # fmt: skip
COST = {
    "train_flops", "train_flops_dense_sgd", "train_flops_published_rule", "analysis_flops", "examples_forward",
    "examples_backward", "seconds", "training_seconds", "peak_bytes", "state_bytes", "bill", "layers",
}  # fmt: skip
KINDS = {"weights", "masks", "anchors", "buffer", "optimiser", "activations"}


def record(config: RunConfig, *events, state: str = "finished", measured=(), machine=None) -> RunRecord:
    return RunRecord("20260101-000000-x", config, Status(state), events, measured, machine or {})


def evaluated(after: int, on: int, accuracy: float, task_known: float | None = None) -> Evaluated:
    return Evaluated(after=after, on=on, accuracy=accuracy, loss=0.0, accuracy_task=task_known, examples=1)


def matrix_events(matrix, untrained=()):
    yield from (evaluated(-1, on, accuracy) for on, accuracy in enumerate(untrained))
    for after, row in enumerate(matrix):
        yield from (evaluated(after, on, a, 1.0) for on, a in enumerate(row) if a is not None)


PRUNED = Pruned(
    task=0, sparsity=0.9, dense_accuracy=0.99, pruned_accuracy=0.98, actual_rise=0.02, taylor=0.01, path_integral=0.02,
    lambda_bound=3.0, displacement_norm=0.5, network_norm=9.0, removed_share=0.003, flips=7, estimate_taylor=0.01,
    estimate_lambda_max=4.0, full_lambda_max=5.0,
)  # fmt: skip
MEASURED = CurvatureMeasured(
    task=0, point="pruned", restricted=True, engine="lanczos", top_eigenvalues=(5.0, 2.0), residuals=(0.1, 0.2),
    products=12, converged=True, network_norm=9.0, relative_sharpness=405.0, examples=100, fraction=1.0,
)  # fmt: skip
SELECTED = Selected(task=0, purpose="landscape", score="el2n", fraction=0.25, pool=100, kept=25, array="selection-t0")
COUNTED = CostCounted(
    task=0, train_flops=6.0, train_flops_dense_sgd=5.0, train_flops_published_rule=1.0, analysis_flops=2.0,
    examples_forward=10, examples_backward=9, weights_bytes=1, masks_bytes=2, anchors_bytes=3, buffer_bytes=4,
    optimiser_bytes=5, activations_bytes=6,
)  # fmt: skip


def test_a_run_that_has_only_begun_has_every_name():
    summary = summarise(record(RunConfig(), state="loading"))
    assert summary.keys() >= TOP
    assert summary["status"] == "loading"
    assert summary["accuracy_matrix"] == []
    assert summary["average_accuracy"] is None
    assert summary["cost"].keys() == COST
    assert summary["cost"]["state_bytes"] == dict.fromkeys(KINDS)
    assert summary["versions"] is None


def test_the_names_of_what_was_measured():
    summary = summarise(record(RunConfig(tasks=1), PRUNED, MEASURED, SELECTED, COUNTED))
    assert summary["pruning"][0].keys() >= PRUNING
    assert summary["pruning"][0]["removed_share"] == 0.003
    assert summary["curvature"][0].keys() >= CURVATURE
    assert summary["curvature"][0]["top_eigenvalues"] == [5.0, 2.0]
    assert summary["selection"][0].keys() >= {"task", "score", "fraction", "pool", "kept"}
    assert summary["cost"].keys() == COST
    assert summary["cost"]["state_bytes"] == {
        "weights": 1, "masks": 2, "anchors": 3, "buffer": 4, "optimiser": 5, "activations": 6,
    }  # fmt: skip


@pytest.mark.parametrize("count", range(40))
def test_a_run_that_stopped_anywhere_is_json_without_nan(count):
    events = [event for event in list(SmallStream())[:count] if not hasattr(event, "tensors")]
    summary = summarise(record(CONFIG, *events, state="failed"))
    assert summary.keys() >= TOP
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_averages_wait_for_the_last_task():
    config = RunConfig(tasks=3)
    matrix = [[0.9], [0.8, 0.7]]
    summary = summarise(record(config, *matrix_events(matrix), state="running"))
    assert summary["accuracy_matrix"] == [[0.9, None, None], [0.8, 0.7, None]]
    assert summary["average_accuracy"] is None
    assert summary["forgetting"] is None
    assert summary["so_far"]["tasks"] == 2
    assert summary["so_far"]["average_accuracy"] == pytest.approx(0.75)
    assert summary["so_far"]["backward_transfer"] == pytest.approx(-0.1)
    whole = summarise(record(config, *matrix_events([*matrix, [0.6, 0.7, 0.8]])))
    assert whole["average_accuracy"] == pytest.approx(0.7)
    assert whole["learning_accuracy"] == pytest.approx(0.8)
    assert whole["backward_transfer"] == pytest.approx(-0.15)
    assert whole["forgetting"] == pytest.approx(0.15)


def test_a_row_that_is_half_evaluated_is_not_averaged():
    summary = summarise(record(RunConfig(tasks=2), *matrix_events([[0.9], [0.8]]), state="running"))
    assert summary["accuracy_matrix"] == [[0.9, None], [0.8, None]]
    assert summary["average_accuracy"] is None
    assert summary["so_far"]["average_accuracy"] is None


def test_joint_training_transfers_and_forgets_nothing():
    config = RunConfig(method="joint", tasks=2)
    summary = summarise(record(config, *matrix_events([[None, None], [0.9, 0.8]])))
    assert summary["accuracy_matrix"] == [[None, None], [0.9, 0.8]]
    assert summary["average_accuracy"] == pytest.approx(0.85)
    assert summary["backward_transfer"] is summary["forgetting"] is summary["forward_transfer"] is None
    assert "joint" in summary["forward_transfer_reason"]


@pytest.mark.parametrize(("scenario", "reason"), [("task", "task-IL"), ("class", "class-IL")])
def test_forward_transfer_tells_why_it_is_undefined(scenario, reason):
    full = [[0.9, 0.5], [0.8, 0.7]]
    summary = summarise(record(RunConfig(tasks=2, scenario=scenario), *matrix_events(full, (0.5, 0.5))))
    assert summary["forward_transfer"] is None
    assert reason in summary["forward_transfer_reason"]


def test_forward_transfer_in_domain_il():
    config = RunConfig(tasks=2, scenario="domain")
    summary = summarise(record(config, *matrix_events([[0.9, 0.6], [0.8, 0.7]], (0.4, 0.5))))
    assert summary["forward_transfer"] == pytest.approx(0.1)
    assert summary["forward_transfer_reason"] is None
    holes = summarise(record(config, *matrix_events([[0.9], [0.8, 0.7]], (0.4, 0.5))))
    assert holes["forward_transfer"] is None
    assert "not evaluated" in holes["forward_transfer_reason"]


def test_class_il_has_the_same_logits_with_the_task_known():
    events = list(matrix_events([[0.5], [0.4, 0.3]]))
    summary = summarise(record(RunConfig(tasks=2, scenario="class"), *events))
    assert summary["accuracy_matrix_task"] == [[1.0, None], [1.0, 1.0]]
    assert summarise(record(RunConfig(tasks=2), *events))["accuracy_matrix_task"] is None


def test_the_bill_is_told_where_there_is_one():
    assert summarise(record(RunConfig(), COUNTED))["cost"]["bill"] is None
    assert summarise(record(RunConfig(), COUNTED))["cost"]["layers"] is None
    items = {f"{item}_flops": 1.0 for item in BILL}
    billed = CostCounted(**{**vars(COUNTED), **items, "layer_names": ("a", "b"), "layer_flops": (4.0, 2.0)})
    cost = summarise(record(RunConfig(), billed))["cost"]
    assert cost["bill"] == dict.fromkeys(BILL, 1.0)
    assert cost["layers"] == {"a": 4.0, "b": 2.0}


def test_costs_are_the_last_counted_and_the_most_held():
    later = CostCounted(**{**vars(COUNTED), "task": 1, "train_flops": 12.0})
    measured = (
        {"events": 3, "seconds": 1.0, "peak_bytes": 500},
        {"events": 9, "seconds": 4.5, "peak_bytes": 400},
        {"events": 9, "seconds": 4.6, "training_seconds": 3.5},
    )
    cost = summarise(record(RunConfig(), COUNTED, later, measured=measured))["cost"]
    assert (cost["train_flops"], cost["seconds"], cost["peak_bytes"]) == (12.0, 4.6, 500)
    assert cost["training_seconds"] == 3.5
    odd = ({**measured[-1], "training_seconds": "long"},)
    assert summarise(record(RunConfig(), COUNTED, measured=odd))["cost"]["training_seconds"] is None


def test_hardware_names_the_device():
    started = RunStarted(tasks=1, classes=2, network="mlp", parameters=1, prunable=1, device="cuda:0", device_name="H1")
    machine = {"versions": {"torch": "2.10"}, "hardware": {"cpu": "A", "cores": 2}}
    summary = summarise(record(RunConfig(), started, machine=machine))
    assert summary["hardware"] == {"cpu": "A", "cores": 2, "device": "cuda:0", "device_name": "H1"}
    assert summary["versions"] == {"torch": "2.10"}
    assert summary["made_by"] == {"versions": [], "processors": ["H1"]}


def test_density_of_each_task():
    events = [TaskFinished(task=task, density=0.1) for task in range(TASKS)]
    assert summarise(record(CONFIG, *events))["density"] == [0.1, 0.1]


def test_evaluations_outside_the_run_are_passed_over():
    assert accuracy_matrix([evaluated(0, 7, 0.5), evaluated(0, 0, 0.9)], 2) == [[0.9, None]]
    assert accuracy_matrix([evaluated(5, 0, 0.5)], 2) == [[None, None], [None, None]]


def test_batchnorm_is_named_with_what_refreshing_it_did():
    refreshed = StatisticsRefreshed(task=0, examples=40, accuracy_before=0.5, accuracy=0.75)
    config = RunConfig(tasks=1, network="resnet18", batchnorm={"refresh": True, "statistics": "task"})
    summary = summarise(record(config, refreshed))
    assert summary["batchnorm"]["refreshed"] == [fields(refreshed)]
    assert (summary["batchnorm"]["statistics"], summary["batchnorm"]["refresh"]) == ("task", True)
    text = result_text(summary)
    assert "50.0" in text.split("BatchNorm refreshed")[1]
    assert "75.0" in text.split("BatchNorm refreshed")[1]
    assert "BatchNorm statistics per task, refreshed after the cuts" in text
    shared = result_text(summarise(record(RunConfig(network="resnet18", scenario="class"))))
    assert "BatchNorm statistics shared by all tasks, not refreshed after the cuts" in shared
    assert summarise(record(RunConfig()))["batchnorm"] is None
