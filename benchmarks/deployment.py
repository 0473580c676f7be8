"""What a pruned MLP 784-400-400 weighs, and how long it takes to answer: by torch, ONNX Runtime and what is left of it.

    python -m benchmarks.deployment --data DIR

A short EsaCL run on Split MNIST ends at 95% sparsity. Its network is written in every format, read back and held
against the run; then all engines answer in turns, one thread each, and in another order in every round; each is asked
twice, and the second answer counts. A cell is the median over the rounds of a repeat, and of the repeats the middle
one, with the lowest and the highest behind it.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.provenance import ROOT, header, keep, this_command
from esacl.config import RunConfig
from esacl.events import CheckpointReady, Evaluated
from esacl.export import onnx_file
from esacl.export.encoding import encoded
from esacl.export.final import final_network
from esacl.export.network import FinalNetwork
from esacl.export.shrunk import shrunk
from esacl.export.sparse_layers import sparse_twin
from esacl.export.timing import Answer, in_turns
from esacl.pipeline import run
from esacl.sections import Curvature

RESULT = ROOT / "benchmarks" / "results" / "deployment.md"
BATCHES = (1, 32, 256)
WARM = 10
DENSE, CSR, SMALLER, BY_ONNX = "torch, dense", "torch, CSR", "torch, smaller", "ONNX Runtime, dense"
SMALLER_ONNX = "ONNX Runtime, smaller"
_NOTE = "One thread each; medians over {rounds} rounds, {repeats} repeats. Other work was on the machine."


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, export, measure, print the tables and keep them."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help="where MNIST is")
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--rounds", type=int, default=300)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--out", type=Path, default=RESULT, metavar="FILE.md")
    args = options.parse_args(arguments)
    final = trained(args.data, args.epochs)
    found = [measured(final, args.rounds) for _ in range(args.repeats)]
    note = _NOTE.format(rounds=args.rounds, repeats=args.repeats)
    keep(args.out, [
        *header("A pruned MLP 784-400-400 outside of training", note, this_command("benchmarks.deployment")),
        f"{100 * final.sparsity:.2f}% of the prunable weights are 0; accuracy {100 * np.mean(final.accuracies):.2f}%.",
        "", *sizes(final), "", *latencies(found, apart(final)),
    ])  # fmt: skip
    return 0


def trained(data: Path, epochs: int) -> FinalNetwork:
    """The network that a short run ends with: all five tasks, default settings, nothing but training measured."""
    curvature = Curvature(top=0, levels=0, grid=0, examples=64)
    config = RunConfig(benchmark="split-mnist", sparsity=0.95, epochs=epochs, threads=1, curvature=curvature)
    states: list[CheckpointReady] = []
    right: dict[int, float] = {}
    for event in run(config, data=data):
        if isinstance(event, CheckpointReady):
            states[:] = [event]
        elif isinstance(event, Evaluated) and event.after == config.tasks - 1:
            right[event.on] = event.accuracy
    accuracies = [right[task] for task in range(config.tasks)]
    return final_network(config, states[0], accuracies, run_id="benchmark", data=data)


def sizes(final: FinalNetwork) -> list[str]:
    """The lines of the table of files; each was read back and held against the run."""
    lines = ["| file | bytes | times smaller than dense safetensors | accuracy, % | apart |", "|---|---|---|---|---|"]
    for form, shrink in (("safetensors", False), ("sparse", False), ("sparse", True), ("onnx", False), ("onnx", True)):
        one = encoded(final, form, shrink=shrink)
        name = form + (", --shrink" if shrink else "")
        accuracy = f"{100 * np.mean(one.accuracies):.2f}"
        lines.append(
            f"| {name} | {len(one.data):,} | {one.dense_bytes / len(one.data):.1f} | {accuracy} | {one.apart:.1e} |"
        )
    return lines


def engines(final: FinalNetwork) -> dict[str, Answer]:
    """What answers images (n, 1, 28, 28): name -> logits (n, 10)."""
    small, shape = shrunk(final.network).network, final.stream.input_shape
    return {
        DENSE: _by_torch(final.network),
        CSR: _by_torch(sparse_twin(final.network)[0]),
        SMALLER: _by_torch(sparse_twin(small)[0]),  # what stays very sparse in it goes by CSR
        BY_ONNX: onnx_file.answering(onnx_file.graph(final.network, shape, {})),
        SMALLER_ONNX: onnx_file.answering(onnx_file.graph(small, shape, {})),
    }


def apart(final: FinalNetwork) -> dict[str, float]:
    """Largest difference of a logit from the dense network's, over all test images."""
    images = np.concatenate([examples.inputs.numpy() for _, examples, _ in final.judged()])
    found = engines(final)
    wanted = found[DENSE](images)
    return {name: float(np.abs(answer(images) - wanted).max()) for name, answer in found.items()}


def measured(final: FinalNetwork, rounds: int) -> dict[int, dict[str, float]]:
    """Median seconds of each engine at each batch size; every round asks all of them, in another order."""
    found = engines(final)
    images = next(final.judged())[1].inputs.numpy()
    seconds: dict[int, dict[str, list[float]]] = {size: {name: [] for name in found} for size in BATCHES}
    for size in BATCHES:
        batch = np.ascontiguousarray(images[:size])
        for turn in range(-WARM, rounds):
            for name, took in zip(found, in_turns(found, batch, turn), strict=True):
                if turn >= 0:
                    seconds[size][name].append(took)
    return {size: {name: statistics.median(own) for name, own in of.items()} for size, of in seconds.items()}


def latencies(found: Sequence[Mapping[int, Mapping[str, float]]], off: Mapping[str, float]) -> list[str]:
    """The lines of the table of times: microseconds, and how many times faster than torch and ONNX Runtime, dense."""
    titles = ["engine", "batch", "µs", "than torch, dense", "than ONNX Runtime, dense", "apart"]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for size in BATCHES:
        for name in found[0][size]:
            own = _spread([1e6 * one[size][name] for one in found], "{:.0f}")
            than = [_spread([one[size][other] / one[size][name] for one in found]) for other in (DENSE, BY_ONNX)]
            lines.append("| " + " | ".join([name, str(size), own, *than, f"{off[name]:.1e}"]) + " |")
    return lines


def _spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    middle, low, high = (form.format(one) for one in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def _by_torch(network: nn.Module) -> Answer:
    @torch.inference_mode()
    def answer(inputs: np.ndarray) -> Any:
        return network(torch.from_numpy(inputs)).numpy()

    return answer


if __name__ == "__main__":
    raise SystemExit(main())
