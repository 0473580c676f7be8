"""How near the bounds of a cut's loss rise are: `python -m benchmarks.bounds`.

Runs two tasks of each benchmark with every activation and method, and compares what is recorded along the sparsity
curve with the true rise over the same instances.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.provenance import ROOT, header, this_command
from esacl import run
from esacl.config import read_config
from esacl.errors import InputError, RunFailure
from esacl.events import ArrayRecorded

SEEDS = (0, 1, 2)
ROWS: tuple[tuple[str, dict[str, object]], ...] = (
    ("EsaCL, softplus", {"activation": "softplus"}),
    ("EsaCL, softplus, cut at the end of a task", {"activation": "softplus", "sdp.cut": 1.0}),
    ("EWC + magnitude, softplus", {"activation": "softplus", "method": "ewc", "sparsity": 0.9}),
    ("EsaCL, ReLU", {}),
    ("EWC + magnitude, ReLU", {"method": "ewc", "sparsity": 0.9}),
)
SEEN = 1e-5  # nats: smaller rises are rounding, and no ratio
ROUNDING = 1e-6


def main() -> int:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmarks", nargs="+", default=["split-digits", "split-mnist"])
    parser.add_argument("--data", type=Path, default=None)
    args = parser.parse_args()
    lines = [
        "| benchmark, network | cuts | output bound holds | output bound / rise: smallest, median, 95th, largest | "
        "λ bound / rise: median, largest | Taylor / rise: smallest |",
        "|---|---|---|---|---|---|",
    ]
    out = ROOT / "benchmarks" / "results" / "bounds.md"
    try:
        for benchmark in args.benchmarks:
            for name, settings in ROWS:
                lines.append(_row(f"{benchmark}, {name}", {"benchmark": benchmark} | settings, args.data))
                print(lines[-1], flush=True)
                out.write_text("\n".join([*_header(), *lines]) + "\n", encoding="utf-8")
    except (InputError, RunFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _header() -> list[str]:
    note = (
        f"Two tasks, seeds {', '.join(map(str, SEEDS))}, cuts from 50% on, over the instances that IDS chose. Ratios "
        f"where the rise is above {SEEN:g} nats; holds: is not below the rise by more than {ROUNDING:g}."
    )
    return header("The bounds of a cut's loss rise", note, this_command("benchmarks.bounds"))


def _row(name: str, settings: dict[str, object], data: Path | None) -> str:
    curves = [curve for seed in SEEDS for curve in _curves(settings | {"seed": seed}, data)]
    found = {key: np.concatenate([c[key][c["levels"] >= 0.5] for c in curves]) for key in curves[0] if key in _KEYS}
    rise, bound = found["rise_of_chosen"], found["output_bound"]
    seen = rise > SEEN
    held = int((bound >= rise - ROUNDING).sum())
    if not seen.any():
        return f"| {name} | {len(rise)}, none with a rise | {held} | – | – | – |"
    near, far, taylor = (found[key][seen] / rise[seen] for key in ("output_bound", "lambda_bound", "taylor"))
    return (
        f"| {name} | {len(rise)}, {int(seen.sum())} with a rise | {held} | "
        f"{near.min():.3f}, {np.median(near):.2f}, {np.percentile(near, 95):.2f}, {near.max():.2f} | "
        f"{np.median(far):.3g}, {far.max():.3g} | {taylor.min():.2f} |"
    )


_KEYS = ("levels", "rise_of_chosen", "output_bound", "lambda_bound", "taylor")


def _curves(settings: dict[str, object], data: Path | None) -> Iterator[dict[str, np.ndarray]]:
    small = {"tasks": 2, "curvature.top": 1, "curvature.grid": 0, "device": "cpu"}
    for event in run(read_config(None, small | settings), data=data):
        if isinstance(event, ArrayRecorded) and event.name.startswith("sparsity-t"):
            yield dict(event.arrays)


if __name__ == "__main__":
    raise SystemExit(main())
