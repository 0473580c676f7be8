"""What runs take by the clock: dense and sparse ones in turns, on one thread each, nothing else on the machine.

`python -m benchmarks.wall_time --data DIR`: rounds of every row, so that what disturbs the machine disturbs all rows.
A row that ends with "steps of the whole network" has its sparse steps go over all weights, zeros included.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.once import Record, measure
from benchmarks.provenance import ROOT, header, keep, this_command
from benchmarks.table import mean_sd
from esacl.config import RunConfig
from esacl.errors import InputError

BARE = {"curvature": {"top": 0, "levels": 0, "grid": 0, "examples": 64}, "threads": 1, "device": "cpu"}
ROWS: dict[str, dict[str, object]] = {
    "ewc, dense": {"method": "ewc"},
    "finetune, dense": {"method": "finetune"},
    "esacl, 80%": {"method": "esacl", "sparsity": 0.8},
    "esacl, 90%": {"method": "esacl", "sparsity": 0.9},
    "esacl, 95%": {"method": "esacl", "sparsity": 0.95},
    "esacl, 98% (progressive)": {"method": "esacl", "sparsity": 0.98},
    "esacl, neuron, 90%": {"method": "esacl", "sparsity": 0.9, "pruning": {"allocation": "neuron"}},
}
REFERENCE = "ewc, dense"
NOTE = """Each run alone, one thread, the first tasks of the benchmark, every setting a default; a seed a round. \
Seconds of a run: without imports and data, with Fisher information and judging. The accuracies are here to show that \
nothing is lost, the defaults' rate being tuned for nobody."""
CLOCKED = ("_step", "_choose_steps")
WHOLE = ", steps of the whole network"
"""Rows that end so run with sparse steps off: what they took before."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all rows in turns and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--benchmark", default="split-mnist")
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "wall_time.md")
    args = parser.parse_args(arguments)
    rows = [*ROWS, *[f"{name}{WHOLE}" for name in ROWS if name.startswith("esacl")]]
    took: dict[str, list[Record]] = {name: [] for name in rows}
    for turn in range(args.rounds):
        for name in rows[turn % len(rows) :] + rows[: turn % len(rows)]:
            settings = {**BARE, **ROWS[name.removesuffix(WHOLE)], "benchmark": args.benchmark, "tasks": args.tasks}
            config = RunConfig.model_validate({**settings, "seed": turn})
            took[name].append(timed(config, args.data, whole=name.endswith(WHOLE)))
            print(f"{turn + 1}/{args.rounds} {name}: {took[name][-1]['steps']:.1f} s", file=sys.stderr, flush=True)
        lines = header("What runs take by the clock", NOTE, this_command("benchmarks.wall_time"))
        keep(args.out, [*lines, *table(took)])  # after each round, lest an hour be lost
    return 0


def timed(config: RunConfig, data: Path | None, *, whole: bool) -> Record:
    """The run's measures, and the seconds of its training steps alone, with what chooses and prepares them."""
    from esacl import training

    spent, pays, kept = [0.0], training.pays, {name: getattr(training.Learner, name) for name in CLOCKED}
    if whole:
        training.pays = lambda mask: False
    for name, function in kept.items():
        setattr(training.Learner, name, _clocked(function, spent))
    try:
        return {**measure(config, data), "steps": spent[0]}
    finally:
        training.pays = pays
        for name, function in kept.items():
            setattr(training.Learner, name, function)


def _clocked(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def timed_call(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            spent[0] += time.perf_counter() - began

    return timed_call


def table(took: dict[str, list[Record]]) -> list[str]:
    """Seconds and their ratios to those of the reference in the same round, mean and sd."""
    lines = [
        "| row | seconds in training steps | over those of dense EWC | seconds of a run | over those of dense EWC | "
        "FLOPs / dense SGD | average accuracy, % | n |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, records in took.items():
        cells = []
        for what in ("steps", "seconds"):
            cells.append(mean_sd([record[what] for record in records], "{:.1f}".format))
            pairs = zip(records, took[REFERENCE], strict=True)
            cells.append(mean_sd([record[what] / dense[what] for record, dense in pairs], "{:.2f}".format))
        cells.append(mean_sd([record["flops"] for record in records], "{:.2f}".format))
        cells.append(mean_sd([100 * record["average_accuracy"] for record in records], "{:.2f}".format))
        lines.append(f"| {name} | {' | '.join(cells)} | {len(records)} |")
    return lines


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"error: {error}")
