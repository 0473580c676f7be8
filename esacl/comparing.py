"""Rows of runs or of groups of seeds as text: for a terminal, for spreadsheets, for a paper."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from esacl import outcomes, printing
from esacl.outcomes import MEASURED, PROBLEM, SETTINGS, Row

_SETTINGS = tuple(dict.fromkeys((*SETTINGS[:2], *PROBLEM, *SETTINGS[2:])))
MADE_BY = ("version", "processor")  # lists, for spreadsheets alone
RUN_COLUMNS = ("run", "name", "status", *_SETTINGS, "base", "buffer", "logits", "settings", "seed", *MEASURED, *MADE_BY)
GROUP_COLUMNS = (
    "name", "status", *_SETTINGS, "base", "buffer", "logits", "settings", "n",
    *(key for name in MEASURED for key in (name, f"{name}_sd")), "seeds", "runs", *MADE_BY,
)  # fmt: skip
TOLD = ("name", "status", *_SETTINGS, "base", "buffer", "logits", "settings", "seed")  # once, above, where all agree
SHORT = {
    "average_accuracy": "ACC, %", "average_accuracy_task": "task known, %", "learning_accuracy": "learned, %",
    "backward_transfer": "BWT", "forgetting": "forgetting", "pruning_drop": "cut costs",
    "smallest_sparsity": "least sparse, %", "lambda_max_dense": "λmax dense", "lambda_max_pruned": "λmax pruned",
    "train_flops": "FLOPs", "flops_over_dense_sgd": "FLOPs/SGD", "train_flops_published_rule": "FLOPs, published",
    "kept_bytes": "kept", "seconds": "time", "training_seconds": "training time", "peak_bytes": "peak memory",
    "sparsity": "sparsity, %",
}  # fmt: skip
# A paper's table: what is measured on one machine alone stays out.
TEX = {
    "method": "method", "sparsity": "sparsity", "settings": "settings", "seed": "seed", "n": "$n$",
    "average_accuracy": "ACC", "average_accuracy_task": "task known", "learning_accuracy": "learned",
    "backward_transfer": "BWT",
    "forgetting": "forgetting", "pruning_drop": "cut", "flops_over_dense_sgd": "FLOPs/SGD",
    "train_flops_published_rule": "published FLOPs", "kept_bytes": "kept",
}  # fmt: skip
_PERCENT = ("average_accuracy", "average_accuracy_task", "learning_accuracy", "sparsity", "smallest_sparsity")
_POINTS = ("backward_transfer", "forgetting", "pruning_drop")
_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"}, "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}  # fmt: skip


def as_table(rows: Sequence[Row]) -> str:
    """For a terminal: a table for each problem; runs of another number of tasks, or of other data, are not beside."""
    return "\n\n\n".join(map(_one_table, _problems(rows)))


def _problems(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each problem."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for r in rows:
        found.setdefault(tuple(r[key] for key in PROBLEM), []).append(r)
    return list(found.values())


def _one_table(rows: Sequence[Row]) -> str:
    """Columns in which all rows agree are told once, above; what nobody knows is left out."""
    shared, columns = _columns(rows)
    told = ", ".join(f"{key} {cell(rows[0], key)}" for key in shared if rows[0][key] != "")
    body = printing.table([SHORT.get(key, key) for key in columns], [[cell(r, k) for k in columns] for r in rows])
    repeats = [run for r in rows for run in r.get("repeats", ())]
    note = f"left out, repeats of a seed: {', '.join(repeats)}" if repeats else ""
    return "\n\n".join(part for part in (told, body, note, "\n".join(_remarks(rows))) if part)


def _remarks(rows: Sequence[Row], naming: Sequence[str] = ()) -> list[str]:
    """What to know before the rows of one problem are taken for equals, a line each; `naming` says which problem."""
    problem = ", ".join(f"{key} {rows[0][key]}" for key in naming if key in PROBLEM)
    lines = [f"not given the same: {apart}"] if (apart := unequal(rows)) else []
    for key in MADE_BY:
        lines += [
            f"means over runs of {count} {key}s: {'; '.join(map(_label, some))}"
            for count, some in outcomes.mixed(rows, key).items()
        ]
    return [f"{problem}: {line}" if problem else line for line in lines]


def unequal(rows: Sequence[Row], every: str = "all") -> str:
    """What these rows were not given alike: `epochs 3, 5; buffer.size 200, 5000`; `every` is written for no limit."""
    apart = outcomes.unequal(rows).items()
    return "; ".join(f"{key} {', '.join(_setting(value, every) for value in values)}" for key, values in apart)


def _setting(value: Any, every: str) -> str:
    """As TOML writes it."""
    if value is None:
        return every
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Names of columns and texts, for a page: as `as_table`, with nothing told above."""
    shared, columns = _columns(rows)
    shared = [key for key in shared if key not in ("status", "tasks", "evaluation") and rows[0][key] != ""]
    columns = [*shared, *(key for key in columns if key not in ("tasks", "evaluation"))]  # `settings` has what differs
    return [SHORT.get(key, key) for key in columns], [[cell(r, key) for key in columns] for r in rows]


def as_csv(rows: Sequence[Row]) -> str:
    """One line a row, numbers in full, nothing where a value is not known."""
    out = io.StringIO()
    columns = GROUP_COLUMNS if rows and "n" in rows[0] else RUN_COLUMNS
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    joined = ({**r, **{key: "; ".join(r[key]) for key in MADE_BY}} for r in rows)  # their names have spaces
    writer.writerows({key: _defused(value) for key, value in r.items()} for r in joined)
    return out.getvalue()


def as_latex(rows: Sequence[Row]) -> str:
    r"""A `tabular` for the package booktabs; what makes the problem stands above it where all rows agree on it."""
    columns = [key for key in TEX if key in rows[0] and _known(rows, key)]
    apart = [key for key in (*PROBLEM, "status") if len({r[key] for r in rows}) > 1]
    columns = [*apart, *columns]
    left = [key in ("method", "settings") or isinstance(rows[0][key], str) for key in columns]
    head = " & ".join(TEX.get(key, key) for key in columns)
    body = "\n".join(" & ".join(_tex(r, key) for key in columns) + r" \\" for r in rows)
    units = {"tasks": " tasks", "evaluation": " data"}
    above = ", ".join(f"{rows[0][key]}{units.get(key, '')}" for key in PROBLEM if key not in apart)
    remarks = "".join(f"% {line}\n" for some in _problems(rows) for line in _remarks(some, apart))
    return (
        f"% {above or 'runs compared'}; percent, differences in points; mean and sample sd over n seeds\n{remarks}"
        f"\\begin{{tabular}}{{{''.join('l' if flush else 'r' for flush in left)}}}\n\\toprule\n{head} \\\\\n\\midrule\n"
        f"{body}\n\\bottomrule\n\\end{{tabular}}\n"
    )


def cell(r: Row, key: str) -> str:
    """A value as text, with its standard deviation to the same place where there is one."""
    value, sd = r[key], r.get(f"{key}_sd")
    if sd is None or value is None:
        return _plain(key, value)
    if key in _PERCENT or key in _POINTS:
        return f"{_plain(key, value)} ± {_plain(key, sd).lstrip('+')}"
    if key.endswith("_bytes"):
        return printing.size_and_sd(value, sd)
    if key == "flops_over_dense_sgd":
        return f"{_plain(key, value)} ± {_plain(key, sd)}"
    return printing.seconds_and_sd(value, sd) if key.endswith("seconds") else printing.number_and_sd(value, sd)


def _plain(key: str, value: Any) -> str:
    if key in _PERCENT:
        return printing.percent(value)
    if key in _POINTS:
        return printing.points(value)
    if key.endswith("_bytes"):
        return printing.size(value)
    if key == "flops_over_dense_sgd" and value is not None:
        return f"{value:.2f}"
    return printing.seconds(value) if key.endswith("seconds") else printing.number(value)


def _method(r: Row) -> str:
    """A method as the reader knows it, with what decides as much as it does: `ER, 500 images, masked logits`."""
    kind, _, strength = r["logits"].partition(" ")
    logits = f"{kind} logits {strength}".rstrip() if kind else ""
    images = "1 image" if r["buffer"] == 1 else f"{r['buffer']} images" if r["buffer"] else ""
    name = printing.method(r["method"], r["sparsity"], base=r["base"])
    return ", ".join(part for part in (name, images, logits) if part)


def _label(r: Row) -> str:
    sparsity = f"{printing.percent(r['sparsity'])}% sparse" if r["sparsity"] > 0 else "dense"
    return ", ".join(part for part in (_method(r), sparsity, r["settings"]) if part)


def _tex(r: Row, key: str) -> str:
    text = _method(r) if key == "method" else cell(r, key)
    if isinstance(r[key], str):
        return "".join(_ESCAPES.get(sign, sign) for sign in " ".join(text.split())).replace("–", "--")
    text = re.sub(r"(\d[\d.]*|\(.*\))e([+-])0*(\d+)", lambda m: rf"{m[1]}\cdot10^{{{m[2].strip('+')}{m[3]}}}", text)
    text = re.sub(r"(?<=\d) ([kMG]?B)", r"\\,\\mathrm{\1}", text) if "±" in text else text
    mathematical = any(sign in text for sign in "+-±^")
    return "$" + text.replace("±", r"\pm") + "$" if mathematical else text.replace("–", "--")


def _columns(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    silent = ("seeds", "runs", *MADE_BY)
    every = [key for key in (GROUP_COLUMNS if "n" in rows[0] else RUN_COLUMNS) if key not in silent]
    every = [key for key in every if not key.endswith("_sd") and (key not in (*MEASURED, *TOLD) or _known(rows, key))]
    shared = [key for key in TOLD if key in every and len(rows) > 1 and len({str(r[key]) for r in rows}) == 1]
    return shared, [key for key in every if key not in shared]


def _known(rows: Sequence[Row], key: str) -> bool:
    return any(r[key] not in (None, "") for r in rows)


def _defused(value: Any) -> Any:
    # A spreadsheet runs a cell that begins like a formula; a run's name is anybody's text.
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
