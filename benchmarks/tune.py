"""Tuning on validation data, as many trials for every method: `python -m benchmarks.tune benchmarks/tune-digits.toml`.

Each row has a grid over its own knobs; the trial with the best mean average accuracy over the seeds wins. The test
data is never opened. The choice is printed and written as TOML, where the rows of other comparisons find it.
"""

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.once import Record
from benchmarks.pool import Job, Results, confirm, run_all
from benchmarks.provenance import header, this_command
from benchmarks.spec import Row, Settings, Spec, read_spec
from benchmarks.table import mean_sd, parser
from esacl.errors import InputError

EVALUATION = "validation"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every trial that is missing, write table and choice, and print them."""
    args = parser(__doc__ or "").parse_args(arguments)
    try:
        if args.evaluation == "test":
            raise InputError("tuning never looks at test data; leave --evaluation out")
        spec = read_spec(args.spec)
        check_trials(spec)
        seeds = tuple(args.seeds or spec.seeds)
        results = Results(args.spec.parent / "results" / f"{spec.name}.jsonl")
        jobs = _jobs(spec, seeds)
        if args.confirm:
            confirm(jobs, len(spec.rows), results, workers=args.workers, data=args.data)
        run_all(jobs, results, workers=args.workers, data=args.data)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    scores = {
        row.name: [(trial, _accuracies(results, row, trial, seeds)) for trial in row.trials] for row in spec.rows
    }
    choice = {name: best(trials) for name, trials in scores.items()}
    text = "\n".join([*_header(spec, results, seeds), *_table(scores, choice)]) + "\n"
    out = args.out or args.spec.parent / "results" / f"{spec.name}.md"
    out.write_text(text, encoding="utf-8")
    out.with_suffix(".toml").write_text(as_toml(choice), encoding="utf-8")
    print(text + "\n" + as_toml(choice))
    return 0


def check_trials(spec: Spec) -> None:
    """Raises InputError where one method gets more trials than another: then the comparison would favour it."""
    counts = {row.name: len(row.trials) for row in spec.rows}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"the rows have different numbers of trials ({told}); give each grid as many")


def best(trials: list[tuple[Settings, list[float | None]]]) -> Settings:
    """The settings with the highest mean; a trial with a failed run is out.

    Raises:
        InputError: every trial failed.
    """
    sound = [(sum(v for v in values if v is not None) / len(values), s) for s, values in trials if None not in values]
    if not sound:
        raise InputError("every trial of a row failed; choose another grid")
    return max(sound, key=lambda pair: pair[0])[1]


def as_toml(choice: dict[str, Settings]) -> str:
    """The choice as TOML: one table a row."""
    lines = ["# Chosen on validation data by `python -m benchmarks.tune`; see the .md beside this file."]
    for name, settings in choice.items():
        lines += ["", f'["{name}"]', *(f"{key} = {_value(value)}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"


def _jobs(spec: Spec, seeds: tuple[int, ...]) -> list[Job]:
    """Interleaved: trial by trial over the rows, seed by seed."""
    return [
        Job(f"{row.name}, {_told(row.trials[i])}, seed {seed}", row.config(seed, EVALUATION, row.trials[i]))
        for seed in seeds
        for i in range(len(spec.rows[0].trials))
        for row in spec.rows
    ]


def _accuracies(results: Results, row: Row, trial: Settings, seeds: tuple[int, ...]) -> list[float | None]:
    return [_known(results, row, trial, seed)["average_accuracy"] for seed in seeds]


def _known(results: Results, row: Row, trial: Settings, seed: int) -> Record:
    record = results.get(row.config(seed, EVALUATION, trial))
    assert record is not None, "run_all leaves no job undone"
    return record


def _table(scores: dict[str, Any], choice: dict[str, Settings]) -> list[str]:
    lines = ["| row | trial | average accuracy on validation data, % | n |", "|---|---|---|---|"]
    for name, trials in scores.items():
        for trial, values in trials:
            known = [100 * value for value in values if value is not None]
            told = f"**{_told(trial)}**" if trial == choice[name] else _told(trial)
            lines.append(f"| {name} | {told} | {mean_sd(known, lambda x: f'{x:.2f}')} | {len(known)} |")
    grids = {name: [trial for trial, _ in trials] for name, trials in scores.items()}
    edges = [f"{name}: {key}" for name, grid in grids.items() for key in at_edge(grid, choice[name])]
    remark = f" At the edge of its grid: {'; '.join(edges)}." if edges else ""
    return [*lines, "", f"Bold: the choice. Every row had as many trials.{remark}"]


def at_edge(trials: list[Settings], chosen: Settings) -> list[str]:
    """The numbers that were chosen at an end of their grid: beyond it might lie something better."""
    return [
        key
        for key, value in chosen.items()
        if not isinstance(value, str)
        and len(tried := {trial[key] for trial in trials if key in trial}) > 1
        and value in (min(tried), max(tried))
    ]


def _header(spec: Spec, results: Results, seeds: tuple[int, ...]) -> list[str]:
    records = [_known(results, row, trial, seed) for row in spec.rows for trial in row.trials for seed in seeds]
    return header(spec.title, spec.note, this_command("benchmarks.tune"), records)


def _told(trial: Settings) -> str:
    return ", ".join(f"{key} {value}" for key, value in trial.items()) or "as it is"


def _value(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)


if __name__ == "__main__":
    raise SystemExit(main())
