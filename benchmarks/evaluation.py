"""What judging a sparse MLP costs by what is left of it: dense time over that of each kernel.

    python -m benchmarks.evaluation --data DIR

A short EsaCL run on Split MNIST (MLP 784-400-400) ends in a dense point, which is cut by four allocations at several
levels. The last task's 2,000 or so test images go through the whole network in pieces of 250, as a run judges, and of
2,000, as its analyses do. All kernels take turns in every round, in seconds of their thread on the processor.
"""

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.kernels import in_turns
from benchmarks.provenance import ROOT, header, keep, this_command
from esacl import networks
from esacl.analysis import sparse_forward
from esacl.config import RunConfig
from esacl.criterion import criterion
from esacl.events import ArrayRecorded
from esacl.export.shrunk import shrunk
from esacl.export.sparse_layers import sparse_twin
from esacl.pipeline import run
from esacl.pruning import keep_top, saliency
from esacl.sections import Curvature
from esacl.tasks import Examples, task_stream
from esacl.units import units_of

RESULT = ROOT / "benchmarks" / "results" / "evaluation.md"
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
ALLOCATIONS = ("global", "uniform", "neuron", "by chance")
PIECES = (250, 2000)
DENSE, CSR, SMALLER, BOTH = "dense", "CSR", "smaller dense", "smaller, then CSR"
SHORT = Curvature(top=0, levels=0, grid=0, examples=64)
_NOTE = (
    "Above 1: faster than dense. Medians over {rounds} rounds, one thread, its time on the processor; other work was "
    "on the machine. Apart: largest difference of a logit. Hits: images that are right by the dense network and by the "
    "last kernel, where an answer that hangs on the last digits is asked of the dense one."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure, print the table and keep it."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help="where MNIST is")
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--out", type=Path, default=RESULT, metavar="FILE.md")
    args = options.parse_args(arguments)
    config = RunConfig(benchmark="split-mnist", sparsity=0.95, epochs=args.epochs, threads=1, curvature=SHORT)
    last = f"weights-t{config.tasks - 1}"
    found = [e.arrays for e in run(config, data=args.data) if isinstance(e, ArrayRecorded) and e.name == last]
    weights = {name: torch.from_numpy(array.copy()) for name, array in found[0].items()}
    lines = [line for name in ALLOCATIONS for line in _rows(config, args.data, weights, name, args.rounds)]
    titles = ["allocation", "sparsity", "piece", "dense, ms", CSR, SMALLER, BOTH, "widths", "apart", "hits"]
    head = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    note = _NOTE.format(rounds=args.rounds)
    keep(args.out, [*header("Judging a sparse MLP", note, this_command("benchmarks.evaluation")), *head, *lines])
    return 0


def _rows(config: RunConfig, data: Path, weights: Mapping[str, Tensor], allocation: str, rounds: int) -> Iterator[str]:
    stream = task_stream(config, data)
    images = stream[config.tasks - 1].evaluation
    right = criterion(config.scenario, [task.classes for task in stream], stream.outputs, torch.device("cpu"))
    for level in LEVELS:
        network = cut(config, data, weights, allocation, level)
        small = shrunk(network)
        kernels = {DENSE: network, CSR: sparse_twin(network)[0], SMALLER: small.network}
        kernels[BOTH] = sparse_twin(small.network)[0]
        with torch.no_grad():
            theirs, ours = kernels[BOTH](images.inputs), network(images.inputs)
            apart = float((theirs - ours).abs().max())
            judged = sparse_forward.correct(network, kernels[BOTH], right, images.inputs, images.targets)
            hits = f"{int(right.correct(ours, images.targets).sum())}, {int(judged.sum())}"
        widths = "-".join(str(after) for _, after in small.widths.values())
        for piece in PIECES:
            seconds = measured(kernels, images, piece, rounds)
            ratios = [f"{ratio(seconds[DENSE], seconds[name]):.2f}" for name in (CSR, SMALLER, BOTH)]
            dense = f"{1e3 * statistics.median(seconds[DENSE]):.1f}"
            cells = [allocation, f"{100 * level:g}%", str(piece), dense, *ratios, widths, f"{apart:.1e}", hits]
            yield "| " + " | ".join(cells) + " |"


def cut(config: RunConfig, data: Path, weights: Mapping[str, Tensor], allocation: str, level: float) -> nn.Module:
    """The dense point of `weights-t{task}`, cut: by the run's saliency, or by chance with a saliency of no meaning."""
    network = networks.build(config, task_stream(config, data)).eval().requires_grad_(False)
    network.load_state_dict({name: weights[f"dense/{name}"] for name, _ in network.named_parameters()})
    parameters = dict(network.named_parameters())
    chosen = {name: parameters[name] for name in networks.prunable_in(config, network)}
    ranked = saliency("second-order", chosen, curvature={name: weights[f"curvature/{name}"] for name in chosen})
    if allocation == "by chance":
        generator = torch.Generator().manual_seed(0)
        ranked = {name: torch.rand(w.shape, generator=generator) for name, w in chosen.items()}
    by = "uniform" if allocation == "by chance" else allocation
    keep_top(ranked, level, by, units_of(network)).apply(network)
    return network


@torch.no_grad()
def measured(kernels: Mapping[str, nn.Module], images: Examples, piece: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each kernel for all images, round by round."""
    parts = images.inputs.split(piece)
    return in_turns({name: partial(_judge, network, parts) for name, network in kernels.items()}, rounds)


def _judge(network: nn.Module, parts: Sequence[Tensor]) -> list[Tensor]:
    return [network(part) for part in parts]


def ratio(dense: Sequence[float], own: Sequence[float]) -> float:
    """The median over the rounds of dense time over the kernel's own."""
    return statistics.median(d / o for d, o in zip(dense, own, strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
