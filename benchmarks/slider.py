"""One network for every sparsity against one run for each: `python -m benchmarks.slider`.

The form `any` is run once; its last network is cut to every level, as the slider of the app does, and judged on all
tasks. Beside it a run of the default form for each level. Test data; n seeds, mean and sd.
"""

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np

from benchmarks.provenance import ROOT, header, this_command
from esacl import run
from esacl.config import RunConfig, read_config
from esacl.errors import InputError, RunFailure
from esacl.events import ArrayRecorded, Evaluated

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98)


def main() -> int:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmarks", nargs="+", default=["split-digits", "split-mnist"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--evaluation", choices=("test", "validation"), default="test")
    parser.add_argument("--data", type=Path, default=None)
    args = parser.parse_args()
    lines = [
        f"| {' | '.join(['row', *(f'{100 * level:g}%' for level in LEVELS)])} | n |",
        "|---" * (len(LEVELS) + 2) + "|",
    ]
    try:
        for benchmark in args.benchmarks:
            given = {"benchmark": benchmark, "evaluation": args.evaluation}
            for kept in (0.5, 0.9):
                found = [_slider(_config(given, seed, kept, "any"), args.data) for seed in args.seeds]
                lines.append(_row(f"{benchmark}, any, kept at {100 * kept:g}%", found))
                print(lines[-1], flush=True)
            found = [_each(given, seed, args.data) for seed in args.seeds]
            lines.append(_row(f"{benchmark}, a run for each level", found))
            print(lines[-1], flush=True)
    except (InputError, RunFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    note = (
        f"Average accuracy over all tasks after the last one, %, on the {args.evaluation} data. any: one run, its last "
        "network before its own cut, cut to each level instead and not trained after it; between tasks it is cut to "
        "what is named, so that weights beyond that are those of the last task alone."
    )
    text = header("One network for every sparsity", note, this_command("benchmarks.slider"))
    (ROOT / "benchmarks" / "results" / "slider.md").write_text("\n".join([*text, *lines]) + "\n", encoding="utf-8")
    return 0


def _config(given: dict[str, object], seed: int, sparsity: float, form: str | None = None) -> RunConfig:
    curve = 25 if form == "any" else 0
    chosen = {} if form is None else {"sdp.form": form}
    off = {"curvature.top": 0, "curvature.grid": 0, "curvature.levels": curve, "curvature.examples": 64, "threads": 1}
    return read_config(None, {**off, **given, **chosen, "seed": seed, "sparsity": sparsity, "device": "cpu"})


def _slider(config: RunConfig, data: Path | None) -> list[float]:
    """Accuracy at each level along the curve of the last task."""
    curve: dict[str, np.ndarray] = {}
    for event in run(config, data=data):
        if isinstance(event, ArrayRecorded) and event.name == f"sparsity-t{config.tasks - 1}":
            curve = dict(event.arrays)
    levels, accuracy = curve["levels"], curve["accuracy"].mean(axis=1)
    return [float(accuracy[list(levels).index(level)]) for level in LEVELS]


def _each(given: dict[str, object], seed: int, data: Path | None) -> list[float]:
    found = []
    for level in LEVELS:
        config = _config(given, seed, level)
        last = [e.accuracy for e in run(config, data=data) if isinstance(e, Evaluated) and e.after == config.tasks - 1]
        found.append(statistics.mean(last))
    return found


def _row(name: str, found: list[list[float]]) -> str:
    def told(values: list[float]) -> str:
        sd = statistics.stdev(values) if len(values) > 1 else float("nan")
        return f"{100 * statistics.mean(values):.2f} ± {100 * sd:.2f}"

    return f"| {name} | {' | '.join(told(list(column)) for column in zip(*found, strict=True))} | {len(found)} |"


if __name__ == "__main__":
    raise SystemExit(main())
