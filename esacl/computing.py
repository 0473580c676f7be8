"""Runs as commands and as jobs: a stream of events, kept by the store, followed on the terminal, stopped by Ctrl-C."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from esacl import logs, origin, stopping, turns
from esacl.checkpoints import aside_of, file_name, readable
from esacl.config import RunConfig
from esacl.device_turns import device_key
from esacl.errors import CheckpointUnfit, InputError, RunUnreadable
from esacl.events import Cancelled, CheckpointReady, Event, Failed, Loading, RunStarted
from esacl.leader import Leader
from esacl.memory import Memory
from esacl.printing import result_text
from esacl.progress import with_bar
from esacl.ranks import of_torchrun
from esacl.records import read_events_of
from esacl.resuming import exactness, fitting
from esacl.store import RunStore
from esacl.summary import summarise
from esacl.viewing import accepted


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

    def begin() -> int:
        return _run(store, run_id, None, data, as_json=as_json)

    return turns.in_turn(store, run_id, turns.ending(store, run_id, begin))


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
        return turns.DONE

    def go_on() -> int:
        return _run(store, run_id, store.checkpoint(run_id), data, as_json=as_json, untouched=True)

    def go_on_as_job() -> int:
        while True:
            start = _start_of_job(store, run_id)
            try:
                return _run(store, run_id, start, data, as_json=as_json)
            except CheckpointUnfit as error:
                assert start is not None, "nothing was loaded"
                name = file_name(start)
                _put_aside(store, run_id, [store.folder(run_id) / "checkpoints" / name], str(error))

    if job:
        return turns.in_turn(store, run_id, turns.ending(store, run_id, go_on_as_job))
    with store.workers.hold(run_id):
        turns.take_over(store, run_id)
        return go_on()


def _start_of_job(store: RunStore, run_id: str) -> CheckpointReady | None:
    """The newest state; where none can be read they are put aside: nobody is there to delete them, as one is told."""
    try:
        return store.checkpoint(run_id)
    except RunUnreadable as error:
        places = readable(store.folder(run_id) / "checkpoints")
        _put_aside(store, run_id, [path for path, why in places.items() if why is not None], str(error))
        return None


def _put_aside(store: RunStore, run_id: str, checkpoints: list[Path], why: str) -> None:
    for path in checkpoints:
        path.replace(aside_of(path))
    names = ", ".join(path.name for path in checkpoints)
    print(f"{names} put aside: {why}", file=sys.stderr)
    logs.note(logs.job_log(store.folder(run_id)), "put aside", checkpoints=names, detail=why)


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
        turns.sign_in(store, run_id)
        memory = Memory(_device_before(store, run_id) if start else "cpu")
        leader = _leader()
        stream = memory.watch(_events(config, start, data, leader))
        with _led(leader, store, run_id), stopping.on_request(store, run_id, leader.lost if leader else lambda: False):
            stream = accepted(stream) if untouched else stream
            stream = stream if start is None else _saying(stream, store, run_id, start)
            events = store.record(stream, run_id, start=start, measure=memory.measure)
            last, _ = turns.follow(events if as_json else with_bar(events, config), store.folder(run_id))
        if isinstance(last, Cancelled | Failed) and not (store.folder(run_id) / "done.json").exists():
            why = last.error if isinstance(last, Failed) else "stopped before it had begun"
            with contextlib.suppress(OSError):  # the recorder was not there yet, or had no room
                store.finish(run_id, turns.state_of(last), why)
        turns.let_go(store, run_id, last)
    print_result(store, run_id, as_json=as_json)
    return turns.code_of(last)


def _leader() -> Leader | None:
    ranks = of_torchrun()
    return Leader(ranks) if ranks else None


def _led(leader: Leader | None, store: RunStore, run_id: str) -> contextlib.AbstractContextManager[None]:
    """A block in which the other processes of a run are watched; what is lost of them is kept as how it ended."""

    def at_loss(reason: str) -> None:
        store.finish(run_id, "failed", reason)
        print(f"error: {reason}", file=sys.stderr, flush=True)

    def at_stop(reason: str) -> None:
        store.finish(run_id, "cancelled", reason)
        store.workers.queue.tear_up(run_id)
        print(reason, file=sys.stderr, flush=True)

    def asked() -> bool:
        return (store.folder(run_id) / "CANCEL").exists()

    return leader.watching(at_loss, asked, at_stop) if leader else contextlib.nullcontext()


def _events(
    config: RunConfig, start: CheckpointReady | None, data: Path | None, leader: Leader | None
) -> Iterator[Event]:
    yield Loading(what="torch")
    from esacl.pipeline import run

    events = run(config, start, data=data, group=leader.meet(config, start, data) if leader else None)
    yield from events if start is None else fitting(events, config, start, data)


def _saying(stream: Iterator[Event], store: RunStore, run_id: str, start: CheckpointReady) -> Iterator[Event]:
    """`stream`; once it goes on, from where and how exactly is told on stderr and in the run's log."""
    before = origin.kept(store.folder(run_id))
    started = read_events_of(store.folder(run_id) / "events.jsonl", RunStarted)
    how = exactness(before, started[-1] if started else None, device_key(store.config(run_id).device))
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


def _device_before(store: RunStore, run_id: str) -> str:
    started = read_events_of(store.folder(run_id) / "events.jsonl", RunStarted)
    return started[-1].device if started else "cpu"
