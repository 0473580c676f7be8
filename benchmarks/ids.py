"""What IDS buys: the landscape from a few chosen instances, beside other rules of choice, at a trained network.

    python -m benchmarks.ids

For each seed EsaCL learns the whole stream; at one task's end its dense and its pruned point are looked at over a
pool of that task's training images. The truth is what the whole pool says. Each rule draws its share 20 times.
lambda_max is that of the full Hessian at the dense point, and of the Hessian restricted to the survivors at the pruned
one; the loss rise and d'Hd belong to the run's own cut and to a deeper one, since the run's own is made to be
harmless; the Fisher trace is that of the model's own predictions.
"""

import argparse
import concurrent.futures
import multiprocessing
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.provenance import ROOT, header, keep, this_command
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.progress import Bar

RULES = {  # name -> (score, whether the best are taken instead of a draw)
    "IDS (ggn-trace)": ("ggn-trace", False),
    "random": ("uniform", False),
    "EL2N, sampled": ("el2n", False),
    "top-k by ggn-trace": ("ggn-trace", True),
    "top-k by EL2N": ("el2n", True),
}
CLAIM = 0.5  # IDS's median error over random's, at 10%
Estimate = dict[str, Any]  # seed, point, quantity, fraction, rule, truth, estimate


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every seed, write the report and print it."""
    args = _parser().parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    estimates: list[Estimate] = []
    try:
        with Bar("seeds") as bar, concurrent.futures.ProcessPoolExecutor(args.workers, mp_context=context) as pool:
            bar.set("training and drawing", 0, len(args.seeds))
            waiting = [pool.submit(of_seed, _config(args, seed), args) for seed in args.seeds]
            for done, future in enumerate(concurrent.futures.as_completed(waiting), start=1):
                estimates += future.result()
                bar.set("training and drawing", done, len(args.seeds))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    title = f"What IDS buys: {args.pool:,} training images of {args.benchmark}, task {args.task}"
    note = f"EsaCL at {args.sparsity:.0%}, {len(args.seeds)} networks, {args.draws} draws of each rule at each."
    lines = header(title, note, this_command("benchmarks.ids"))
    keep(args.out, [*lines, *report(estimates, tuple(args.fractions))])
    return 0


def of_seed(config: RunConfig, args: argparse.Namespace) -> list[Estimate]:
    """All estimates for one network.

    Raises:
        InputError: a data set that is missing.
    """
    from benchmarks import landscape_truths as truths  # torch: only the processes that compute load it

    trained = truths.train(config, args.task, args.pool, args.data)
    estimates = []
    for view in truths.views(trained, args.deeper):
        for fraction in args.fractions:
            for rule, (score, best) in RULES.items():
                draws = 1 if best else args.draws
                for quantity, value in truths.estimates(view, score, fraction, draws, best=best):
                    one = {"seed": config.seed, "point": view.point, "quantity": quantity, "fraction": fraction}
                    estimates.append(one | {"rule": rule, "truth": view.truth[quantity], "estimate": value})
    return estimates


def report(estimates: list[Estimate], fractions: tuple[float, ...]) -> list[str]:
    """The claim, and a table: median relative error and signed bias of each rule at each fraction."""
    shares = [f"{fraction:.0%}" for fraction in fractions]
    titles = ["point", "quantity", "rule", *(f"error, {s}" for s in shares), *(f"bias, {s}" for s in shares), "n"]
    lines = [*claims(estimates), "", "| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for point, quantity in dict.fromkeys((e["point"], e["quantity"]) for e in estimates):
        for rule in RULES:
            cells = [errors(estimates, point, quantity, rule, fraction) for fraction in fractions]
            middle = [f"{statistics.median(map(abs, cell)):.1%}" for cell in cells]
            bias = [f"{statistics.fmean(cell):+.1%}" for cell in cells]
            lines.append("| " + " | ".join([point, quantity, rule, *middle, *bias, str(len(cells[0]))]) + " |")
    return [*lines, "", "Error: median of |estimate / truth - 1|. Bias: mean of estimate / truth - 1."]


def claims(estimates: list[Estimate]) -> Iterator[str]:
    """For each point: IDS's median relative error of lambda_max at 10% over random's, all together and by seed."""
    seeds = sorted({e["seed"] for e in estimates})
    for point in dict.fromkeys(e["point"] for e in estimates):
        pair = [errors(estimates, point, "lambda_max", rule, 0.1) for rule in ("IDS (ggn-trace)", "random")]
        if not all(pair):
            continue
        ids, chance = (statistics.median(map(abs, found)) for found in pair)
        each = [
            _ratio([e for e in estimates if e["seed"] == seed], point) for seed in seeds
        ]
        verdict = "holds" if ids <= CLAIM * chance else "does not hold"
        yield (
            f"- lambda_max at the {point} point from 10% of the pool: median relative error {ids:.1%} by IDS, "
            f"{chance:.1%} at random, ratio {ids / chance:.2f} (by seed: {', '.join(f'{r:.2f}' for r in each)}). "
            f"\"At most half of random's\" {verdict}."
        )


def errors(estimates: list[Estimate], point: str, quantity: str, rule: str, fraction: float) -> list[float]:
    """Signed relative errors of one rule."""
    wanted = {"point": point, "quantity": quantity, "rule": rule, "fraction": fraction}
    return [e["estimate"] / e["truth"] - 1 for e in estimates if all(e[key] == value for key, value in wanted.items())]


def _ratio(estimates: list[Estimate], point: str) -> float:
    ids, chance = (errors(estimates, point, "lambda_max", rule, 0.1) for rule in ("IDS (ggn-trace)", "random"))
    return statistics.median(map(abs, ids)) / statistics.median(map(abs, chance))


def _config(args: argparse.Namespace, seed: int) -> RunConfig:
    off = {"top": 0, "levels": 0, "grid": 0}
    limits = {"epochs": args.epochs} if args.epochs else {}
    return RunConfig(
        benchmark=args.benchmark, sparsity=args.sparsity, seed=seed, curvature=off, threads=1, device="cpu", **limits
    )


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--benchmark", default="split-mnist")
    options.add_argument("--task", type=int, default=4, help="the task whose end is looked at, from 0")
    options.add_argument("--sparsity", type=float, default=0.95)
    options.add_argument("--deeper", type=float, default=0.98, help="sparsity of the second cut")
    options.add_argument("--epochs", type=int, help="default: the benchmark's")
    options.add_argument("--pool", type=int, default=2000)
    options.add_argument("--draws", type=int, default=20)
    options.add_argument("--fractions", type=float, nargs="+", default=[0.05, 0.1, 0.25])
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--data", type=Path, metavar="DIR")
    options.add_argument("--out", type=Path, metavar="FILE.md", default=ROOT / "benchmarks" / "results" / "ids.md")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
