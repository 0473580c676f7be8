"""Runs that are looked at again: an analysis of what a run kept, as a command and as a job."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from esacl import stopping, turns
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.events import ArrayRecorded, CurvatureMeasured, Evaluated, Event, Failed, Loading
from esacl.printing import curvature_table, number, table
from esacl.progress import with_stages
from esacl.records import read_events_of
from esacl.store import RunStore
from esacl.summary import accuracy_matrix, fields
from esacl.viewing import View, accepted, beside, viewed

_WEIGHTS = re.compile(r"weights-t\d{1,4}")


def analyse(store: RunStore, run_id: str, view: View, data: Path | None, *, as_json: bool, job: bool) -> int:
    """Analyse a run that has stopped; events go to its `analyses.jsonl`, arrays to its `arrays`.

    Raises:
        InputError: a setting that no view can change, a task without weights, bad input, or a run being worked on.
    """

    def look() -> int:
        turns.sign_in(store, run_id)
        with stopping.on_request(store, run_id):
            # What a job refuses is its result, for whoever follows it; a command says it and leaves no trace.
            stream = _prepared(store, run_id, view, data)
            events = store.record_analysis(run_id, stream if job else accepted(stream))
            last, seen = turns.follow(events if as_json else with_stages(events), store.folder(run_id))
        turns.let_go(store, run_id, last)
        task = view.task if view.task is not None else _last_task(store, run_id)
        names = [event.name for event in seen if isinstance(event, ArrayRecorded)]
        curvature = [fields(event) for event in seen if isinstance(event, CurvatureMeasured)]
        if as_json:
            about = {"run": run_id, "analysis": view.kind, "task": task, "arrays": names}
            print(json.dumps({**about, "curvature": curvature, "status": turns.state_of(last)}))
        elif not isinstance(last, Failed):
            measured = [_deployment_tables(store.array(run_id, name)) for name in names if view.kind == "deployment"]
            told = [*(f"recorded {name}" for name in names), *measured, curvature_table(curvature)]
            print("\n".join(told).strip())
        return turns.code_of(last)

    if job:
        return turns.in_turn(store, run_id, look)
    _chosen(store, run_id, view)  # what is refused by hand leaves what a job is owed for
    with store.workers.hold(run_id):
        turns.take_over(store, run_id)
        return look()


def _deployment_tables(arrays: dict[str, np.ndarray]) -> str:
    """The median time of each engine at each batch size, and the bytes of each file."""
    batches = [f"batch of {size}" for size in arrays["batches"]]
    times = [
        [str(engine), *(number(1e3 * float(np.median(rounds)), 3) for rounds in row)]
        for engine, row in zip(arrays["engines"], arrays["seconds"], strict=True)
    ]
    sizes = [[str(name), f"{size:,}"] for name, size in zip(arrays["formats"], arrays["bytes"], strict=True)]
    if "shrunk_sizes" in arrays:
        pairs = zip(arrays["shrunk_formats"], arrays["shrunk_sizes"], strict=True)
        sizes += [[f"{name}, shrunk", f"{size:,}"] for name, size in pairs]
    return f"\n{table(['answer, ms', *batches], times)}\n\n{table(['file', 'bytes'], sizes)}\n"


def _prepared(store: RunStore, run_id: str, view: View, data: Path | None) -> Iterator[Event]:
    config, suffix, task = _chosen(store, run_id, view)
    arrays = _weights(store, run_id, task), _weights(store, run_id, task + 1)
    stream = _analysis(view, config, task, arrays, data, run_id, _accuracies(store, run_id, config, task))
    yield from beside(stream, store.array_names(run_id), suffix)


def _chosen(store: RunStore, run_id: str, view: View) -> tuple[RunConfig, str, int]:
    """The config, what the arrays' names end with, and the task.

    Raises:
        InputError: a setting that no view can change, or a task without weights.
    """
    config, suffix = viewed(store.config(run_id), view)
    task = view.task if view.task is not None else _last_task(store, run_id)
    if f"weights-t{task}" not in store.array_names(run_id):
        learned = _learned_tasks(store, run_id)
        raise InputError(
            f"task {task} of run {run_id} has no weights kept; choose from the tasks that were learned: "
            + (", ".join(map(str, learned)) or "none yet")
        )
    return config, suffix, task


def _analysis(
    view: View,
    config: RunConfig,
    task: int,
    arrays: tuple[dict[str, np.ndarray] | None, dict[str, np.ndarray] | None],
    data: Path | None,
    run_id: str,
    accuracies: list[float],
) -> Iterator[Event]:
    yield Loading(what="torch")
    from esacl.analysis import analyse

    weights, following = arrays
    yield from analyse(
        view.kind, config, task, weights or {}, data=data, look=view.look, following=following, run_id=run_id,
        accuracies=accuracies,
    )  # fmt: skip


def _weights(store: RunStore, run_id: str, task: int) -> dict[str, np.ndarray] | None:
    """What a run kept of its network after a task, None where it never learned it."""
    name = f"weights-t{task}"
    return store.array(run_id, name) if name in store.array_names(run_id) else None


def _accuracies(store: RunStore, run_id: str, config: RunConfig, task: int) -> list[float]:
    """The fraction right on each task after `task`, as an export tells it; nothing where it was not judged then."""
    evaluated = read_events_of(store.folder(run_id) / "events.jsonl", Evaluated)
    return [one or 0.0 for one in (accuracy_matrix(evaluated, config.tasks)[task:] or [[]])[0]]


def _last_task(store: RunStore, run_id: str) -> int:
    learned = _learned_tasks(store, run_id)
    if not learned:
        remedy = "wait" if store.status(run_id).live else "resume it"
        raise InputError(f"run {run_id} has no weights kept; {remedy} until a task is learned")
    return learned[-1]


def _learned_tasks(store: RunStore, run_id: str) -> list[int]:
    """The tasks whose weights are kept, ascending."""
    names = store.array_names(run_id)
    return sorted(int(name.removeprefix("weights-t")) for name in names if _WEIGHTS.fullmatch(name))
