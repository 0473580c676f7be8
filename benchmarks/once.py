"""One run, measured: config in, one flat record out that JSON can hold."""

import time
from pathlib import Path
from typing import Any

from esacl import metrics
from esacl.config import RunConfig
from esacl.errors import RunFailure
from esacl.events import CostCounted, Evaluated, Pruned, RunStarted, TaskFinished
from esacl.outcomes import KEPT
from esacl.summary import accuracy_matrix

Record = dict[str, Any]

MEASURES = (
    "average_accuracy", "learning_accuracy", "backward_transfer", "forgetting", "drop", "sparsity", "flops",
    "flops_published_rule", "seconds", "accuracy_task_known", "kept",
)  # fmt: skip


def measure(config: RunConfig, data: Path | None = None) -> Record:
    """Every measure of a finished run, None where it is undefined; `failed` says why a run could not go on.

    Accuracies are fractions; `drop` is the mean over tasks of what the one-shot cut costs; `sparsity` the smallest
    that a task ends with; `flops` those of training over those of dense SGD; `kept` the bytes that lie in memory
    between tasks, over those of the dense weights; `seconds` from the first event of training on, so without imports
    and data.

    Raises:
        InputError: a data set that is missing.
    """
    from esacl.pipeline import run  # torch: only the processes that compute load it

    events, begin = [], time.perf_counter()
    try:
        for event in run(config, data=data):
            if isinstance(event, RunStarted):
                begin = time.perf_counter()
            if isinstance(event, RunStarted | Evaluated | Pruned | CostCounted | TaskFinished):
                events.append(event)
    except RunFailure as error:
        return {"failed": str(error), **dict.fromkeys(MEASURES)}
    return {"failed": None, **measures(config, events), "seconds": time.perf_counter() - begin}


def measures(config: RunConfig, events: list[Any]) -> Record:
    """What is measured of a finished run's events, but for its seconds."""
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    cuts = [(event.dense_accuracy, event.pruned_accuracy) for event in events if isinstance(event, Pruned)]
    cost = [event for event in events if isinstance(event, CostCounted)][-1]
    started = next(event for event in events if isinstance(event, RunStarted))
    matrix = accuracy_matrix(evaluated, config.tasks)
    known = accuracy_matrix(evaluated, config.tasks, task_known=True)
    return {
        **metrics.transfer(matrix, joint=config.method == "joint"),
        "drop": metrics.cost_of_cuts(cuts),
        "sparsity": 1 - max(event.density for event in events if isinstance(event, TaskFinished)),
        "flops": cost.train_flops / cost.train_flops_dense_sgd,
        "flops_published_rule": cost.train_flops_published_rule / cost.train_flops_dense_sgd,
        "kept": sum(getattr(cost, f"{kind}_bytes") for kind in KEPT) / (4 * started.parameters),
        "accuracy_task_known": metrics.average_accuracy(known) if config.scenario == "class" else None,
    }
