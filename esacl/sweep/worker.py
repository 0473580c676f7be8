"""The process of one run of a sweep: `python -m esacl.sweep.worker RUN`, started by `carry` and by nobody else."""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from esacl import computing, logs, priority, turns
from esacl.errors import InputError
from esacl.failures import explain
from esacl.store import RunStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute the run from wherever it stands, and see that its folder says how that ended."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("run")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--held-lock", type=int, required=True)
    parser.add_argument("--bound", action="store_true", help="end when stdin does: with the process that holds it")
    args = parser.parse_args(arguments)
    priority.weigh_session()
    store = RunStore(args.runs)
    store.workers.adopt(args.run, args.held_lock)
    if args.bound:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return computing.run_beside(store, args.run, args.data)
    except (InputError, OSError) as error:
        folder = store.folder(args.run)
        told = str(error) if isinstance(error, InputError) else explain(error, folder)
        print(f"error: {told}", file=sys.stderr)
        logs.note(logs.job_log(folder), "refused", detail=told)
        if not (folder / "done.json").exists():  # it was refused before anybody recorded it
            with contextlib.suppress(OSError):
                store.finish(args.run, "failed", told)
        return turns.FAILED


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written: it returns when the other end is gone
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    raise SystemExit(main())
