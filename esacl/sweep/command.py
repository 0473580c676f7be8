"""`esacl sweep`: the file, an engine, the progress of all on stderr, the table on stdout."""

import argparse
import contextlib
import datetime as dt
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from esacl import accelerators, comparing, outcomes, printing
from esacl.commands import Command, add_json
from esacl.errors import InputError
from esacl.progress import Bar
from esacl.store import RunStore
from esacl.summary import summarise
from esacl.sweep import data as datasets
from esacl.sweep.book import Book, opened
from esacl.sweep.driver import Engine, EngineGone, drive
from esacl.sweep.gpus import workers_for
from esacl.sweep.on_dask import OnDask, connected
from esacl.sweep.processes import Processes
from esacl.sweep.record import Entry
from esacl.sweep.spec import Sweep, read_spec

DONE, FAILED, CANCELLED = 0, 1, 130
ENGINES = ("process", "dask")
MOST_WORKERS = 256
_TOLD = 3  # rows that are left out, by name
_FORM = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} runs [{elapsed}{postfix}]"


def add(command: Command) -> None:
    """Add this command."""
    one = command("sweep", sweep, "every run of a file, so many at a time; the same command again goes on")
    one.add_argument("file", type=Path, metavar="SWEEP.toml", help="seeds, [common], [grid] and [[run]]")
    one.add_argument("--engine", metavar="NAME", help=f"{', '.join(ENGINES)}; default process, with --scheduler dask")
    one.add_argument("--workers", type=int, metavar="N", help="runs at a time; default one a GPU, or one a core")
    one.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="of Dask; without it --engine dask starts one here")
    add_json(one)
    one.add_argument("--held-lock", type=int, help=argparse.SUPPRESS)


def sweep(args: argparse.Namespace) -> int:
    """Compute what is due of a sweep and print its table.

    Raises:
        InputError: bad input, before anything has started.
    """
    engine = _engine(args)
    plan = read_spec(args.file)
    _tell_folded(plan.folded)
    store, code = RunStore(args.runs), DONE
    with _signals() as requests, _engine_of(engine, args, plan) as make, opened(
        store, plan, engine, _workers(args, plan), _asked(args), args.held_lock
    ) as book:  # fmt: skip
        if book.taken_over:
            print(f"{book.taken_over} of its runs are there already, of another sweep or another name", file=sys.stderr)
        if book.due():
            code = _follow(book, make(book), lambda: len(requests) or int(book.cancelled()), quiet=args.json)
        return _tell(book, code, as_json=args.json)


def _tell_folded(folded: Sequence[tuple[str, str]]) -> None:
    """How many rows are left out, and the first of them."""
    if folded:
        print(f"left out, as earlier rows compute the same: {len(folded)}", file=sys.stderr)
    for left_out, kept in folded[:_TOLD]:
        print(f"  {left_out}, the same as {kept}", file=sys.stderr)
    if len(folded) > _TOLD:
        print(f"  and {len(folded) - _TOLD} more", file=sys.stderr)


def _engine(args: argparse.Namespace) -> str:
    engine = args.engine or ("dask" if args.scheduler else "process")
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}; choose from {', '.join(ENGINES)}")
    if args.scheduler and engine != "dask":
        raise InputError("--scheduler is for --engine dask; leave one of them out")
    if args.scheduler and args.workers is not None:
        raise InputError("--workers is for this machine; a scheduler has the workers that were started for it")
    if args.workers is not None and not 1 <= args.workers <= MOST_WORKERS:
        raise InputError(f"--workers {args.workers} will not do; choose 1 to {MOST_WORKERS}")
    return engine


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    """The options that another process needs to go on as this one; `resuming` gives them to it."""
    # Of a scheduler's workers it is their folder, which need not be one here.
    data = args.data if args.data is None or args.scheduler else args.data.absolute()
    return {"workers": args.workers, "scheduler": args.scheduler, "data": None if data is None else str(data)}


def _workers(args: argparse.Namespace, plan: Sweep) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = args.workers or workers_for([row.config for row in plan.rows], accelerators.visible(), cores)
    return min(int(most), len(plan.rows))


@contextlib.contextmanager
def _engine_of(engine: str, args: argparse.Namespace, plan: Sweep) -> Iterator[Callable[[Book], Engine]]:
    """What makes the engine once the record is open; whatever can be refused is, before that."""
    benchmarks = {row.config.benchmark for row in plan.rows}
    workers = _workers(args, plan)
    if engine == "dask":
        with connected(args.scheduler, workers) as client:
            found = accelerators.visible() if args.scheduler is None else ()
            yield lambda book: OnDask(book, client, args.data, found)
        return
    if problem := datasets.missing(benchmarks, args.data):
        raise InputError(problem)
    yield lambda book: Processes(book, workers, args.data, accelerators.visible())


def _follow(book: Book, engine: Engine, requests: Callable[[], int], *, quiet: bool) -> int:
    told = list(book.entries)
    with Bar("runs", _FORM) if not quiet else contextlib.nullcontext() as bar:
        say = bar.say if bar else lambda line: print(line, file=sys.stderr)
        try:
            for _ in drive(book, engine, requests):
                for before, entry in zip(told, book.entries):
                    if entry.state != before.state and (line := _line(entry, quiet=quiet)):
                        say(line)
                told = list(book.entries)
                if bar:
                    _draw(bar, book)
        except EngineGone as error:
            say(f"error: {error}")
            return FAILED
    if requests():
        return CANCELLED
    return DONE if all(entry.state == "finished" for entry in book.entries) else FAILED


def _line(entry: Entry, *, quiet: bool) -> str:
    """What is said of a row that has changed; of what goes well nothing where nobody watches."""
    which = entry.label if entry.run is None else f"{entry.label}, run {entry.run}"
    if entry.state == "failed":
        return f"failed: {which}: {entry.detail}"
    if quiet or entry.state in ("running", "waiting"):
        return ""
    return f"{entry.state} in {printing.seconds(entry.seconds)}: {which}"


def _draw(bar: Bar, book: Book) -> None:
    state = book.state()
    left = "" if state.eta is None else f"about {dt.timedelta(seconds=round(state.eta))} left"
    bar.set(f"{state.running} running, {state.failed} failed", state.done, len(state.rows), left)


def _tell(book: Book, code: int, *, as_json: bool) -> int:
    state = book.state()
    summaries = [summarise(book.store.read(row.run)) for row in state.rows if row.state == "finished" and row.run]
    if as_json:
        rows = [{"label": row.label, "run": row.run, "state": row.state, "detail": row.detail} for row in state.rows]
        counts = {"done": state.done, "failed": state.failed, "waiting": state.waiting}
        told = {"sweep": state.name, **counts, "runs": rows, "groups": outcomes.groups(summaries)}
        print(json.dumps(told, allow_nan=False))
        return code
    if summaries:
        print(comparing.as_table(outcomes.groups(summaries)))
    print(f"\n{state.done} of {len(state.rows)} runs finished, {state.failed} failed, {state.waiting} to come")
    for detail, count in Counter(row.detail for row in state.rows if row.state == "failed").most_common():
        print(f"error: {count} failed: {detail}", file=sys.stderr)
    return code


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """The requests to stop that have come, while this lasts: Ctrl-C and SIGTERM."""
    found: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        found.append(number)
        text = "stopping the runs; the same command goes on. Ctrl-C again ends them at once"
        print(f"\n{text}" if len(found) == 1 else "\nending the runs", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = [(number, signal.signal(number, note)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield found
    finally:
        for number, handler in before:
            signal.signal(number, handler)
