"""`esacl analyse`: which view of a run is asked for, and which options belong to which."""

import argparse

from esacl.commands import WHICH_RUN, Command, add_json
from esacl.errors import InputError
from esacl.look import AXES, PROBES, Look
from esacl.run_commands import adopt, settings_of
from esacl.store import RunStore
from esacl.viewing import View

ANALYSES = ("landscape", "spectrum", "sparsity", "selection", "deployment")
_POINTS = {"landscape": "curvature.grid", "sparsity": "curvature.levels", "spectrum": "curvature.top"}
_POINTS_RANGE = {"landscape": (2, 201), "spectrum": (1, 20), "sparsity": (1, 100)}


def add(command: Command) -> None:
    """Add this command."""
    one = command("analyse", analyse, "look again at a finished run: more points, other settings")
    one.add_argument("run", metavar="RUN", help=WHICH_RUN)
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
    add_json(one)
    one.add_argument("--held-lock", type=int, help=argparse.SUPPRESS)


def analyse(args: argparse.Namespace) -> int:
    """Analyse a run once its options have been found to fit each other."""
    from esacl import analysing

    store = RunStore(args.runs)
    run_id = store.resolve(args.run)
    adopt(store, run_id, args.held_lock)
    settings = settings_of(args.set)
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
