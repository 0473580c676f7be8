"""What every command that computes does around its work: it waits for its turn, signs in, is followed, lets go."""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from esacl import logs, processes, stopping
from esacl.device_turns import device_turn
from esacl.errors import InputError
from esacl.events import ArrayRecorded, Cancelled, CurvatureMeasured, Event, Failed
from esacl.failures import explain, is_foreseen
from esacl.store import RunStore

DONE, FAILED, CANCELLED = 0, 1, 130


def in_turn(store: RunStore, run_id: str, work: Callable[[], int]) -> int:
    """Work when the run's device is free; the exit code. Whatever comes of it, the run is owed no more.

    Raises:
        InputError: what the work says.
        OSError: there was no room even to begin.
    """
    try:
        with device_turn(store, run_id, store.config(run_id).device) as mine:
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
        store.finish(run_id, "cancelled", "it was still waiting for its turn")
    return CANCELLED


def ending(store: RunStore, run_id: str, work: Callable[[], int]) -> Callable[[], int]:
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


def sign_in(store: RunStore, run_id: str) -> None:
    """Note that this process works on the run.

    Raises:
        InputError: its folder cannot be written.
    """
    try:
        processes.sign_in(store, run_id)
    except OSError as error:
        where = store.folder(run_id)
        raise InputError(f"{where} cannot be written ({error.strerror}); mend it") from None


def take_over(store: RunStore, run_id: str) -> None:
    """Do by hand what a job may have been owed for: it is not owed any more."""
    store.reopen(run_id)
    store.workers.queue.tear_up(run_id)


def let_go(store: RunStore, run_id: str, last: Event | None) -> None:
    """Note the end, and give the run back at once. What the system stopped, and nobody cancelled, stays owed."""
    told = {"detail": last.error} if isinstance(last, Failed) else {}
    logs.note(logs.job_log(store.folder(run_id)), state_of(last), **told)
    if not (isinstance(last, Cancelled) and stopping.by_system()):
        store.workers.queue.tear_up(run_id)
    store.workers.release(run_id)


def follow(events: Iterable[Event], folder: Path) -> tuple[Event | None, list[Event]]:
    """The last event of a run in `folder`, and the results of an analysis among all of them."""
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
    except Exception as error:
        if not is_foreseen(error):  # the store has kept it; whoever mends it needs to see where
            traceback.print_exc()
        last = Failed(error=explain(error, folder))
    if isinstance(last, Failed):
        print(f"error: {last.error}", file=sys.stderr)
    return last, results


def state_of(last: Event | None) -> str:
    """The state that a run ends in by its last event."""
    return {Cancelled: "cancelled", Failed: "failed"}.get(type(last), "finished")


def code_of(last: Event | None) -> int:
    """The exit code that its last event comes to."""
    return {Cancelled: CANCELLED, Failed: FAILED}.get(type(last), DONE)
