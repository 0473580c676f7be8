"""Which kernel multiplies a sparse layer fastest on a CPU: dense, CSR by torch or by scipy, or a smaller dense one.

`python -m benchmarks.kernels` takes a forward pass, and forward with backward, of layers as this project has them, at
several sparsities and batch sizes, on one thread. Times are those of the thread on the processor, which other work on
the machine lengthens least. All kernels take turns in every round; a cell is the median over the rounds of dense time
over the kernel's own in the same round, so above 1 is faster than dense.

The smaller dense layer is what pruning whole units leaves at the same density: its rows and columns are each the root
of it. It computes another function than the sparse ones do and is there for its cost.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from benchmarks.provenance import header, this_command

SHAPES = ((400, 784), (400, 400))
SPARSITIES = (0.9, 0.95, 0.98)
BATCHES = (32, 256, 2000)
ROUNDS = 60
WARM = 5
FORWARD = ("torch CSR", "torch CSR, transposed", "scipy CSR", "smaller dense")
STEP = ("torch CSR", "smaller dense")

Kernel = Callable[[], object]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the table and print it."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--out", type=Path, help="a JSON file of all ratios too")
    args = options.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [
        (f"{shape[1]} to {shape[0]}", sparsity, batch, measured(shape, sparsity, batch, args.rounds))
        for shape in SHAPES
        for sparsity in SPARSITIES
        for batch in BATCHES
    ]
    title = "Kernels of a sparse layer, dense time over each one's own"
    note = f"Above 1: faster than dense. Medians over {args.rounds} rounds; one thread, its time; float32."
    print("\n".join([*header(title, note, this_command("benchmarks.kernels")), *table(rows)]))
    if args.out is not None:
        told = [{"layer": a, "sparsity": s, "batch": b, **found} for a, s, b, found in rows]
        args.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


def measured(shape: tuple[int, int], sparsity: float, batch: int, rounds: int) -> dict[str, float]:
    """Dense time over that of each kernel, forward and step; and the seconds of the dense ones."""
    found: dict[str, float] = {}
    for name, kernels in (("forward", forward(shape, sparsity, batch)), ("step", step(shape, sparsity, batch))):
        seconds = in_turns(kernels, rounds)
        found[f"{name}, dense seconds"] = statistics.median(seconds["dense"])
        for kernel, own in seconds.items():
            if kernel != "dense":
                ratios = [d / o for d, o in zip(seconds["dense"], own, strict=True)]
                found[f"{name}, {kernel}"] = statistics.median(ratios)
    return found


def in_turns(kernels: dict[str, Kernel], rounds: int) -> dict[str, list[float]]:
    """Seconds of this thread in each kernel, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in kernels}
    for turn in range(-WARM, rounds):
        for name, kernel in kernels.items():
            start = time.thread_time()
            kernel()
            if turn >= 0:
                seconds[name].append(time.thread_time() - start)
    return seconds


def layer(shape: tuple[int, int], sparsity: float, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A weight with zeros by chance, its bias, inputs; and weight and inputs of a dense layer with as many weights."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator) * (torch.rand(shape, generator=generator) >= sparsity)
    inputs = torch.randn(batch, shape[1], generator=generator)
    side = (1 - sparsity) ** 0.5
    rows, columns = (max(1, round(side * n)) for n in shape)
    return (
        weight,
        torch.randn(shape[0], generator=generator),
        inputs,
        weight[:rows, :columns].clone(),
        inputs[:, :columns].contiguous(),
    )


def forward(shape: tuple[int, int], sparsity: float, batch: int) -> dict[str, Kernel]:
    """Outputs (batch, out) of the layer by each kernel; scipy has no bias to add in the same call and adds it after."""
    from scipy.sparse import csr_matrix

    weight, bias, inputs, small, fewer = layer(shape, sparsity, batch)
    sparse = as_csr(weight)
    columns, beside, scipy = bias[:, None], inputs.t().contiguous(), csr_matrix(weight.numpy())
    x, b = np.ascontiguousarray(inputs.numpy().T), bias.numpy()[:, None]
    return {
        "dense": lambda: linear(inputs, weight, bias),
        "torch CSR": lambda: torch.addmm(columns, sparse, inputs.t()).t(),
        "torch CSR, transposed": lambda: torch.addmm(columns, sparse, beside),
        "scipy CSR": lambda: scipy @ x + b,
        "smaller dense": lambda: linear(fewer, small, bias[: len(small)]),
    }


def step(shape: tuple[int, int], sparsity: float, batch: int) -> dict[str, Kernel]:
    """Forward and backward of a hidden layer: gradients of inputs and of the weights that are left.

    By CSR the gradient of the weights is that of a product sampled at the survivors.
    """
    weight, bias, inputs, small, fewer = layer(shape, sparsity, batch)
    sparse, turned = as_csr(weight), as_csr(weight.t())
    above = torch.randn(batch, shape[0])
    where, columns = as_csr(torch.where(weight != 0, 1.0, 0.0)), bias[:, None]

    def dense(w: Tensor, x: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        return linear(x, w, bias[: len(w)]), g @ w, g.t() @ x

    def by_csr() -> tuple[Tensor, ...]:
        out = torch.addmm(columns, sparse, inputs.t())
        of_inputs = turned @ above.t()
        return out, of_inputs, torch.sparse.sampled_addmm(where, above.t(), inputs, beta=0.0)

    few = above[:, : len(small)].contiguous()
    return {
        "dense": lambda: dense(weight, inputs, above),
        "torch CSR": by_csr,
        "smaller dense": lambda: dense(small, fewer, few),
    }


def as_csr(weight: Tensor) -> Tensor:
    """The same by rows, without its zeros."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its CSR beta
        return weight.contiguous().to_sparse_csr()


def table(rows: Sequence[tuple[str, float, int, dict[str, float]]]) -> list[str]:
    """The lines of the Markdown table."""
    kernels = [f"forward, {name}" for name in FORWARD] + [f"step, {name}" for name in STEP]
    titles = ["layer", "sparsity", "batch", "dense forward, µs", *kernels]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for name, sparsity, batch, found in rows:
        cells = [name, f"{100 * sparsity:g}%", str(batch), f"{1e6 * found['forward, dense seconds']:.0f}"]
        lines.append("| " + " | ".join([*cells, *(f"{found[kernel]:.2f}" for kernel in kernels)]) + " |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
