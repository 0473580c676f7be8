"""What pages ask of a run beyond its record: which runs may stand beside it, its result, what guessing would reach."""

from collections.abc import Mapping, Sequence
from typing import Any

from app import reading
from app.figures import palette
from app.language import marked, text
from app.reading import Entry
from app.wording import brief, percent, whole
from esacl import metrics
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.events import RunStarted, StatisticsRefreshed, TaskFinished, TaskStarted
from esacl.records import RunRecord
from esacl.summary import summarise

HELP = {
    "average_accuracy": marked(
        "Mean of the last row of the accuracy matrix: all tasks, after learning the last (Lopez-Paz & Ranzato 2017)."
    ),
    "learning_accuracy": marked("Mean of the diagonal: each task just after it was learned (Riemer et al. 2019)."),
    "backward_transfer": marked(
        "What learning later tasks did to earlier ones: mean of R[T, j] − R[j, j] over the tasks "
        "before the last (Lopez-Paz & Ranzato 2017). Negative is forgetting."
    ),
    "forgetting": marked(
        "Best accuracy a task ever had, minus the one at the end, mean over the tasks before the last "
        "(Chaudhry et al. 2018). May be negative."
    ),
    "cost_of_cut": marked(
        "Accuracy on a task just before its cut minus just after, mean over tasks: a loss is positive."
    ),
}
FOUR = ("average_accuracy", "learning_accuracy", "backward_transfer", "forgetting")
LABELS = (
    marked("Average accuracy"), marked("Learning accuracy"), marked("Backward transfer, points"),
    marked("Forgetting, points"),
)  # fmt: skip

LONGEST = 40  # characters of a name, where a run is told in a few words


def refreshed(record: RunRecord, task: int) -> str:
    """What BatchNorm's statistics, taken anew after a task's cut, did to its accuracy; empty where they were not."""
    found = [event for event in record.events if isinstance(event, StatisticsRefreshed) and event.task == task]
    if not found:
        return ""
    told = {"before": percent(found[-1].accuracy_before), "after": percent(found[-1].accuracy)}
    return text(
        "After this run's cut BatchNorm's statistics were taken anew over %(images)s images of the task: accuracy "
        "%(before)s by the cut alone, %(after)s with them.",
        images=whole(found[-1].examples),
        **told,
    )


def transfer(rows: Sequence[Sequence[float | None]], config: RunConfig) -> dict[str, float | None]:
    """The four numbers of an accuracy matrix, over the tasks learned so far."""
    learned = [list(row[: len(rows)]) for row in rows]
    return metrics.transfer(learned, joint=config.method == "joint")


def comparable(entry: Entry, found: Sequence[Entry]) -> list[Entry]:
    """Other finished runs of the same benchmark, scenario, number of tasks and data, in the order of `found`."""
    config = entry.config
    if config is None:
        return []
    mine = (config.benchmark, config.scenario, config.tasks, config.evaluation)
    return [
        other
        for other in found
        if other.run_id != entry.run_id
        and other.status.state == "finished"
        and other.config is not None
        and (other.config.benchmark, other.config.scenario, other.config.tasks, other.config.evaluation) == mine
    ]


def so_many(tasks: int) -> str:
    """How many tasks."""
    return text("1 task") if tasks == 1 else text("%(tasks)d tasks", tasks=tasks)


def baseline(entry: Entry, others: Sequence[Entry]) -> Entry | None:
    """The run to show beside this one until somebody chooses: another method at the same sparsity by preference."""
    config = entry.config

    def order(other: Entry) -> tuple[bool, float, bool]:
        theirs = other.config
        if theirs is None or config is None:
            return (True, 1.0, True)
        return (theirs.method == config.method, abs(theirs.sparsity - config.sparsity), not other.recorded)

    return min(others, key=order, default=None)


def named(entry: Entry) -> str:
    """A run in a few words: its name, or method, sparsity and seed."""
    config = entry.config
    if config is None:
        return entry.run_id
    if config.name.strip():
        name = config.name.strip()
        return name if len(name) <= LONGEST else name[: LONGEST - 1].rstrip() + "…"
    cut = brief(config.sparsity) if config.sparsity > 0 else text("dense")
    method = palette.written(config.method)
    return text("%(method)s, %(cut)s, seed %(seed)d", method=method, cut=cut, seed=config.seed)


def final(entry: Entry) -> dict[str, Any] | None:
    """The summary of a run; None where its folder cannot be read."""
    try:
        return summarise(reading.record(entry))
    except InputError:
        return None


def summary(record: RunRecord) -> dict[str, Any]:
    """The run in numbers, as `esacl show --json` has it."""
    return summarise(record)


def last_task(record: RunRecord) -> int:
    """The last task that was learned, 0-based; 0 where none was."""
    return max((event.task for event in record.events if isinstance(event, TaskFinished)), default=0)


def chance(record: RunRecord, *, task_known: bool = False) -> float:
    """The accuracy of guessing: one over the number of classes that compete, in class-IL all of the run."""
    if record.config.scenario == "class" and not task_known:
        classes = next((event.classes for event in record.events if isinstance(event, RunStarted)), 10)
        return 1 / max(1, classes)
    first = next((event for event in record.events if isinstance(event, TaskStarted)), None)
    return 1 / max(1, len(first.class_names)) if first else 0.5


def when_cut(config: RunConfig) -> str:
    """Where in a task the one-shot cut comes, to begin a sentence with."""
    if config.sdp.cut < 1:
        return text("After %(share).3g %% of the steps of every task", share=100 * config.sdp.cut)
    return text("Once all tasks are learned") if config.method == "joint" else text("At the end of every task")


def where_looked(config: RunConfig) -> str:
    """Which network of a task the landscape, the curvature and the sparsity curve belong to."""
    return text("At the cut of task") if config.sdp.cut < 1 else text("After learning task")


def prunes_by_one_cut(config: RunConfig) -> bool:
    """Whether weights go in one shot: PackNet shares them out; RigL, SparCL, `progressive` are sparse in training."""
    gradual = config.method == "esacl" and config.sdp.form == "progressive"
    return config.sparsity > 0 and config.method not in ("packnet", "rigl", "sparcl") and not gradual


def cost_of_cuts(summary: Mapping[str, Any]) -> float | None:
    """What the cuts cost in accuracy on the task just learned, mean over tasks; None without cuts."""
    return metrics.cost_of_cuts((cut["dense_accuracy"], cut["pruned_accuracy"]) for cut in summary["pruning"])
