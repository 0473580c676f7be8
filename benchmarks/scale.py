"""What the full protocol costs on 1, 8 and 64 GPUs, on paper and by simulation: writes `benchmarks/SCALE.md`.

    python -m benchmarks.scale                      # from the times in benchmarks/times/scale.toml
    python -m benchmarks.scale --measure FILE.toml  # measure steps of this machine's device, into a file of times
    python -m benchmarks.scale --times FILE.toml    # from those

The protocol: five methods, four sparsities, ten seeds, three benchmarks, ResNet-18, `protocol = "der"`, class-IL.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.provenance import commit
from benchmarks.scale_model import (
    TRAIN,
    Times,
    bound,
    exchange_seconds,
    images_of,
    makespan,
    read_times,
    run_seconds,
    steps_of,
    with_stragglers,
)
from esacl import machine
from esacl.config import RunConfig, read_config
from esacl.errors import InputError

HERE = Path(__file__).parent
METHODS = ("ewc", "er", "derpp", "sparcl", "esacl")
SPARSITIES = (0.75, 0.9, 0.95, 0.98)
SEEDS, GPUS, TOGETHER, DRAWS = range(10), (1, 8, 64), (1, 2, 4, 8), 20
HOUR = 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or write the report and print it."""
    args = _parser().parse_args(arguments)
    try:
        if args.measure is not None:
            args.measure.write_text(measured(args.device, args.images, args.sides), encoding="utf-8")
            return 0
        told = f"--times {_shown(args.times)}" + (f" --beside {_shown(args.beside)}" if args.beside else "")
        text = report(read_times(args.times), told, read_times(args.beside) if args.beside else None)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    args.out.write_text(text, encoding="utf-8")
    print(text)
    return 0


def configs() -> list[RunConfig]:
    """The runs of the protocol in the order of a file: benchmark, method, sparsity, seed."""
    return [_config(*one, seed) for one in itertools.product(TRAIN, METHODS, SPARSITIES) for seed in SEEDS]


def _config(benchmark: str, method: str, sparsity: float, seed: int = 0) -> RunConfig:
    settings = {"benchmark": benchmark, "method": method, "sparsity": sparsity, "seed": seed}
    more = {"buffer.size": 500} if method == "esacl" else {}
    return read_config(None, {"protocol": "der", "scenario": "class", **settings, **more})


def network_facts(side: int) -> tuple[float, int, int]:
    """FLOPs of an image forth and back, bytes of all gradients, BatchNorm layers of ResNet-18."""
    import torch

    from benchmarks.resnet import ResNet18
    from esacl import batchnorm
    from esacl.flops import count_layers

    network = ResNet18()
    layers = count_layers(network, torch.zeros(2, 3, side, side)).values()
    flops = sum(one.forward + one.input_gradient + one.weight_gradient for one in layers)
    return float(flops), 4 * sum(p.numel() for p in network.parameters()), len(batchnorm.layers(network))


def measured(device: str, images: Sequence[int], sides: Sequence[int]) -> str:
    """A file of times with what a step of ResNet-18 takes here: best of three after one that warms up."""
    import torch

    from benchmarks.device_timings import wait
    from benchmarks.resnet import ResNet18
    from esacl.devices import device_name, resolve_device

    place = resolve_device(device)
    name = device_name(place) if place.type != "cpu" else f"{machine.facts()['hardware']['cpu']}, CPU"
    threads = f", {torch.get_num_threads()} threads" if place.type == "cpu" else ""
    lines = [
        'kind = "measured"',
        f'hardware = "{name}{threads}"',
        'source = "python -m benchmarks.scale --measure: forward, backward and SGD, best of three"',
        f'commit = "{commit()}"',
        "",
        "[run]" + (HERE / "times" / "scale.toml").read_text(encoding="utf-8").partition("[run]")[2],  # assumed as there
    ]
    network = ResNet18().to(place).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    for side, count in itertools.product(sides, images):
        inputs, targets = torch.randn(count, 3, side, side).to(place), torch.arange(count).to(place) % 10
        taken = []
        for _ in range(4):
            wait(place)
            begin = time.perf_counter()
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs), targets).backward()
            optimiser.step()
            wait(place)
            taken.append(time.perf_counter() - begin)
        lines += ["[[step]]", f"side = {side}", f"images = {count}", f"seconds = {min(taken[1:]):.5f}", ""]
        print(f"{count} images of {side}x{side}: {min(taken[1:]):.4f} s", file=sys.stderr)
    return "\n".join(lines)


def _shown(path: Path) -> str:
    """As a command in the checkout names it."""
    there = path.absolute()
    return str(there.relative_to(HERE.parent)) if there.is_relative_to(HERE.parent) else path.name


def report(times: Times, told: str, beside: Times | None = None) -> str:
    """SCALE.md; of the times `beside` only what all the work would be. `told`: the options of the command."""
    everything = configs()
    facts = {side: network_facts(side) for side in sorted({config.resolution for config in everything})}
    alone = [run_seconds(config, times, facts[config.resolution][0]) for config in everything]
    parts = [
        "# What the full protocol costs at scale",
        f"Written by `python -m benchmarks.scale {told}`, commit {commit()}; no number here was typed.",
        f"**The step times are {times.kind}.** Hardware: {times.hardware}. Source: {times.source}. "
        f"Commit of the times: {times.commit}. Start-up, stragglers and links between GPUs are assumed "
        "(`[run]` and `[exchange]` of the same file). The schedules are simulated.",
        *_work(everything, times, facts),
        *([_beside(everything, beside, facts)] if beside else []),
        *_schedules(alone, times),
        *_together(everything, times, facts),
    ]
    return "\n\n".join(parts) + "\n"


def _work(everything: list[RunConfig], times: Times, facts: dict[int, tuple[float, int, int]]) -> list[str]:
    rows, total = [], 0.0
    for benchmark, method in itertools.product(TRAIN, METHODS):
        config = _config(benchmark, method, SPARSITIES[0])
        side, count = config.resolution, len(SPARSITIES) * len(SEEDS)
        step = times.step(images_of(config), side, facts[side][0])
        hours = run_seconds(config, times, facts[side][0]) / HOUR
        total += count * hours
        rows.append(
            (benchmark, method, f"{steps_of(config):,}", f"{images_of(config):.0f}", f"{1e3 * step:.1f}",
             f"{hours:.2f}", f"{count}", f"{count * hours:.1f}")
        )  # fmt: skip
    columns = ("benchmark", "method", "steps", "images a step", "ms a step", "hours a run", "runs", "GPU-hours")
    flops = ", ".join(f"{each[0] / 1e9:.2f} GFLOP at {side}x{side}" for side, each in facts.items())
    return [
        "## The work",
        "steps = tasks x epochs x ceil(images of a task / batch). Images a step = batch x (1 + replayed), where what "
        "only goes forward (a distillation's teacher) counts a third. Hours a run = start + steps x time of a step + "
        f"evaluations. An image forth and back through ResNet-18 is {flops}, counted. Sparsity changes no time here: "
        "masked kernels are dense ones. Not in it: Fisher information, curvature, checkpoints, what SparCL leaves out.",
        table(columns, rows),
        f"{len(everything):,} runs, **{total:,.0f} GPU-hours**.",
    ]


def _beside(everything: list[RunConfig], times: Times, facts: dict[int, tuple[float, int, int]]) -> str:
    hours = sum(run_seconds(config, times, facts[config.resolution][0]) for config in everything) / HOUR
    return (
        f"By other times, {times.kind}, the same runs are {hours:,.0f} hours one after another. Hardware: "
        f"{times.hardware}. Source: {times.source}. Commit: {times.commit}."
    )


def _schedules(alone: list[float], times: Times) -> list[str]:
    share, factor = times.run.get("straggler_share", 0.0), times.run.get("straggler_factor", 1.0)
    rows = []
    for gpus in GPUS:
        least = bound(alone, gpus)
        for order in ("longest first", "as in the file"):
            runs = sorted(alone, reverse=True) if order == "longest first" else alone
            end = makespan(runs, gpus)
            late = [makespan(with_stragglers(runs, share, factor, draw), gpus) for draw in range(DRAWS)]
            rows.append(
                (f"{gpus}", order, f"{end / HOUR:,.1f}", f"{end / HOUR / 24:,.1f}",
                 f"{100 * sum(alone) / gpus / end:.1f}",
                 f"{least / HOUR:,.1f}", f"{end / least:.3f}",
                 f"{statistics.fmean(late) / HOUR:,.1f} ± {statistics.stdev(late) / HOUR:,.1f}")
            )  # fmt: skip
    columns = (
        "GPUs",
        "order",
        "hours",
        "days",
        "utilisation, %",
        "bound, hours",
        "over bound",
        "with stragglers, hours",
    )
    return [
        "## One GPU a run",
        "Each run goes to the GPU that is free first. Bound: max(work / GPUs, longest run). With stragglers: "
        f"{100 * share:.0f}% of the runs take {factor:g} times as long and nobody knows before; mean ± sd of "
        f"{DRAWS} draws.",
        table(columns, rows),
    ]


def _together(everything: list[RunConfig], times: Times, facts: dict[int, tuple[float, int, int]]) -> list[str]:
    rows = []
    for (name, link), together in itertools.product(times.exchange.items(), TOGETHER):
        seconds, longest = [], ("", 0.0, 0.0)
        for config in everything:
            flops, size, norms = facts[config.resolution]
            step = times.step(images_of(config) / together, config.resolution, flops)
            step = max(step, times.together.get("least_seconds", 0.0)) if together > 1 else step
            # Outputs, and of each BatchNorm layer the moments forth and their gradients back.
            sent = exchange_seconds(together, size, 1 + 2 * norms, link) if together > 1 else 0.0
            seconds.append(times.run.get("start_seconds", 0.0) + steps_of(config) * (step + sent))
            if seconds[-1] >= max(seconds):
                longest = (f"{seconds[-1] / HOUR:.2f}", step, sent)
        ends = [makespan(sorted(seconds, reverse=True), gpus // together) for gpus in GPUS if gpus >= together]
        cells = ["–"] * (len(GPUS) - len(ends)) + [f"{end / HOUR:,.1f}" for end in ends]
        paid = f"{together * sum(seconds) / HOUR:,.0f}"
        rows.append(
            (name, f"{together}", f"{1e3 * longest[1]:.1f}", f"{1e3 * longest[2]:.2f}", longest[0], paid, *cells)
        )
    size = next(iter(facts.values()))[1]
    columns = ("link", "GPUs a run", "computing, ms", "exchange, ms", "longest run, hours", "GPU-hours",
               *(f"on {gpus} GPU{'s' * (gpus > 1)}, hours" for gpus in GPUS))  # fmt: skip
    return [
        "## Several GPUs a run",
        "`torchrun -m esacl run` on k GPUs: a step has 1/k of the images on each, then the gradients "
        f"({size:,} bytes) are added up by a ring: 2 (k - 1) latency + 2 (k - 1) / k bytes / bandwidth, and so is "
        "what BatchNorm and the outputs exchange, which costs latency alone. Passes are not recorded there: a step "
        f"takes at least {1e3 * times.together.get('least_seconds', 0.0):.1f} ms. Nothing overlaps. Computing and "
        "exchange are of a step of the longest run; evaluations, shared too, are left out; longest first.",
        table(columns, rows),
        "Where all runs are there at once, one GPU a run does the same work without exchanges: several shorten the "
        "wait for one result, and the tail of a schedule whose bound is its longest run.",
    ]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--times", type=Path, metavar="FILE.toml", default=HERE / "times" / "scale.toml")
    options.add_argument("--beside", type=Path, metavar="FILE.toml", help="other times, for one line of comparison")
    options.add_argument("--out", type=Path, metavar="FILE.md", default=HERE / "SCALE.md")
    options.add_argument("--measure", type=Path, metavar="FILE.toml", help="measure steps here, write them, do no more")
    options.add_argument("--device", default="auto", help="of --measure: auto, cpu, cuda, cuda:1, mps")
    options.add_argument("--images", type=int, nargs="+", default=[8, 16, 32, 64, 96, 128], help="of --measure, a step")
    options.add_argument("--sides", type=int, nargs="+", default=[32, 64], help="of --measure, pixels")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
