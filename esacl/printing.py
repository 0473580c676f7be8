"""Results as text for a terminal. Accuracies are printed in percent, their differences in points."""

import math
from collections.abc import Sequence
from typing import Any

from esacl.defaults import SPARSE_METHODS
from esacl.ranks import count_of

Summary = dict[str, Any]
SIZES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
WORDS = ("name", "status", "benchmark", "scenario", "method", "logits", "settings", "reason")  # columns of text
METHODS = {  # as the field writes them
    "esacl": "EsaCL", "finetune": "fine-tuning", "ewc": "EWC", "joint": "joint training", "er": "ER", "derpp": "DER++",
    "packnet": "PackNet", "rigl": "RigL", "sparcl": "SparCL",
}  # fmt: skip


def method(name: str, sparsity: float = 0.0, saliency: str = "", base: str = "") -> str:
    """A method as the reader knows it, with its pruning, and what it is laid over."""
    if name == "sparcl" and base:
        return f"{METHODS[name]} over {METHODS.get(base, 'Co2L')}"
    pruned = name not in SPARSE_METHODS and sparsity > 0
    return METHODS[name] + (f" + {saliency or 'one-shot'} pruning" if pruned else "")


def result_text(summary: Summary) -> str:
    """A run's result, short enough to read: accuracies, pruning, curvature, cost."""
    parts = [
        _heading(summary),
        _accuracies(summary),
        _pruning(summary["pruning"]),
        _refreshed(summary["batchnorm"]),
        curvature_table(summary["curvature"]),
        _cost(summary["cost"]),
    ]
    return "\n\n".join(part for part in parts if part)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first and names to the left, numbers to the right."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows)]
    left = [place == 0 or column in WORDS for place, column in enumerate(columns)]
    lines = []
    for row in (columns, *rows):
        cells = [cell.ljust(w) if flush else cell.rjust(w) for cell, w, flush in zip(row, widths, left)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def number(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits; a dash where it is not known."""
    if value is None or isinstance(value, str):
        return value or "–"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def percent(value: float | None) -> str:
    """A fraction in percent."""
    return "–" if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return "–" if value is None else f"{100 * value:+.1f}"


def seconds(value: float | None) -> str:
    """A duration."""
    if value is None:
        return "–"
    whole = round(value)
    return f"{value:.1f} s" if value < 100 else f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def size(value: float | None) -> str:
    """Bytes in the unit that keeps them short."""
    if value is None:
        return "–"
    for unit, one in SIZES:
        if value >= one:
            return f"{value / one:.3g} {unit}"
    return f"{value:.0f} B"


def number_and_sd(value: float, sd: float, digits: int = 3) -> str:
    """A mean with so many significant digits and its standard deviation to the same place: `(3.81 ± 0.02)e+06`."""
    written = f"{value:.{digits}g}"
    power = written.partition("e")[2]
    if power:
        one = float(f"1e{power}")
        return f"({value / one:.{digits - 1}f} ± {sd / one:.{digits - 1}f})e{power}"
    places = _places(value, digits)
    return f"{value:.{places}f} ± {sd:.{places}f}"


def size_and_sd(value: float, sd: float) -> str:
    """Mean and standard deviation of bytes, both in the mean's unit and to the same place."""
    unit, one = next(((unit, one) for unit, one in SIZES if value >= one), ("B", 1.0))
    places = _places(value / one, 3) if one > 1 else 0
    return f"{value / one:.{places}f} ± {sd / one:.{places}f} {unit}"


def seconds_and_sd(value: float, sd: float) -> str:
    """Mean and standard deviation of durations."""
    return f"{value:.1f} ± {sd:.1f} s" if value < 100 else f"{seconds(value)} ± {seconds(sd)}"


def _places(value: float, digits: int) -> int:
    """Decimals that show so many significant digits of a value."""
    return max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else digits - 1


def _heading(summary: Summary) -> str:
    config = summary["config"]
    told = [
        f"{config['method']} on {config['benchmark']}, {config['scenario']}-IL",
        f"{config['network']}, {percent(config['sparsity'])}% sparse, seed {config['seed']}",
    ]
    if config["sdp"]["cut"] < 1:
        told.append(f"cut after {percent(config['sdp']['cut'])}% of a task")
    if summary["batchnorm"]:
        told.append(summary["batchnorm"]["said"])
    if (processes := count_of(summary["hardware"])) > 1:
        told.append(f"by {processes} processes together")
    state = summary["status"] + (f": {summary['detail']}" if summary["detail"] else "")
    name = f"  {summary['name']}" if summary["name"] else ""
    return f"run {summary['run']}{name}\n{', '.join(told)}\n{state}"


def _accuracies(summary: Summary) -> str:
    matrix = summary["accuracy_matrix"]
    if not matrix:
        return ""
    columns = ["accuracy, %", *(f"on {task}" for task in range(len(matrix[0])))]
    rows = [
        [f"after task {task}", *(percent(value) if value is not None else "" for value in row)]
        for task, row in enumerate(matrix)
        if any(value is not None for value in row)
    ]
    complete = len(matrix) == summary["config"]["tasks"]
    found = summary if complete else summary["so_far"]
    means = [
        f"average {percent(found['average_accuracy'])}%",
        f"when learned {percent(found['learning_accuracy'])}%",
        f"backward transfer {points(found['backward_transfer'])}",
        f"forgetting {points(found['forgetting'])}",
    ]
    if summary["forward_transfer"] is not None:
        means.append(f"forward transfer {points(summary['forward_transfer'])}")
    scope = "" if complete else f"so far ({len(matrix)} of {summary['config']['tasks']} tasks): "
    return f"{table(columns, rows)}\n{scope}{', '.join(means)}"


def _pruning(pruned: list[dict[str, Any]]) -> str:
    columns = [
        "pruning", "dense, %", "pruned, %", "loss rise", "Taylor", "path", "output bound", "λ bound", "|d|", "|θ|",
        "θ² cut, %",
    ]  # fmt: skip
    rows = [
        [
            f"task {cut['task']}",
            percent(cut["dense_accuracy"]),
            percent(cut["pruned_accuracy"]),
            *(number(cut[key]) for key in ("actual_rise", "taylor", "path_integral", "output_bound", "lambda_bound")),
            *(number(cut[key]) for key in ("displacement_norm", "network_norm")),
            number(100 * cut["removed_share"], 2),
        ]
        for cut in pruned
    ]
    return table(columns, rows) if rows else ""


def _refreshed(batchnorm: dict[str, Any] | None) -> str:
    columns = ["BatchNorm refreshed", "cut alone, %", "refreshed, %", "images"]
    rows = [
        [f"task {e['task']}", percent(e["accuracy_before"]), percent(e["accuracy"]), str(e["examples"])]
        for e in (batchnorm or {}).get("refreshed", [])
    ]
    return table(columns, rows) if rows else ""


def curvature_table(measured: list[dict[str, Any]]) -> str:
    """The top eigenvalue at each point, with what it rests on; nothing where none was measured."""
    columns = ["curvature", "point", "Hessian", "by", "λmax", "λmax·|θ|²", "residual", "products"]
    rows = [
        [
            f"task {found['task']}",
            found["point"],
            "survivors" if found["restricted"] else "whole",
            found["engine"] + ("" if found["converged"] else " (not converged)"),
            number(found["top_eigenvalues"][0] if found["top_eigenvalues"] else None, 4),
            number(found["relative_sharpness"], 4),
            number(found["residuals"][0] if found["residuals"] else None, 2),
            str(found["products"]),
        ]
        for found in measured
    ]
    return table(columns, rows) if rows else ""


def _cost(cost: dict[str, Any]) -> str:
    flops, dense = cost["train_flops"], cost["train_flops_dense_sgd"]
    told = [f"time {seconds(cost['seconds'])}"]
    if cost["peak_bytes"] is not None:
        told.append(f"peak memory {cost['peak_bytes'] / 2**20:.0f} MiB")
    if flops is not None:
        share = f" ({flops / dense:.2f} of dense SGD's)" if dense else ""
        told.append(f"training {flops:.3g} FLOPs{share}, analysis {cost['analysis_flops']:.3g} FLOPs")
    if cost["bill"] and flops:
        shares = [f"{item.replace('_', ' ')} {percent(part / flops)}%" for item, part in cost["bill"].items() if part]
        return f"cost  {', '.join(told)}\nbill  {', '.join(shares)}"
    return "cost  " + ", ".join(told)
