"""The command line. Bad input is one line on stderr and exit code 2; 1: the run failed; 130: cancelled."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from esacl import __version__, comparing, config, keeping, outcomes, printing, reproducing, serving
from esacl.errors import InputError, RunUnreadable
from esacl.events import Evaluated
from esacl.look import AXES, PROBES, Look
from esacl.metrics import average_accuracy
from esacl.ranks import of_torchrun
from esacl.records import read_events_of
from esacl.store import RunStore
from esacl.summary import accuracy_matrix, summarise
from esacl.sweep import command as sweeping
from esacl.viewing import View

BAD_INPUT = 2
MOST_CONFIG_BYTES = 2**20
ANALYSES = ("landscape", "spectrum", "sparsity", "selection", "deployment")
_POINTS = {"landscape": "curvature.grid", "sparsity": "curvature.levels", "spectrum": "curvature.top"}
_POINTS_RANGE = {"landscape": (2, 201), "spectrum": (1, 20), "sparsity": (1, 100)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; one of several processes that torchrun started ends with it."""
    ranks = of_torchrun()
    if ranks is None:
        return _main(arguments)
    from esacl import torchrun

    torchrun.main(ranks, _main, arguments)


def _main(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Greek still gets the numbers
    known = parser()
    args, rest = known.parse_known_args(arguments)
    if rest and not args.passes_on:
        args.parser.error(f"unknown {rest[0]!r}")
    if of_torchrun() and args.command not in (_run, _resume):
        args.parser.error("only run and resume are for several processes; start this one without torchrun")
    args.rest = rest
    args.runs = args.runs or Path(os.environ.get("ESACL_RUNS") or "runs")
    try:
        return int(args.command(args))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror}; make room or mend it", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; `{self.prog} --help` shows what there is", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def parser() -> argparse.ArgumentParser:
    """Every command and its options."""
    top = _Parser(prog="esacl", description="Efficient continual learning of sparse models.")
    top.add_argument("--version", action="version", version=f"esacl {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_run(commands)
    _add_analyse(commands)
    listing = _command(commands, "list", _list, "the runs that are kept, newest first")
    showing = _command(commands, "show", _show, "the result of a run")
    resuming = _command(commands, "resume", _resume, "go on with a run from its last checkpoint")
    comparing_ = _command(commands, "compare", _compare, "runs beside each other")
    checking = _command(commands, "doctor", _doctor, "versions, device, data sets, browser, and how the runs are")
    checking.add_argument("--repair", action="store_true", help="mend what can be mended without losing anything")
    checking.add_argument(
        "--bundle", type=Path, metavar="FILE.zip", help="write what a report about a fault needs; no data, no weights"
    )
    for one in (listing, showing, resuming, comparing_, checking):
        one.add_argument("--json", action="store_true", help="one JSON object on the last line of stdout")
    for one in (showing, resuming):
        one.add_argument("run", metavar="RUN", help="an id, a unique prefix, or `latest`")
    showing.add_argument("--toml", action="store_true", help="its settings, as `esacl run --config` reads them")
    resuming.add_argument("--held-lock", type=int, help=argparse.SUPPRESS)
    comparing_.add_argument("runs_to_compare", metavar="RUN", nargs="+", help="an id, a unique prefix, or `latest`")
    comparing_.add_argument("--csv", type=Path, metavar="FILE", help="write a table for spreadsheets")
    comparing_.add_argument("--html", type=Path, metavar="FILE", help="write one page with figures, complete in itself")
    comparing_.add_argument("--latex", type=Path, metavar="FILE", help="write a table for LaTeX with booktabs")
    comparing_.add_argument("--by-seed", action="store_true", help="a row a run, not a mean over seeds")
    for more in (keeping, sweeping):
        more.add(lambda name, function, text: _command(commands, name, function, text))
    serving = _command(commands, "app", _app, "open the web app; options of `streamlit run` are passed on")
    serving.set_defaults(passes_on=True)
    return top


def _command(commands: Any, name: str, function: Any, text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    one.set_defaults(command=function, parser=one, passes_on=False)
    one.add_argument("--runs", type=Path, metavar="DIR", help="where the runs are; default $ESACL_RUNS, else runs/")
    one.add_argument(
        "--data", type=Path, metavar="DIR", help="where the data sets are; default $ESACL_DATA, else your cache folder"
    )
    return one


def _add_run(commands: Any) -> None:
    one = _command(commands, "run", _run, "train, prune, consolidate and evaluate a sequence of tasks")
    one.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; options given here win over it")
    one.add_argument("--benchmark", metavar="NAME", help=", ".join(config.BENCHMARK_NAMES))
    one.add_argument("--scenario", metavar="NAME", help=", ".join(config.SCENARIO_NAMES))
    one.add_argument("--method", metavar="NAME", help=", ".join(config.METHOD_NAMES))
    one.add_argument("--network", metavar="NAME", help=f"auto, {', '.join(config.NETWORK_NAMES)}")
    one.add_argument("--sparsity", type=float, metavar="S", help="share of the prunable weights to remove, in [0, 1)")
    one.add_argument("--tasks", type=int, metavar="N", help="only the first N tasks")
    one.add_argument("--epochs", type=int, metavar="N", help="passes over each task")
    one.add_argument("--train-limit", type=int, metavar="N", help="at most N training examples a task")
    one.add_argument("--seed", type=int, metavar="N", help="default 0")
    one.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps")
    one.add_argument("--threads", type=int, metavar="N", help="processor threads")
    one.add_argument("--name", metavar="TEXT", help="a name to find the run by")
    one.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any setting, for example sdp.every=20"
    )
    one.add_argument("--json", action="store_true", help="one JSON object on the last line of stdout")
    one.add_argument("--into", metavar="ID", help=argparse.SUPPRESS)
    one.add_argument("--held-lock", type=int, help=argparse.SUPPRESS)


def _add_analyse(commands: Any) -> None:
    one = _command(commands, "analyse", _analyse, "look again at a finished run: more points, other settings")
    one.add_argument("run", metavar="RUN", help="an id, a unique prefix, or `latest`")
    one.add_argument("kind", choices=ANALYSES, metavar="KIND", help=", ".join(ANALYSES))
    one.add_argument("--task", type=int, metavar="K", help="which task, from 0; default the last one learned")
    one.add_argument("--points", type=int, metavar="N", help="points a side, sparsity levels, or eigenvalues")
    one.add_argument("--x", metavar="AXIS", help=f"landscape: a plane along {', '.join(AXES)}; needs --y")
    one.add_argument("--y", metavar="AXIS", help="its other axis")
    one.add_argument("--at", metavar="POINT", help="the point it goes through: dense (default) or pruned")
    one.add_argument("--probes", type=int, metavar="N", help=f"spectrum: random vectors for the density ({PROBES})")
    one.add_argument("--check", action="store_true", default=None, help="spectrum: repeat eigenvalues by PyHessian")
    one.add_argument("--compare", action="store_true", default=None, help="sparsity: all saliencies and allocations")
    one.add_argument("--exact", type=float, metavar="S", help="sparsity: one cut to S, judged on all evaluation data")
    one.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps; default the run's")
    one.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another setting, e.g. ids.fraction=0.1"
    )
    one.add_argument("--json", action="store_true", help="one JSON object on the last line of stdout")
    one.add_argument("--held-lock", type=int, help=argparse.SUPPRESS)


def _run(args: argparse.Namespace) -> int:
    from esacl import computing

    store = RunStore(args.runs)
    ranks = of_torchrun()
    if ranks and ranks.restarts:
        raise InputError("torchrun would start the whole run again; leave --max-restarts at 0, and resume the run")
    if args.into:
        _adopt(store, args.into, args.held_lock)
        return computing.run_job(store, args.into, args.data, as_json=args.json)
    keys = (
        "benchmark", "scenario", "method", "network", "sparsity", "tasks", "epochs", "train_limit", "seed",
        "device", "threads", "name",
    )  # fmt: skip
    settings = _settings(args.set) | {key: getattr(args, key) for key in keys if getattr(args, key) is not None}
    return computing.run_new(store, _config_of(args.config, settings), args.data, as_json=args.json)


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    try:
        return dict(map(config.parse_setting, texts))
    except InputError:
        raise
    except (RecursionError, ValueError):
        raise InputError("a setting of --set is nested too deeply, or a number too long; no setting is") from None


def _config_of(path: Path | None, settings: dict[str, Any]) -> config.RunConfig:
    if path is not None and path.is_file() and path.stat().st_size > MOST_CONFIG_BYTES:
        raise InputError(f"config file {path} is larger than {MOST_CONFIG_BYTES} bytes; this is no config")
    try:
        return config.read_config(path, settings)
    except InputError:
        raise
    except (RecursionError, ValueError):  # a number of more than 4,300 digits is not for Python to read
        raise InputError(f"config file {path} is nested too deeply, or a number too long; this is no config") from None


def _resume(args: argparse.Namespace) -> int:
    from esacl import computing

    store = RunStore(args.runs)
    run_id = store.resolve(args.run)
    _adopt(store, run_id, args.held_lock)
    job = args.held_lock is not None
    return computing.resume(store, run_id, args.data, as_json=args.json, job=job)


def _analyse(args: argparse.Namespace) -> int:
    from esacl import analysing

    store = RunStore(args.runs)
    run_id = store.resolve(args.run)
    _adopt(store, run_id, args.held_lock)
    settings = _settings(args.set)
    if args.points is not None:
        if args.kind not in _POINTS:
            raise InputError(f"--points has no meaning for {args.kind}; use it with {', '.join(_POINTS)}")
        low, high = _POINTS_RANGE[args.kind]
        if not low <= args.points <= high:
            raise InputError(f"--points {args.points} will not do for {args.kind}; choose {low} to {high}")
        settings[_POINTS[args.kind]] = args.points
    view = View(args.kind, args.task, settings, args.device, _look(args))
    return analysing.analyse(store, run_id, view, args.data, as_json=args.json, job=args.held_lock is not None)


def _look(args: argparse.Namespace) -> Look:
    of = {"landscape": ("x", "y", "at"), "spectrum": ("probes", "check"), "sparsity": ("compare", "exact")}
    given = {name: value for names in of.values() for name in names if (value := getattr(args, name)) is not None}
    for name in given:
        if name not in of.get(args.kind, ()):
            raise InputError(f"--{name} has no meaning for {args.kind}; it belongs to {_owner(of, name)}")
    if "at" in given and "x" not in given:
        raise InputError("--at says where a plane of your choice goes through; give --x and --y too")
    if args.kind == "spectrum" and args.probes is None:
        given["probes"] = PROBES
    return Look(**given)


def _owner(of: dict[str, tuple[str, ...]], name: str) -> str:
    return next(kind for kind, names in of.items() if name in names)


def _list(args: argparse.Namespace) -> int:
    store = RunStore(args.runs)
    runs = [_brief(store, run_id) for run_id in store.ids()]
    if args.json:
        print(json.dumps({"runs": runs}))
    elif not runs:
        print(f"no runs in {store.root.absolute()}; `esacl run` makes one")
    else:
        columns = ("run", "status", "ACC, %", "scenario", "sparsity, %", "seed", "name")
        rows = [
            (
                one["run"],
                one["status"],
                printing.percent(one["average_accuracy"]),
                one.get("scenario", "–"),
                printing.percent(one.get("sparsity")),
                str(one.get("seed", "–")),
                one.get("name", "") or one["detail"],
            )
            for one in runs
        ]
        print(printing.table(columns, rows))
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
    store = RunStore(args.runs)
    ids = list(dict.fromkeys(map(store.resolve, args.runs_to_compare)))
    summaries = [summarise(store.read(run_id)) for run_id in ids]
    runs, groups = outcomes.rows(summaries), outcomes.groups(summaries)
    rows = runs if args.by_seed else groups
    for path, text in ((args.csv, comparing.as_csv), (args.latex, comparing.as_latex)):
        if path is None:
            continue
        try:
            path.write_text(text(rows), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); name another file") from None
    if args.html is not None:
        serving.report(store.root, ids, args.html)
    print(json.dumps({"runs": runs, "groups": groups}) if args.json else comparing.as_table(rows))
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from esacl import bundle, doctor

    found = doctor.examine(args.runs, args.data, repair=args.repair)
    if args.bundle is not None:
        bundle.write_bundle(RunStore(args.runs), found, args.bundle)
    print(json.dumps(found) if args.json else doctor.as_text(found))
    return 0


def _app(args: argparse.Namespace) -> int:
    return serving.serve(args.runs, args.data, args.rest)


def _adopt(store: RunStore, run_id: str, descriptor: int | None) -> None:
    if descriptor is not None:
        store.folder(run_id)
        try:
            store.workers.adopt(run_id, descriptor)
        except OSError:
            raise InputError(f"--held-lock {descriptor} is not an open file; leave it out") from None
