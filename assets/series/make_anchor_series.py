"""Runs the series of the Forgetting page and writes them beside this file: `python assets/series/make_anchor_series.py`.

- `anchor-digits.json`: EsaCL on split digits at 98 % sparsity, at each strength of the anchor. Distillation, which the
  defaults add, is off: it alone keeps these small tasks, and what the anchor does would not be seen. At 90 % the
  anchor costs next to nothing; at 98 % few weights are left for later tasks, and what it holds they lack.
- `finetune-class-digits.json`: dense fine-tuning in class-IL, for what 0 % on earlier tasks means.
"""

import argparse
import datetime as dt
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import esacl
from esacl import machine, metrics
from esacl.durable import replace_json
from esacl.events import Evaluated
from esacl.summary import accuracy_matrix

HERE = Path(__file__).resolve().parent
STRENGTHS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
SEEDS = (0, 1, 2)
UNSEEN = {"curvature.top": 0, "curvature.levels": 0, "curvature.grid": 0, "device": "cpu", "threads": 1}
ANCHORED = {"benchmark": "split-digits", "method": "esacl", "sparsity": 0.98, "anchor.distillation": 0.0}
FINETUNED = {"benchmark": "split-digits", "method": "finetune", "scenario": "class"}


def main() -> None:
    """Run both series, one run after the other, and write what they reached."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    made = _made("python assets/series/make_anchor_series.py")
    rows = []
    for strength in STRENGTHS:
        for row in _seeds({**ANCHORED, "anchor.strength": strength}):
            rows.append({"strength": strength, **row})
            print(f"strength {strength:g}, seed {row['seed']}: average {row['average_accuracy']:.4f}", flush=True)
    replace_json(HERE / "anchor-digits.json", {"made": made, "setting": ANCHORED, "rows": rows})
    tuned = list(_seeds(FINETUNED))
    replace_json(HERE / "finetune-class-digits.json", {"made": made, "setting": FINETUNED, "rows": tuned})


def _seeds(settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for seed in SEEDS:
        config = esacl.read_config(None, {**UNSEEN, **settings, "seed": seed})
        evaluated = [event for event in esacl.run(config) if isinstance(event, Evaluated)]
        matrix = accuracy_matrix(evaluated, config.tasks)
        yield {"seed": seed, **metrics.transfer(matrix, joint=False), "accuracy_matrix": matrix}


def _made(command: str) -> dict[str, Any]:
    """What a published number must name."""
    facts = machine.facts()
    hardware = facts["hardware"]
    named = f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['system']}; one process, one thread"
    return {
        "command": command,
        "commit": _git("rev-parse", "--short=12", "HEAD") + (" with changes" * bool(_git("status", "-s", ":/esacl"))),
        "hardware": named,
        "versions": facts["versions"],
        "date": f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}",
        "n": len(SEEDS),
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
