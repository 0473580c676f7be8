"""`python assets/series/make_anchor_series.py`: runs the series of the Forgetting page, written beside this file.

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
    """Make the series that are asked for, one run after the other."""
    options = argparse.ArgumentParser(description="The series of the Forgetting page.")
    options.add_argument("series", nargs="*", choices=(*MAKERS, []), help="default: all")
    for name in options.parse_args().series or MAKERS:
        MAKERS[name]()


def anchored() -> None:
    """EsaCL at each strength of the anchor."""
    made, rows = _made(), []
    for strength in STRENGTHS:
        for row in _seeds({**ANCHORED, "anchor.strength": strength}):
            rows.append({"strength": strength, **row})
            print(f"strength {strength:g}, seed {row['seed']}: average {row['average_accuracy']:.4f}", flush=True)
    replace_json(HERE / "anchor-digits.json", {"made": made, "setting": ANCHORED, "rows": rows})


def finetuned() -> None:
    """Dense fine-tuning where all classes compete."""
    made, rows = _made(), list(_seeds(FINETUNED))
    replace_json(HERE / "finetune-class-digits.json", {"made": made, "setting": FINETUNED, "rows": rows})


MAKERS = {"anchor-digits": anchored, "finetune-class-digits": finetuned}


def _seeds(settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for seed in SEEDS:
        config = esacl.read_config(None, {**UNSEEN, **settings, "seed": seed})
        evaluated = [event for event in esacl.run(config) if isinstance(event, Evaluated)]
        matrix = accuracy_matrix(evaluated, config.tasks)
        row = {"seed": seed, **metrics.transfer(matrix, joint=False), "accuracy_matrix": matrix}
        if config.scenario == "class":
            row["accuracy_matrix_task"] = accuracy_matrix(evaluated, config.tasks, task_known=True)
        yield row


def _made() -> dict[str, Any]:
    """What a published number must name."""
    facts = machine.facts()
    hardware = facts["hardware"]
    named = f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['system']}; one process, one thread"
    return {
        "command": "python assets/series/make_anchor_series.py",
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
