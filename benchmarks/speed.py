"""The curvature and landscape engine against the tools people use, in one interleaved run on one thread.

    python -m benchmarks.speed --data DIR

Contenders: PyHessian 0.1, scipy's eigsh, curvlinops 3.0.1, loss-landscapes 3.0.6; those that are not installed are left
out and named (`requirements-speed.txt` says how to install them). Truth is a float64 Hessian by plain double backward,
built where it is small and given to eigsh at 1e-6 where it is not. Every solver runs at the loosest tolerance of one
ladder at which its true error is at most 1e-3 from every seed, and EsaCL also at the tolerance it has by default. The
problems are trained networks; MNIST is needed for two of them. `--quick` proves the code on tiny problems in a minute
and measures nothing.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.provenance import ROOT, code_digest, commit, header, this_command
from benchmarks.speed_report import report
from esacl import machine
from esacl.errors import InputError
from esacl.progress import Bar

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TITLE = "The engine against PyHessian, scipy, curvlinops and loss-landscapes"


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    data: Path | None
    quick: bool
    rounds: int
    seeds: int
    points: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections, print ratios and tables, write both."""
    args = _parser().parse_args(arguments)
    os.environ |= dict.fromkeys(THREADS, "1")  # before numpy and torch are loaded
    import torch

    from benchmarks.speed_peers import installed

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rounds, seeds, points = (2, 2, 5) if args.quick else (args.rounds, args.seeds, 51)
    settings = Settings(args.data, args.quick, rounds, seeds, points)
    peers = installed()
    for name in (name for name, version in peers.items() if version is None):
        print(f"{name} is not installed: left out", file=sys.stderr)
    facts = {**machine.facts(), "commit": commit(), "code": code_digest(), "peers": peers, "quick": args.quick}
    try:
        with Bar("speed") as bar:
            sections = dict(_sections(args.only or list(SECTIONS), settings, bar))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        torch.set_num_threads(threads)
    record: dict[str, Any] = {**facts, "sections": sections}
    lines = [*(["A proof of the code on tiny problems: its numbers say nothing.", ""] * args.quick), *report(record)]
    print("\n".join(lines))
    if args.out is not None or not args.quick:
        _write(args.out or ROOT / "benchmarks" / "results", record, lines)
    return 0


def top_eigenvalues(settings: Settings) -> list[Any]:
    """Top-5 and top-1, dense and 90% masked."""
    from benchmarks import speed_problems as problems
    from benchmarks.speed_eigen import top
    from benchmarks.speed_peers import solvers

    dense = [problems.mlp(settings.data, quick=settings.quick)]
    if not settings.quick:
        dense.append(problems.small_cnn(settings.data, quick=False).of(100))
    found = []
    for problem in dense:
        cut = problems.masked(problem, quick=settings.quick, data=settings.data)
        found += [top(at, k, solvers(), settings.rounds) for at, k in ((problem, 5), (problem, 1), (cut, 5))]
    return found


def traces(settings: Settings) -> list[Any]:
    """The trace at 120 products, on a network whose Hessian can be built and on the large MLP."""
    from benchmarks import speed_problems as problems
    from benchmarks.speed_estimates import traces as measured

    mlp = problems.mlp(settings.data, quick=settings.quick).of(200)
    chosen = [problems.tiny_mlp(quick=settings.quick), mlp]
    return [measured(problem, 12 if settings.quick else 120, settings.seeds) for problem in chosen]


def densities(settings: Settings) -> list[Any]:
    """The density at 320 products on the network whose whole spectrum is known."""
    from benchmarks import speed_problems as problems
    from benchmarks.speed_estimates import densities as measured

    steps, probes = (4, 2) if settings.quick else (40, 8)
    return [measured(problems.tiny_mlp(quick=settings.quick), steps, probes, settings.seeds)]


def planes(settings: Settings) -> list[Any]:
    """51x51 slices, every cell computed."""
    from benchmarks import speed_problems as problems
    from benchmarks.speed_slices import planes as measured

    small = problems.small_mlp(quick=settings.quick)
    chosen = [small] if settings.quick else [problems.mlp(settings.data, quick=False), small]
    return [measured(p, settings.points, settings.rounds * (3 if p is small else 1)) for p in chosen]


def refined(settings: Settings) -> list[Any]:
    """51x51 slices of the small CNN, refined only where it is worth it."""
    from benchmarks import speed_problems as problems
    from benchmarks.speed_slices import refined as measured

    cnn = problems.small_cnn(settings.data, quick=settings.quick)
    return measured(cnn, 9 if settings.quick else settings.points)


def memory(settings: Settings) -> list[Any]:
    """Peak bytes against one training step."""
    from benchmarks import speed_problems as problems
    from benchmarks.speed_memory import memory as measured

    mlp = problems.mlp(settings.data, quick=settings.quick)
    cnn = problems.small_cnn(settings.data, quick=settings.quick).of(100)
    cuts = [problems.masked(problem, quick=settings.quick, data=settings.data) for problem in (mlp, cnn)]
    return [measured(problem, cut, quick=settings.quick) for problem, cut in zip((mlp, cnn), cuts)]


SECTIONS: dict[str, Callable[[Settings], list[Any]]] = {
    "top": top_eigenvalues, "trace": traces, "density": densities, "planes": planes, "refined": refined,
    "memory": memory,
}  # fmt: skip


def _sections(names: list[str], settings: Settings, bar: Bar) -> Any:
    for done, name in enumerate(names):
        bar.set(name, done, len(names))
        yield name, SECTIONS[name](settings)


def _write(folder: Path, record: dict[str, Any], lines: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    *above, _ = header(TITLE, "", this_command("benchmarks.speed"))
    peers = ", ".join(f"{name} {version or '(not installed)'}" for name, version in record["peers"].items())
    text = "\n".join([*above, f"- Peers: {peers}", "", *lines]) + "\n"
    (folder / "speed.md").write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--data", type=Path, metavar="DIR", help="where MNIST is, as for `esacl run`")
    options.add_argument("--rounds", type=int, default=5, help="of each timed comparison (default 5)")
    options.add_argument("--seeds", type=int, default=20, help="of trace and density (default 20)")
    options.add_argument("--only", nargs="+", choices=SECTIONS, metavar="NAME", help=", ".join(SECTIONS))
    options.add_argument("--quick", action="store_true", help="tiny problems: proves the code, measures nothing")
    options.add_argument("--out", type=Path, metavar="FOLDER", help="default: benchmarks/results; nothing with --quick")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
