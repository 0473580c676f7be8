"""The commands that keep house among the runs: delete, restore, rename, export, import, report."""

import argparse
import json
from pathlib import Path
from typing import Any

from esacl import bundles, exporting, serving, trash, unpacking
from esacl.commands import WHICH_RUN, Command, add_json
from esacl.durable import outside_of_runs
from esacl.errors import InputError
from esacl.store import RunStore

FORMATS = ("bundle", "safetensors", "sparse", "onnx")


def add(command: Command) -> None:
    """Add these commands."""
    days = trash.KEPT_SECONDS // 86_400
    deleting = command("delete", _delete, f"delete a run; for {days} days `esacl restore` brings it back")
    restoring = command("restore", _restore, "bring a deleted run back; without RUN: list what can be")
    renaming = command("rename", _rename, "call a run by another name; its settings stay as they were")
    writing = command("export", _export, "write a run to one file to hand on, or its network to one to use elsewhere")
    importing = command("import", _import, "take in a run that `esacl export` wrote")
    reporting = command("report", _report, "write a run as one HTML file with all figures, which opens anywhere")
    for one in (deleting, renaming, writing, reporting):
        one.add_argument("run", metavar="RUN", help=WHICH_RUN)
    restoring.add_argument("run", metavar="RUN", nargs="?", help=f"{WHICH_RUN}: deleted last")
    deleting.add_argument("--for-good", action="store_true", help="at once and beyond recall")
    renaming.add_argument("name", metavar="NAME", help="at most 200 characters; '' for none")
    importing.add_argument("file", type=Path, metavar="FILE.zip")
    writing.add_argument("file", type=Path, metavar="FILE", nargs="?", help="what to write; or --out FILE")
    writing.add_argument("--out", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    told = "bundle (default): the whole run as a zip; its network with a model card: safetensors, sparse, onnx"
    writing.add_argument("--format", choices=FORMATS, default=FORMATS[0], metavar="NAME", help=told)
    about = "a network: without the units that pruning left without weights or readers; smaller, with the same outputs"
    writing.add_argument("--shrink", action="store_true", help=about)
    writing.add_argument("--task", type=int, metavar="K", help="a run with a network for each task: which, from 0")
    reporting.add_argument("file", type=Path, metavar="FILE.html")
    about = "bundle: with the states that `esacl resume` goes on from, which are large"
    writing.add_argument("--checkpoints", action="store_true", help=about)
    for one in (deleting, restoring, renaming, writing, importing, reporting):
        add_json(one)


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
    if (args.file is None) == (args.out is None):
        raise InputError("say once where to write: `esacl export RUN FILE`")
    path = args.file or args.out
    outside_of_runs(path, store.root)
    if args.format == "bundle":
        if args.task is not None:
            raise InputError("--task chooses a network, and a bundle holds the run; give --format too")
        if args.shrink:
            raise InputError("--shrink makes a network smaller, and a bundle holds the run; give --format too")
        bundles.export_run(store, run_id, path, checkpoints=args.checkpoints)
        size = path.stat().st_size
        return _say(args, f"exported {run_id} to {path}, {size:,} bytes", run=run_id, file=str(path), bytes=size)
    if args.checkpoints:
        raise InputError(f"--checkpoints belongs to a bundle, not to {args.format}; leave it out")
    return _export_network(args, store, run_id, path)


def _export_network(args: argparse.Namespace, store: RunStore, run_id: str, path: Path) -> int:
    outside_of_runs(exporting.card_beside(path, run_id), store.root)  # before the work
    final = exporting.network_of(store, run_id, args.data, args.task)
    done, card = exporting.export_network(final, args.format, path, shrink=args.shrink)
    size, accuracy = len(done.data), sum(done.accuracies) / len(done.accuracies)
    recorded = sum(final.accuracies) / len(final.accuracies)
    but = f", where the run recorded {100 * recorded:.2f}%, task by task in the card" if done.differs else ""
    text = (
        f"exported the network of {run_id} to {path}, {size:,} bytes, {done.compared} "
        f"dense safetensors; {100 * accuracy:.2f}% right{but}; {card.name} tells the rest"
    )
    fields = {"run": run_id, "file": str(path), "card": str(card), "bytes": size, "dense_bytes": done.dense_bytes}
    fields["widths"] = None if done.widths is None else {name: list(units) for name, units in done.widths.items()}
    return _say(args, text, **fields, accuracies=list(done.accuracies), apart=done.apart)


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
