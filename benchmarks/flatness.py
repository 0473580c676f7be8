"""How flat a network is where each task leaves it: `python -m benchmarks.flatness SPEC.toml --data DIR`.

The rows are those of a comparison (`benchmarks/spec.py`). At the end of every task the largest Hessian eigenvalue of
the loss on 512 of its training images is taken, restricted to the weights that survive, and beside it that eigenvalue
times |theta|^2, for a network of smaller weights may seem sharper and be the same.
"""

import argparse
import multiprocessing
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.provenance import ROOT, header, keep, this_command
from benchmarks.spec import read_spec
from esacl.config import RunConfig
from esacl.progress import Bar

EXAMPLES = 512
COLUMNS = {
    "average_accuracy": ("average accuracy, %", 100), "learning_accuracy": ("learning accuracy, %", 100),
    "backward_transfer": ("backward transfer, points", 100), "lambda_max": ("lambda_max", 1),
    "relative": ("lambda_max \\|theta\\|^2", 1), "flops": ("FLOPs / dense SGD", 1),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every row, print the table and keep it beside the spec's other results."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("spec", type=Path, help="a TOML file of rows")
    options.add_argument("--data", type=Path, metavar="DIR", help="where the data sets are")
    options.add_argument("--evaluation", choices=("test", "validation"), default=None)
    options.add_argument("--workers", type=int, default=2)
    args = options.parse_args(arguments)
    spec = read_spec(args.spec)
    evaluation = args.evaluation or spec.evaluation
    jobs = [(row.name, row.config(seed, evaluation), args.data) for seed in spec.seeds for row in spec.rows]
    found: dict[str, list[dict[str, float]]] = {row.name: [] for row in spec.rows}
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with multiprocessing.get_context("spawn").Pool(args.workers, maxtasksperchild=1) as pool, Bar("runs") as bar:
        for done, (name, measured) in enumerate(pool.imap_unordered(_measured, jobs), start=1):
            found[name].append(measured)
            bar.set(name, done, len(jobs))
    title = f"{spec.title}: {evaluation} data" if evaluation != "test" else spec.title
    lines = [*header(title, spec.note, this_command("benchmarks.flatness")), *_table(found)]
    keep(ROOT / "benchmarks" / "results" / f"{args.spec.stem}.md", lines)
    return 0


def _table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[str]:
    yield "| row | " + " | ".join(title for title, _ in COLUMNS.values()) + " | n |"
    yield "|---" * (len(COLUMNS) + 2) + "|"
    for name, runs in found.items():
        cells = [_told([factor * run[key] for run in runs]) for key, (_, factor) in COLUMNS.items()]
        yield f"| {name} | {' | '.join(cells)} | {len(runs)} |"


def _told(values: Sequence[float]) -> str:
    sd = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{sd}"


def _measured(job: tuple[str, RunConfig, Path | None]) -> tuple[str, dict[str, float]]:
    from benchmarks.once import measures
    from esacl.events import CheckpointReady
    from esacl.pipeline import run

    name, config, data = job
    kept: list[Any] = []
    sharpness = []
    for event in run(config, data=data):
        if isinstance(event, CheckpointReady) and event.epoch == 0:
            sharpness.append(sharpness_at(config, event, data))
        kept.append(event)
    accuracies = {key: value for key, value in measures(config, kept).items() if key in COLUMNS}
    flat = {
        "lambda_max": statistics.mean(value for value, _ in sharpness),
        "relative": statistics.mean(value * norm**2 for value, norm in sharpness),
    }
    return name, accuracies | flat


def sharpness_at(config: RunConfig, state: Any, data: Path | None) -> tuple[float, float]:
    """The largest eigenvalue over the survivors where a task ended, and |theta| of these."""
    import torch

    from esacl import networks, seeds
    from esacl.curvature import hessian, top_eigenpairs
    from esacl.mask import Mask
    from esacl.pipeline import learner_of
    from esacl.stages import stage_of
    from esacl.tasks import task_stream

    device, task = torch.device("cpu"), state.task - 1
    stream = task_stream(config, data)
    network = networks.build(config, stream)
    learner = learner_of(config, stream, network, device)
    learner.load(state)
    stage = stage_of(config, stream, task, device, joint=learner.joint)
    rows = torch.randperm(len(stage.examples), generator=seeds.torch_generator(0, "flatness"))[:EXAMPLES]
    some = stage.examples.take(rows)
    mask = learner.mask or Mask({name: torch.ones_like(w, dtype=torch.bool) for name, w in learner.weights.items()})
    with learner.statistics.of(task):
        operator = hessian(network.eval(), stage.criterion, (some.inputs, some.targets), mask)
        found = top_eigenpairs(operator, 1)
    left = [p.detach() * mask[name] if name in mask else p.detach() for name, p in learner.parameters.items()]
    return float(found.values[0]), float(torch.cat([p.flatten() for p in left]).norm())


if __name__ == "__main__":
    raise SystemExit(main())
