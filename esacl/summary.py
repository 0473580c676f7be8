"""A run in numbers, at any stage: what `esacl show --json` prints. What is not known (yet) is None."""

from collections.abc import Sequence
from typing import Any, TypeVar

from esacl import metrics, normalisation, origin
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
from esacl.records import RunRecord, is_number

BILL = ("fresh_forward", "fresh_backward", "replay", "scoring", "fisher", "other")  # `cost.ITEMS`: no torch in here
Matrix = list[list[float | None]]
T = TypeVar("T")


def summarise(record: RunRecord) -> dict[str, Any]:
    """The result of a run as one JSON object: what `--json` prints.

    `accuracy_matrix` has a row for each learned task (after learning task i) and a column for each task of
    the run; accuracies are fractions. The averages are None until all tasks are learned; `so_far` has them
    for the tasks learned until now. `made_by` names every state of EsaCL and every processor that worked on it.
    """
    config = record.config
    evaluated = _of(record, Evaluated)
    matrix = accuracy_matrix(evaluated, config.tasks)
    complete = len(matrix) == config.tasks
    joint = config.method == "joint"
    started = _of(record, RunStarted)
    forward, reason = _forward_transfer(config, matrix, evaluated)
    summary: dict[str, Any] = {
        "run": record.run_id,
        "name": config.name,
        "status": record.status.state,
        "detail": record.status.detail,
        "config": config.to_dict(),
        "accuracy_matrix": matrix,
        **metrics.transfer(matrix if complete else [], joint=joint),
        "forward_transfer": forward,
        "forward_transfer_reason": reason,
        "so_far": {"tasks": len(matrix), **metrics.transfer([row[: len(matrix)] for row in matrix], joint=joint)},
        "accuracy_matrix_task": None,
        "untrained_accuracy": _untrained(evaluated, config.tasks),
        "density": [event.density for event in _of(record, TaskFinished)],
        "batchnorm": _batchnorm(record),
        "pruning": [fields(event) for event in _of(record, Pruned)],
        "curvature": [fields(event) for event in _of(record, CurvatureMeasured)],
        "selection": [fields(event) for event in _of(record, Selected)],
        "cost": _cost(record),
        "versions": record.machine.get("versions"),
        "hardware": record.machine.get("hardware"),
        "made_by": {
            "versions": origin.versions(record.machine),
            "processors": origin.processors(record.machine, *_device(started)),
        },
    }
    if config.scenario == "class":
        summary["accuracy_matrix_task"] = accuracy_matrix(evaluated, config.tasks, task_known=True)
    if started:
        summary["network"] = fields(started[-1])
        summary["hardware"] = {
            **(summary["hardware"] or {}),
            "device": started[-1].device,
            "device_name": started[-1].device_name,
        }
    return summary


def accuracy_matrix(evaluated: Sequence[Evaluated], tasks: int, *, task_known: bool = False) -> Matrix:
    """R[i][j]: accuracy on task j after learning task i, None where it was not evaluated."""
    learned = max((event.after for event in evaluated), default=-1) + 1
    matrix: Matrix = [[None] * tasks for _ in range(min(learned, tasks))]
    for event in evaluated:
        if 0 <= event.after < tasks and 0 <= event.on < tasks:
            matrix[event.after][event.on] = event.accuracy_task if task_known else event.accuracy
    return matrix


def _forward_transfer(
    config: RunConfig, matrix: Matrix, evaluated: Sequence[Evaluated]
) -> tuple[float | None, str | None]:
    if config.method == "joint":
        return None, "undefined for joint training, which learns all tasks at once"
    if config.scenario == "task":
        return None, "undefined in task-IL: the head of a task is untrained before its turn"
    if config.scenario == "class":
        return None, "undefined in class-IL: a class that was never seen is never answered"
    if config.tasks < 2:
        return None, "undefined for a single task"
    value = metrics.forward_transfer(matrix, _untrained(evaluated, config.tasks)) if matrix else None
    return value, None if value is not None else "a task was not evaluated before it was learned"


def _batchnorm(record: RunRecord) -> dict[str, Any] | None:
    """Whose the statistics are, and what refreshing them did to the accuracy after each cut; None without any."""
    config = record.config
    said = normalisation.said(config.network, config.batchnorm.statistics, config.batchnorm.refresh)
    refreshed = [fields(event) for event in _of(record, StatisticsRefreshed)]
    return {"said": said, "refreshed": refreshed} | config.batchnorm.model_dump() if said else None


def _untrained(evaluated: Sequence[Evaluated], tasks: int) -> list[float | None]:
    found = {event.on: event.accuracy for event in evaluated if event.after == -1}
    return [found.get(task) for task in range(tasks)]


def _cost(record: RunRecord) -> dict[str, Any]:
    counted = _of(record, CostCounted)
    last = fields(counted[-1]) if counted else {}
    measured = record.measured[-1] if record.measured else {}
    peaks = [entry["peak_bytes"] for entry in record.measured if entry.get("peak_bytes") is not None]
    totals = (
        "train_flops", "train_flops_dense_sgd", "train_flops_published_rule", "analysis_flops",
        "examples_forward", "examples_backward",
    )  # fmt: skip
    kinds = ("weights", "masks", "anchors", "buffer", "optimiser", "activations")
    items = {item: last.get(f"{item}_flops") for item in BILL}
    return {
        **{name: last.get(name) for name in totals},
        "bill": items if items["other"] is not None else None,
        "layers": dict(zip(last.get("layer_names", ()), last.get("layer_flops", ()))) or None,
        "seconds": measured.get("seconds"),
        "training_seconds": training if is_number(training := measured.get("training_seconds")) else None,
        "peak_bytes": max(peaks, default=None),
        "state_bytes": {kind: last.get(f"{kind}_bytes") for kind in kinds},
    }


def _device(started: Sequence[RunStarted]) -> tuple[str, ...]:
    return (started[-1].device, started[-1].device_name) if started else ()


def _of(record: RunRecord, kind: type[T]) -> list[T]:
    return [event for event in record.events if isinstance(event, kind)]


def fields(event: Any) -> dict[str, Any]:
    """The fields of an event as JSON can hold them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(event).items()}
