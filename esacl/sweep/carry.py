"""One run, carried to its end: in a process of its own, and in the next one from its checkpoint where that one dies."""

import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from esacl import jobs, processes
from esacl.records import Status
from esacl.store import RunStore

WORKER = "esacl.sweep.worker"


def carry(
    store: RunStore,
    run_id: str,
    data: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    bound: bool = False,
) -> Iterator[Status]:
    """Yields how the run stands whenever it is asked; the last is how it ended.

    Somebody who is at work on it already is waited for. A run whose process dies at the same place again and again
    has failed.

    Args:
        store: where the run is.
        run_id: the run; its folder stands.
        data: where the data sets are.
        environment: variables to set for its process.
        bound: whether its process ends when this one does.

    Raises:
        InputError: no process can be started, or the folder cannot be written.
    """
    folder, deaths, place = store.folder(run_id), 0, ""
    while True:
        process = None if store.workers.alive(run_id) else _begin(store, run_id, data, environment, bound=bound)
        while store.workers.alive(run_id) if process is None else process.poll() is None:
            yield Status("running")
        status = store.status(run_id)
        if status.live or (status.state == "lost" and process is None):
            continue  # somebody else has taken it over, or has left it
        if status.state == "lost" and (folder / "CANCEL").exists():
            store.finish(run_id, "cancelled", "ended before it could note where it stood")
        elif status.state == "lost":
            assert process is not None
            reached = jobs.mark(folder)
            deaths, place = deaths + 1 if reached == place else 1, reached
            if deaths <= jobs.MOST_DEATHS:
                continue
            how = _how_it_died(process.returncode)
            store.finish(run_id, "failed", f"its process died {deaths} times at one place{how}; look into its log.txt")
        yield store.status(run_id)
        return


def _how_it_died(code: int | None) -> str:
    """What the end of a process says of it, as a part of a sentence."""
    if code is None or code >= 0:
        return "" if not code else f", the last time with exit status {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f", the last time by {name}{', as when memory runs out' if name == 'SIGKILL' else ''}"


def _begin(
    store: RunStore, run_id: str, data: Path | None, environment: Mapping[str, str] | None, *, bound: bool
) -> subprocess.Popen[bytes]:
    with store.workers.hold(run_id):
        store.reopen(run_id)
        (store.folder(run_id) / "done.json").unlink(missing_ok=True)
        store.workers.queue.tear_up(run_id)  # an earlier job of the app is not owed any more
        words = [WORKER, run_id, *(["--bound"] if bound else [])]
        return processes.launch(store, run_id, words, data, environment, bound=bound)
