"""The commands that read runs: `list` all, `show` one, `compare` some."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from esacl import comparing, outcomes, printing, reproducing, serving
from esacl.commands import WHICH_RUN, Command, add_json
from esacl.durable import outside_of_runs, write_out
from esacl.errors import InputError, RunUnreadable
from esacl.events import Evaluated
from esacl.metrics import average_accuracy
from esacl.records import read_events_of
from esacl.store import RunStore
from esacl.summary import accuracy_matrix, summarise


def add_list(command: Command) -> None:
    """Add `list`."""
    add_json(command("list", _list, "the runs that are kept, newest first"))


def add_show(command: Command) -> None:
    """Add `show`."""
    one = command("show", _show, "the result of a run")
    add_json(one)
    one.add_argument("run", metavar="RUN", help=WHICH_RUN)
    one.add_argument("--toml", action="store_true", help="its settings, as `esacl run --config` reads them")


def add_compare(command: Command) -> None:
    """Add `compare`."""
    one = command("compare", _compare, "runs beside each other")
    add_json(one)
    one.add_argument("runs_to_compare", metavar="RUN", nargs="+", help=WHICH_RUN)
    one.add_argument("--csv", type=Path, metavar="FILE", help="write a table for spreadsheets")
    one.add_argument("--html", type=Path, metavar="FILE", help="write one page with figures, complete in itself")
    one.add_argument("--latex", type=Path, metavar="FILE", help="write a table for LaTeX with booktabs")
    one.add_argument("--by-seed", action="store_true", help="a row a run, not a mean over seeds")


def _list(args: argparse.Namespace) -> int:
    store = RunStore(args.runs)
    runs = [_brief(store, run_id) for run_id in store.ids()]
    if args.json:
        print(json.dumps({"runs": runs}))
    elif not runs:
        print(f"no runs in {store.root.absolute()}; `esacl run` makes one")
    else:
        columns = ("run", "status", "ACC, %", "scenario", "sparsity, %", "seed", "name", "reason")
        told = len(columns) if any(one["detail"] for one in runs) else -1
        rows = [
            (
                one["run"],
                one["status"],
                printing.percent(one["average_accuracy"]),
                one.get("scenario", "–"),
                printing.percent(one.get("sparsity")),
                str(one.get("seed", "–")),
                one.get("name", ""),
                one["detail"],
            )[:told]
            for one in runs
        ]
        print(printing.table(columns[:told], rows))
    return 0


def _brief(store: RunStore, run_id: str) -> dict[str, Any]:
    status = store.status(run_id)
    brief: dict[str, Any] = {"run": run_id, "status": status.state, "detail": status.detail, "average_accuracy": None}
    try:
        settings = store.config(run_id)
        evaluated = read_events_of(store.folder(run_id) / "events.jsonl", Evaluated)
    except RunUnreadable as error:
        return brief | {"status": "unreadable", "detail": str(error)}
    keys = ("benchmark", "scenario", "method", "sparsity", "seed", "name")
    matrix = accuracy_matrix(evaluated, settings.tasks)
    if len(matrix) == settings.tasks:
        brief["average_accuracy"] = average_accuracy(matrix)
    return brief | {key: getattr(settings, key) for key in keys}


def _show(args: argparse.Namespace) -> int:
    from esacl import computing

    store = RunStore(args.runs)
    run_id = store.resolve(args.run)
    if args.toml:
        print(reproducing.as_toml(store.config(run_id)), end="")
        return 0
    computing.print_result(store, run_id, as_json=args.json)
    return 0


def _compare(args: argparse.Namespace) -> int:
    _refuse_one_file_for_two({"--csv": args.csv, "--html": args.html, "--latex": args.latex})
    store = RunStore(args.runs)
    for path in filter(None, (args.csv, args.html, args.latex)):
        outside_of_runs(path, store.root)
    ids = list(dict.fromkeys(map(store.resolve, args.runs_to_compare)))
    summaries = [summarise(store.read(run_id)) for run_id in ids]
    runs, groups = outcomes.rows(summaries), outcomes.groups(summaries)
    rows = runs if args.by_seed else groups
    for path, text in ((args.csv, comparing.as_csv), (args.latex, comparing.as_latex)):
        if path is not None:
            write_out(path, text(rows).encode())
    if args.html is not None:
        serving.report(store.root, ids, args.html)
    print(json.dumps({"runs": runs, "groups": groups}) if args.json else comparing.as_table(rows))
    return 0


def _refuse_one_file_for_two(named: dict[str, Path | None]) -> None:
    """Refuse to write a file that the next one of the same command would replace.

    Raises:
        InputError: two options name one file.
    """
    owners: dict[str, str] = {}
    for option, path in named.items():
        if path is None or (path.exists() and not path.is_file()):  # a pipe or a terminal takes one after the other
            continue
        place = os.path.realpath(path)  # a link and its file are one
        if place in owners:
            raise InputError(f"{owners[place]} and {option} both name {path}, and one would be lost; name two files")
        owners[place] = option
