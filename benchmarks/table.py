"""A comparison over seeds as a Markdown table: `python -m benchmarks.table benchmarks/digits.toml`.

Every row runs once under the first seed, then every row under the next: what disturbs the machine for a while
disturbs all rows. An interrupted table goes on where it was; runs of other code or other settings are done again.

With `--confirm` a row's runs by other code are kept where its first seed, run again, gives the same to the last digit;
with `--rows` those of all rows that are not named, which is for code that only some of them run through.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.once import Record
from benchmarks.pool import Job, Results, confirm, run_all
from benchmarks.provenance import header, this_command
from benchmarks.spec import Spec, read_spec
from esacl.errors import InputError


@dataclass(frozen=True)
class Column:
    """A measure of a table: how it is called, where it stands in a record, and how it is written."""

    title: str
    measure: str
    scale: float
    decimals: int
    smallest: bool = False  # over the seeds, instead of mean ± sd


COLUMNS = (
    Column("average accuracy, %", "average_accuracy", 100, 2),
    Column("task known, %", "accuracy_task_known", 100, 2),
    Column("learning accuracy, %", "learning_accuracy", 100, 2),
    Column("backward transfer, points", "backward_transfer", 100, 2),
    Column("forgetting, points", "forgetting", 100, 2),
    Column("drop of the cut, points", "drop", 100, 2),
    Column("smallest sparsity, %", "sparsity", 100, 2, smallest=True),
    Column("FLOPs / dense SGD", "flops", 1, 2),
    Column("the same by the published rule", "flops_published_rule", 1, 2),
    Column("kept / dense weights", "kept", 1, 2),
    Column("seconds", "seconds", 1, 1),
)
NOTE = """Mean ± sd over the seeds; each row under the same seeds, runs interleaved, one thread a run. Accuracies on \
the {evaluation} data. Smallest sparsity: of all tasks and seeds, over the prunable weights. FLOPs: counted, training \
only; the published rule bills a fresh example three forward passes and a replayed one one, and nothing for Fisher \
information, a teacher's answers or sharpness-aware steps. Kept: bytes of weights, \
masks, anchors and buffer between tasks. Seconds: wall time of a run without imports and data, {workers} at a time. A \
dash is undefined."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, write the table and print it."""
    options = parser(__doc__ or "")
    options.add_argument("--rows", nargs="+", metavar="NAME", help="run these; of the others keep what other code gave")
    args = options.parse_args(arguments)
    try:
        spec = read_spec(args.spec)
        _check_rows(spec, args.rows)
        seeds, evaluation = tuple(args.seeds or spec.seeds), args.evaluation or spec.evaluation
        results = Results(args.spec.parent / "results" / f"{spec.name}.jsonl")
        jobs = [
            Job(f"{row.name}, seed {seed}", row.config(seed, evaluation)) for seed in seeds for row in spec.rows
        ]
        for job in jobs:
            if args.rows and job.label.rpartition(", seed ")[0] not in args.rows:
                results.take_over(job.config)
        if args.confirm:
            confirm(jobs, len(spec.rows), results, workers=args.workers, data=args.data)
        run_all(jobs, results, workers=args.workers, data=args.data)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = {row.name: [_known(results, row.config(seed, evaluation)) for seed in seeds] for row in spec.rows}
    remark = NOTE.format(evaluation=evaluation, workers=args.workers)
    ever = sorted({*seeds, *spec.seeds})
    results.forget_others(row.config(seed, evaluation) for row in spec.rows for seed in ever)
    text = "\n".join([*_header(spec, found), *table(spec, found), "", remark]) + "\n"
    out = args.out or args.spec.parent / "results" / f"{spec.name}.md"
    out.write_text(text, encoding="utf-8")
    print(text)
    return 0


def _check_rows(spec: Spec, names: Sequence[str] | None) -> None:
    known = [row.name for row in spec.rows]
    if odd := [name for name in names or () if name not in known]:
        raise InputError(f"no row is named {odd[0]!r}; choose from {'; '.join(known)}")


def parser(text: str) -> argparse.ArgumentParser:
    """The options that tables and tuning share."""
    options = argparse.ArgumentParser(description=text.partition("\n")[0])
    options.add_argument("spec", type=Path, metavar="SPEC.toml")
    options.add_argument("--workers", type=int, default=2, help="processes at a time")
    options.add_argument("--seeds", type=int, nargs="+", metavar="N", help="instead of those of the file")
    options.add_argument("--evaluation", choices=("test", "validation"), help="default: what the file says, else test")
    options.add_argument("--confirm", action="store_true", help="keep a row's runs of other code if one confirms them")
    options.add_argument("--data", type=Path, metavar="DIR", help="where the data sets are, as for `esacl run`")
    options.add_argument("--out", type=Path, metavar="FILE.md", help="default: results/NAME.md beside the file")
    return options


def table(spec: Spec, found: dict[str, list[Record]]) -> list[str]:
    """The lines of the Markdown table; a column that is undefined in every row is left out."""
    every = [record for records in found.values() for record in records]
    columns = [column for column in COLUMNS if any(record.get(column.measure) is not None for record in every)]
    titles = ["row", *(column.title for column in columns)]
    if spec.reference is not None:
        titles.append(f"average accuracy, paired with {spec.reference}, points")
    lines = ["| " + " | ".join([*titles, "n"]) + " |", "|" + "---|" * (len(titles) + 1)]
    for row in spec.rows:
        records = found[row.name]
        cells = [row.name, *(_cell(column, records) for column in columns)]
        if spec.reference is not None:
            partner = spec.partner(row)
            cells.append("–" if partner is None else _paired(records, found[partner]))
        failed = sum(record["failed"] is not None for record in records)
        lines.append("| " + " | ".join([*cells, f"{len(records)}" + (f" ({failed} failed)" if failed else "")]) + " |")
    return lines


def mean_sd(values: Sequence[float], write: Callable[[float], str]) -> str:
    """Mean ± standard deviation (n - 1); the mean alone where there is one value, a dash where there is none."""
    if not values:
        return "–"
    mean = write(statistics.fmean(values))
    return f"{mean} ± {write(statistics.stdev(values))}" if len(values) > 1 else mean


def _cell(column: Column, records: list[Record]) -> str:
    values = [column.scale * r[column.measure] for r in records if r.get(column.measure) is not None]

    def write(value: float) -> str:
        return f"{value:.{column.decimals}f}"

    return write(min(values)) if column.smallest and values else mean_sd(values, write)


def _paired(records: list[Record], others: list[Record]) -> str:
    pairs = [(a["average_accuracy"], b["average_accuracy"]) for a, b in zip(records, others, strict=True)]
    return mean_sd([100 * (a - b) for a, b in pairs if a is not None and b is not None], lambda x: f"{x:+.2f}").replace(
        "± +", "± "
    )


def _known(results: Results, config: object) -> Record:
    record = results.get(config)  # type: ignore[arg-type]
    assert record is not None, "run_all leaves no job undone"
    return record


def _header(spec: Spec, found: dict[str, list[Record]]) -> list[str]:
    made_by = [record for records in found.values() for record in records]
    return header(spec.title, spec.note, this_command("benchmarks.table"), made_by)


if __name__ == "__main__":
    raise SystemExit(main())
