"""The commands that compute: a stream of events, kept by the store, followed on the terminal, stopped by Ctrl-C."""

import contextlib
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from esacl import jobs, logs, processes, stopping, torchrun
from esacl.config import RunConfig
from esacl.durable import read_json
from esacl.errors import InputError, RunUnreadable
from esacl.events import (
    ArrayRecorded,
    Cancelled,
    CheckpointReady,
    CurvatureMeasured,
    Event,
    Failed,
    Loading,
    RunStarted,
)
from esacl.memory import Memory
from esacl.printing import curvature_table, result_text
from esacl.progress import with_bar, with_stages
from esacl.ranks import of_torchrun
from esacl.recording import explain
from esacl.records import read_events_of
from esacl.resuming import exactness, fitting
from esacl.store import RunStore
from esacl.summary import fields, summarise
from esacl.viewing import View, accepted, beside, viewed

DONE, FAILED, CANCELLED = 0, 1, 130
_WEIGHTS = re.compile(r"weights-t\d{1,4}")


def run_new(store: RunStore, config: RunConfig, data: Path | None, *, as_json: bool) -> int:
    """Make a run's folder, then compute it here; nothing is left of a run that refuses its input."""
    new = not store.root.exists()
    run_id = store.create(config)
    try:
        return _run(store, run_id, None, data, as_json=as_json)
    except InputError:
        store.delete(run_id)
        if new:
            with contextlib.suppress(OSError):  # another run may have come meanwhile
                store.root.rmdir()
        raise


def run_job(store: RunStore, run_id: str, data: Path | None, *, as_json: bool) -> int:
    """Compute a run whose folder stands already, when its device is free."""
    return _in_turn(store, run_id, _ending(store, run_id, lambda: _run(store, run_id, None, data, as_json=as_json)))


def run_beside(store: RunStore, run_id: str, data: Path | None) -> int:
    """Compute a run, or go on with it, beside others: whoever starts it has seen that there is room.

    Raises:
        InputError: bad input, which the run's folder tells too where the run had begun.
    """
    return _run(store, run_id, store.checkpoint(run_id), data, as_json=True)


def resume(store: RunStore, run_id: str, data: Path | None, *, as_json: bool, job: bool) -> int:
    """Go on from the last checkpoint; a finished run prints its result.

    Raises:
        InputError: bad input, which leaves a run as it was, unless this is a job, whose folder tells it.
    """
    if store.status(run_id).state == "finished":
        print_result(store, run_id, as_json=as_json)
        return DONE

    def go_on() -> int:
        return _run(store, run_id, store.checkpoint(run_id), data, as_json=as_json, untouched=not job)

    if job:
        return _in_turn(store, run_id, _ending(store, run_id, go_on))
    with store.workers.hold(run_id):
        _take_over(store, run_id)
        return go_on()


def analyse(store: RunStore, run_id: str, view: View, data: Path | None, *, as_json: bool, job: bool) -> int:
    """Analyse a run that has stopped; events go to its `analyses.jsonl`, arrays to its `arrays`.

    Raises:
        InputError: a setting that no view can change, a task without weights, bad input, or a run being worked on.
    """
    config, suffix = viewed(store.config(run_id), view)
    task = view.task if view.task is not None else _last_task(store, run_id)
    name = f"weights-t{task}"
    if name not in store.array_names(run_id):
        learned = _learned_tasks(store, run_id)
        raise InputError(
            f"task {task} of run {run_id} has no weights kept; choose from the tasks that were learned: "
            + (", ".join(map(str, learned)) or "none yet")
        )

    def look() -> int:
        _sign_in(store, run_id)
        stream = _analysis(view, config, task, _weights(store, run_id, task), _weights(store, run_id, task + 1), data)
        stream = beside(stream, store.array_names(run_id), suffix)
        with stopping.on_request(store, run_id):
            events = store.record_analysis(run_id, stream if job else accepted(stream))
            last, seen = _follow(events if as_json else with_stages(events))
        _let_go(store, run_id, last)
        names = [event.name for event in seen if isinstance(event, ArrayRecorded)]
        curvature = [fields(event) for event in seen if isinstance(event, CurvatureMeasured)]
        if as_json:
            told = {"run": run_id, "analysis": view.kind, "task": task, "arrays": names}
            print(json.dumps({**told, "curvature": curvature, "status": _state(last)}))
        elif not isinstance(last, Failed):
            print("\n".join([*(f"recorded {name}" for name in names), curvature_table(curvature)]).strip())
        return _code(last)

    if job:
        return _in_turn(store, run_id, look)
    with store.workers.hold(run_id):
        _take_over(store, run_id)
        return look()


def _take_over(store: RunStore, run_id: str) -> None:
    """Do by hand what a job may have been owed for: it is not owed any more."""
    store.reopen(run_id)
    store.workers.queue.tear_up(run_id)


def print_result(store: RunStore, run_id: str, *, as_json: bool) -> None:
    """The result of a run at whatever stage it is.

    Raises:
        RunUnreadable: its config or its events are damaged.
    """
    summary = summarise(store.read(run_id))
    print(json.dumps(summary, allow_nan=False) if as_json else result_text(summary))


def _run(
    store: RunStore,
    run_id: str,
    start: CheckpointReady | None,
    data: Path | None,
    *,
    as_json: bool,
    untouched: bool = False,
) -> int:
    config = store.config(run_id)
    with store.workers.hold(run_id):
        _sign_in(store, run_id)
        memory = Memory(_device_before(store, run_id) if start else "cpu")
        leader = _leader()
        stream = memory.watch(_events(config, start, data, leader))
        with _led(leader, store, run_id), stopping.on_request(store, run_id, leader.lost if leader else lambda: False):
            stream = accepted(stream) if untouched else stream
            stream = stream if start is None else _saying(stream, store, run_id, start)
            events = store.record(stream, run_id, start=start, measure=memory.measure)
            last, _ = _follow(events if as_json else with_bar(events, config))
        if isinstance(last, Cancelled | Failed) and not (store.folder(run_id) / "done.json").exists():
            why = last.error if isinstance(last, Failed) else "stopped before it had begun"
            with contextlib.suppress(OSError):  # the recorder was not there yet, or had no room
                store.finish(run_id, _state(last), why)
        _let_go(store, run_id, last)
    print_result(store, run_id, as_json=as_json)
    return _code(last)


def _leader() -> torchrun.Leader | None:
    ranks = of_torchrun()
    return torchrun.Leader(ranks) if ranks else None


def _led(leader: torchrun.Leader | None, store: RunStore, run_id: str) -> contextlib.AbstractContextManager[None]:
    """A block in which the other processes of a run are watched; what is lost of them is kept as its failure."""

    def at_loss(reason: str) -> None:
        store.finish(run_id, "failed", reason)
        print(f"error: {reason}", file=sys.stderr, flush=True)

    return leader.watching(at_loss) if leader else contextlib.nullcontext()


def _events(
    config: RunConfig, start: CheckpointReady | None, data: Path | None, leader: torchrun.Leader | None
) -> Iterator[Event]:
    yield Loading(what="torch")
    from esacl.pipeline import run

    events = run(config, start, data=data, group=leader.meet(config, start, data) if leader else None)
    yield from events if start is None else fitting(events, config, start, data)


def _saying(stream: Iterator[Event], store: RunStore, run_id: str, start: CheckpointReady) -> Iterator[Event]:
    """`stream`; once it goes on, from where and how exactly is told on stderr and in the run's log."""
    before: dict[str, Any] = {}
    with contextlib.suppress(RunUnreadable):
        before = read_json(store.folder(run_id) / "machine.json")
    started = read_events_of(store.folder(run_id) / "events.jsonl", RunStarted)
    how = exactness(before, started[-1] if started else None, jobs.device_key(store.config(run_id).device))
    place = f"epoch {start.epoch} of task {start.task}" if start.epoch else f"the end of task {start.task - 1}"
    return _told_first(stream, lambda: _say(store, run_id, f"going on after {place}: {how}"))


def _told_first(stream: Iterator[Event], say: Callable[[], None]) -> Iterator[Event]:
    silent = True
    for event in stream:
        if silent and not isinstance(event, Loading):
            silent = False
            say()
        yield event


def _say(store: RunStore, run_id: str, text: str) -> None:
    print(text, file=sys.stderr)
    logs.note(logs.job_log(store.folder(run_id)), "goes on", detail=text)


def _let_go(store: RunStore, run_id: str, last: Event | None) -> None:
    """Note the end, and give the run back at once. What the system stopped, and nobody cancelled, stays owed."""
    told = {"detail": last.error} if isinstance(last, Failed) else {}
    logs.note(logs.job_log(store.folder(run_id)), _state(last), **told)
    if not (isinstance(last, Cancelled) and stopping.by_system()):
        store.workers.queue.tear_up(run_id)
    store.workers.release(run_id)


def _analysis(
    view: View,
    config: RunConfig,
    task: int,
    weights: dict[str, np.ndarray] | None,
    following: dict[str, np.ndarray] | None,
    data: Path | None,
) -> Iterator[Event]:
    yield Loading(what="torch")
    from esacl.analysis import analyse

    yield from analyse(view.kind, config, task, weights or {}, data=data, look=view.look, following=following)


def _weights(store: RunStore, run_id: str, task: int) -> dict[str, np.ndarray] | None:
    """What a run kept of its network after a task, None where it never learned it."""
    name = f"weights-t{task}"
    return store.array(run_id, name) if name in store.array_names(run_id) else None


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


def _follow(events: Iterable[Event]) -> tuple[Event | None, list[Event]]:
    """The last event, and the results of an analysis among all of them."""
    last: Event | None = None
    results: list[Event] = []
    try:
        for event in events:
            last = event
            if isinstance(event, (ArrayRecorded, CurvatureMeasured)):
                results.append(event)
    except KeyboardInterrupt:
        last = Cancelled()
    except InputError:
        raise
    except Exception as error:  # the store has kept it; whoever mends it needs to see where
        traceback.print_exc()
        last = Failed(error=explain(error, Path("run")))
    if isinstance(last, Failed):
        print(f"error: {last.error}", file=sys.stderr)
    return last, results


def _in_turn(store: RunStore, run_id: str, work: Callable[[], int]) -> int:
    processes.give_way()
    try:
        with jobs.device_turn(store, run_id, store.config(run_id).device) as mine:
            if mine:
                return work()
    except InputError as error:
        logs.note(logs.job_log(store.folder(run_id)), "refused", detail=str(error))
        store.workers.queue.tear_up(run_id)
        raise
    except OSError as error:  # there was no room even to begin
        with contextlib.suppress(OSError):
            store.finish(run_id, "failed", explain(error, store.folder(run_id)))
        store.workers.queue.tear_up(run_id)
        raise
    store.workers.queue.tear_up(run_id)
    if not (store.folder(run_id) / "done.json").exists():
        store.finish(run_id, "cancelled", "cancelled before its turn")
    return CANCELLED


def _ending(store: RunStore, run_id: str, work: Callable[[], int]) -> Callable[[], int]:
    """`work`, after which the run's folder says how it ended, even where its input was refused before it began."""

    def told() -> int:
        try:
            return work()
        except InputError as error:
            if not (store.folder(run_id) / "done.json").exists():
                with contextlib.suppress(OSError):
                    store.finish(run_id, "failed", str(error))
            raise

    return told


def _device_before(store: RunStore, run_id: str) -> str:
    started = read_events_of(store.folder(run_id) / "events.jsonl", RunStarted)
    return started[-1].device if started else "cpu"


def _sign_in(store: RunStore, run_id: str) -> None:
    try:
        processes.sign_in(store, run_id)
    except OSError as error:
        where = store.folder(run_id)
        raise InputError(f"{where} cannot be written ({error.strerror}); mend it") from None


def _state(last: Event | None) -> str:
    return {Cancelled: "cancelled", Failed: "failed"}.get(type(last), "finished")


def _code(last: Event | None) -> int:
    return {Cancelled: CANCELLED, Failed: FAILED}.get(type(last), DONE)
