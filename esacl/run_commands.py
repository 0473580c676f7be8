"""The commands that compute a run: `run` from its settings, `resume` from its last checkpoint."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from esacl import config
from esacl.commands import WHICH_RUN, Command, add_json
from esacl.errors import InputError
from esacl.ranks import of_torchrun
from esacl.store import RunStore

MOST_CONFIG_BYTES = 2**20


def add_run(command: Command) -> None:
    """Add `run`."""
    one = command("run", run, "train, prune, consolidate and evaluate a sequence of tasks")
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
    add_json(one)
    one.add_argument("--into", metavar="ID", help=argparse.SUPPRESS)
    one.add_argument("--held-lock", type=int, help=argparse.SUPPRESS)


def add_resume(command: Command) -> None:
    """Add `resume`."""
    one = command("resume", resume, "go on with a run from its last checkpoint")
    add_json(one)
    one.add_argument("run", metavar="RUN", help=WHICH_RUN)
    one.add_argument("--held-lock", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Compute a new run, or with `--into` one whose folder is there."""
    from esacl import computing

    store = RunStore(args.runs)
    ranks = of_torchrun()
    if ranks and ranks.restarts:
        raise InputError("torchrun would start the whole run again; leave --max-restarts at 0, and resume the run")
    if args.into:
        adopt(store, args.into, args.held_lock)
        return computing.run_job(store, args.into, args.data, as_json=args.json)
    keys = (
        "benchmark", "scenario", "method", "network", "sparsity", "tasks", "epochs", "train_limit", "seed",
        "device", "threads", "name",
    )  # fmt: skip
    settings = settings_of(args.set) | {key: getattr(args, key) for key in keys if getattr(args, key) is not None}
    return computing.run_new(store, config_of(args.config, settings), args.data, as_json=args.json)


def resume(args: argparse.Namespace) -> int:
    """Go on with a run."""
    from esacl import computing

    store = RunStore(args.runs)
    run_id = store.resolve(args.run)
    adopt(store, run_id, args.held_lock)
    job = args.held_lock is not None
    return computing.resume(store, run_id, args.data, as_json=args.json, job=job)


def settings_of(texts: Sequence[str]) -> dict[str, Any]:
    """The settings that `--set` was given.

    Raises:
        InputError: one of them is no setting.
    """
    try:
        return dict(map(config.parse_setting, texts))
    except InputError:
        raise
    except (RecursionError, ValueError):
        raise InputError("a setting of --set is nested too deeply, or a number too long; no setting is") from None


def config_of(path: Path | None, settings: dict[str, Any]) -> config.RunConfig:
    """The config of a file and of settings that win over it.

    Raises:
        InputError: it is no config.
    """
    if path is not None and path.is_file() and path.stat().st_size > MOST_CONFIG_BYTES:
        raise InputError(f"config file {path} is larger than {MOST_CONFIG_BYTES} bytes; this is no config")
    try:
        return config.read_config(path, settings)
    except InputError:
        raise
    except (RecursionError, ValueError):  # a number of more than 4,300 digits is not for Python to read
        raise InputError(f"config file {path} is nested too deeply, or a number too long; this is no config") from None


def adopt(store: RunStore, run_id: str, descriptor: int | None) -> None:
    """Take over the lock of a run from the process that started this one; nothing where there is none.

    Raises:
        InputError: there is no such run, or the descriptor is not open.
    """
    if descriptor is not None:
        store.folder(run_id)
        try:
            store.workers.adopt(run_id, descriptor)
        except OSError:
            raise InputError(f"--held-lock {descriptor} is not an open file; leave it out") from None
