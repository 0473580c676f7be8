"""The commands that keep house among the runs: delete, restore, rename, export, import, report."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esacl import bundles, serving, trash, unpacking
from esacl.store import RunStore

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add(command: Command) -> None:
    """Add these commands by `command(name, function, help)`."""
    days = trash.KEPT_SECONDS // 86_400
    deleting = command("delete", _delete, f"delete a run; for {days} days `esacl restore` brings it back")
    restoring = command("restore", _restore, "bring a deleted run back; without RUN: list what can be")
    renaming = command("rename", _rename, "call a run by another name; its settings stay as they were")
    exporting = command("export", _export, "write a run to one file, to hand on or keep")
    importing = command("import", _import, "take in a run that `esacl export` wrote")
    reporting = command("report", _report, "write a run as one HTML file with all figures, which opens anywhere")
    for one in (deleting, renaming, exporting, reporting):
        one.add_argument("run", metavar="RUN", help="an id, a unique prefix, or `latest`")
    restoring.add_argument("run", metavar="RUN", nargs="?", help="an id, a unique prefix, or `latest`: deleted last")
    deleting.add_argument("--for-good", action="store_true", help="at once and beyond recall")
    renaming.add_argument("name", metavar="NAME", help="at most 200 characters; '' for none")
    for one in (exporting, importing):
        one.add_argument("file", type=Path, metavar="FILE.zip")
    reporting.add_argument("file", type=Path, metavar="FILE.html")
    about = "with the states that `esacl resume` goes on from, which are large"
    exporting.add_argument("--checkpoints", action="store_true", help=about)
    for one in (deleting, restoring, renaming, exporting, importing, reporting):
        one.add_argument("--json", action="store_true", help="one JSON object on the last line of stdout")


def _delete(args: argparse.Namespace) -> int:
    store = RunStore(args.runs)
    run_id = store.resolve(args.run)
    if args.for_good:
        store.delete(run_id)
    else:
        trash.discard(store, run_id)
    undo = "" if args.for_good else f"; `esacl restore {run_id}` brings it back"
    return _say(args, f"deleted {run_id}{undo}", deleted=run_id)


def _restore(args: argparse.Namespace) -> int:
    store = RunStore(args.runs)
    if args.run is None:
        found = [one.run_id for one in trash.deleted(store)]
        return _say(args, "\n".join(found) or "no deleted runs", deleted=found)
    run_id = trash.restore(store, args.run)
    return _say(args, f"restored {run_id}", restored=run_id)


def _rename(args: argparse.Namespace) -> int:
    store = RunStore(args.runs)
    run_id = store.resolve(args.run)
    store.rename(run_id, args.name)
    name = store.config(run_id).name
    return _say(args, f"{run_id} is called {name!r}" if name else f"{run_id} has no name", run=run_id, name=name)


def _export(args: argparse.Namespace) -> int:
    store = RunStore(args.runs)
    run_id = store.resolve(args.run)
    bundles.export_run(store, run_id, args.file, checkpoints=args.checkpoints)
    size = args.file.stat().st_size
    return _say(args, f"exported {run_id} to {args.file}, {size:,} bytes", run=run_id, file=str(args.file), bytes=size)


def _import(args: argparse.Namespace) -> int:
    run_id = unpacking.import_run(RunStore(args.runs), args.file)
    return _say(args, f"imported {run_id}", run=run_id)


def _report(args: argparse.Namespace) -> int:
    store = RunStore(args.runs)
    run_id = store.resolve(args.run)
    serving.report(store.root, [run_id], args.file, module="app.run_report", option="esacl report")
    return _say(args, f"wrote {args.file}", run=run_id, file=str(args.file))


def _say(args: argparse.Namespace, text: str, **fields: Any) -> int:
    print(json.dumps(fields) if args.json else text)
    return 0
