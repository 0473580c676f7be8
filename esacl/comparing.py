"""Runs beside each other: one row a run, as a table, CSV or one HTML file."""

import csv
import html
import io
from collections.abc import Sequence
from typing import Any

from esacl import metrics, printing

COLUMNS = (
    "run", "name", "status", "benchmark", "scenario", "method", "sparsity", "seed", "average_accuracy",
    "learning_accuracy", "backward_transfer", "forgetting", "pruning_drop", "lambda_max_dense",
    "lambda_max_pruned", "train_flops", "seconds",
)  # fmt: skip
_SHORT = {
    "average_accuracy": "ACC, %", "learning_accuracy": "learned, %", "backward_transfer": "BWT",
    "forgetting": "forgetting", "pruning_drop": "cut costs", "lambda_max_dense": "λmax dense",
    "lambda_max_pruned": "λmax pruned", "train_flops": "FLOPs", "seconds": "time", "sparsity": "sparsity, %",
}  # fmt: skip


def row(summary: dict[str, Any]) -> dict[str, Any]:
    """What `COLUMNS` name, of one run. Means over tasks for the cut's cost and the top eigenvalues."""
    config = summary["config"]
    cuts = [(cut["dense_accuracy"], cut["pruned_accuracy"]) for cut in summary["pruning"]]
    return {
        **{key: summary[key] for key in ("run", "name", "status")},
        **{key: config[key] for key in ("benchmark", "scenario", "method", "sparsity", "seed")},
        **{key: summary[key] for key in ("average_accuracy", "learning_accuracy", "backward_transfer", "forgetting")},
        "pruning_drop": metrics.cost_of_cuts(cuts),
        "lambda_max_dense": _mean(_sharpness(summary, "dense")),
        "lambda_max_pruned": _mean(_sharpness(summary, "pruned")),
        "train_flops": summary["cost"]["train_flops"],
        "seconds": summary["cost"]["seconds"],
    }


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """For a terminal: columns in which all runs agree are told once, above."""
    shared = [key for key in COLUMNS[1:8] if len(rows) > 1 and len({str(r[key]) for r in rows}) == 1]
    columns = [key for key in COLUMNS if key not in shared]
    told = ", ".join(f"{key} {_cell(key, rows[0][key])}" for key in shared if rows[0][key] != "")
    body = printing.table([_SHORT.get(key, key) for key in columns], [[_cell(k, r[k]) for k in columns] for r in rows])
    return f"{told}\n\n{body}" if told else body


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """One line a run, numbers in full, nothing where a value is not known."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _defused(value) for key, value in r.items()} for r in rows)
    return out.getvalue()


def as_html(rows: Sequence[dict[str, Any]]) -> str:
    """One file that needs nothing else."""
    head = "".join(f"<th>{html.escape(_SHORT.get(key, key))}</th>" for key in COLUMNS)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(key, r[key]))}</td>" for key in COLUMNS) + "</tr>" for r in rows
    )
    style = "body{font:15px sans-serif;margin:2em}td,th{padding:.3em .8em;text-align:right}"
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>EsaCL: runs compared</title>\n'
        f"<style>{style}</style>\n<table>\n<tr>{head}</tr>\n{body}\n</table>\n</html>\n"
    )


def _cell(key: str, value: Any) -> str:
    if key in ("average_accuracy", "learning_accuracy", "sparsity"):
        return printing.percent(value)
    if key in ("backward_transfer", "forgetting", "pruning_drop"):
        return printing.points(value)
    return printing.seconds(value) if key == "seconds" else printing.number(value)


def _sharpness(summary: dict[str, Any], point: str) -> list[float]:
    return [
        found["top_eigenvalues"][0]
        for found in summary["curvature"]
        if found["point"] == point and not found["restricted"] and found["engine"] == "lanczos"
        if found["top_eigenvalues"]
    ]


def _defused(value: Any) -> Any:
    # A spreadsheet runs a cell that begins like a formula; a run's name is anybody's text.
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
