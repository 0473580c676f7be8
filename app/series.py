"""Series of runs that come with the project, one JSON file each: what was reached at each setting, with every seed.

`assets/series/make_anchor_series.py` makes them. Other packages read the same files, so a field keeps its name.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.language import text
from app.reading import ASSETS
from app.wording import brief
from esacl import strict_json
from esacl.durable import read_bounded
from esacl.errors import RunUnreadable

FOLDER = ASSETS / "series"
MOST_BYTES = 4 << 20
NUMBERS = ("average_accuracy", "learning_accuracy", "backward_transfer", "forgetting")
Matrix = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Made:
    """Where the numbers come from."""

    command: str
    commit: str
    hardware: str
    versions: Mapping[str, str]
    date: str
    n: int


@dataclass(frozen=True)
class Row:
    """One run. `strength`: of the anchor, None in a series without; accuracies are fractions."""

    strength: float | None
    seed: int
    average_accuracy: float
    learning_accuracy: float
    backward_transfer: float
    forgetting: float
    accuracy_matrix: Matrix
    accuracy_matrix_task: Matrix | None  # the task told; class-IL only


@dataclass(frozen=True)
class Series:
    """Runs that differ in their seed, and in the strength of their anchor."""

    made: Made
    setting: Mapping[str, Any]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Level:
    """All seeds at one strength. `mean`, `sd`: R[i, j], (tasks, tasks), NaN where nothing was evaluated."""

    strength: float
    n: int
    mean: np.ndarray
    sd: np.ndarray
    numbers: Mapping[str, tuple[float, float]]  # of NUMBERS: mean, sample standard deviation


def anchor_series(folder: Path = FOLDER) -> Series:
    """EsaCL at several strengths of the anchor.

    Raises:
        RunUnreadable: the file is not there, or damaged.
    """
    return _read(folder / "anchor-digits.json", strengths=True)


def finetune_series(folder: Path = FOLDER) -> Series:
    """Dense fine-tuning in class-IL.

    Raises:
        RunUnreadable: the file is not there, or damaged.
    """
    return _read(folder / "finetune-class-digits.json", strengths=False)


def levels(series: Series) -> list[Level]:
    """One level a strength, ascending."""
    strengths = sorted({row.strength for row in series.rows if row.strength is not None})
    return [_level(strength, [row for row in series.rows if row.strength == strength]) for strength in strengths]


def mean_matrix(matrices: Sequence[Matrix]) -> list[list[float | None]]:
    """The mean of accuracy matrices, None where nothing was evaluated."""
    return [[None if cells[0] is None else statistics.fmean(cells) for cells in zip(*rows)] for rows in zip(*matrices)]


def _level(strength: float, rows: Sequence[Row]) -> Level:
    every = np.array([row.accuracy_matrix for row in rows], dtype=float)
    numbers = {}
    for name in NUMBERS:
        values = [float(getattr(row, name)) for row in rows]
        numbers[name] = (statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)
    sd = every.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(every.shape[1:])
    return Level(strength, len(rows), every.mean(axis=0), sd, numbers)


def _read(path: Path, *, strengths: bool) -> Series:
    if not path.is_file():
        raise RunUnreadable(f"The series {path.name} has not been made: {_cure()}")
    try:
        told = strict_json.decode(read_bounded(path, MOST_BYTES))
        rows = tuple(_row(row, strengths) for row in told["rows"])
        if not rows or len({len(row.accuracy_matrix) for row in rows}) != 1:
            raise ValueError("no rows, or rows of different numbers of tasks")
        return Series(_made(told["made"]), dict(told["setting"]), rows)
    except (RunUnreadable, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RunUnreadable(f"The series {path.name} cannot be read ({_short(error)}): {_cure()}") from None


def setting_said(found: Series) -> str:
    """What was run, for the caption of a figure of the anchor series."""
    return text(
        "EsaCL on split digits in task-IL at %(sparsity)s sparsity, n = %(n)d seeds, mean ± standard deviation. "
        "Distillation, which the defaults add, is off, so that what is seen is the work of the anchor alone.",
        sparsity=brief(float(found.setting.get("sparsity", 0))),
        n=found.made.n,
    )


def made_said(made: Made) -> str:
    """By what, from which commit, on what and when the numbers were made."""
    told = {"command": made.command, "commit": made.commit, "hardware": made.hardware, "date": made.date}
    return text("%(command)s, commit %(commit)s, %(hardware)s, %(date)s.", **told)


def _cure() -> str:
    return "`python assets/series/make_anchor_series.py` makes it."


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def _made(told: Mapping[str, Any]) -> Made:
    versions = {str(name): str(version) for name, version in told["versions"].items()}
    words = {name: str(told[name]) for name in ("command", "commit", "hardware", "date")}
    return Made(versions=versions, n=int(told["n"]), **words)


def _row(told: Mapping[str, Any], strengths: bool) -> Row:
    strength = float(told["strength"]) if strengths else None
    if strength is not None and strength < 0:
        raise ValueError(f"strength {strength}")
    numbers = {name: float(told[name]) for name in NUMBERS}
    if not all(-1 <= number <= 1 for number in numbers.values()):
        raise ValueError("a number that is no fraction")
    known = told.get("accuracy_matrix_task")
    return Row(
        strength=strength,
        seed=int(told["seed"]),
        accuracy_matrix=_matrix(told["accuracy_matrix"]),
        accuracy_matrix_task=known and _matrix(known),
        **numbers,
    )


def _matrix(told: Sequence[Sequence[float | None]]) -> Matrix:
    found = tuple(tuple(None if value is None else float(value) for value in row) for row in told)
    if not found or any(len(row) != len(found) for row in found):
        raise ValueError("an accuracy matrix that is not square")
    for i, row in enumerate(found):
        if any((value is None) != (j > i) or not 0 <= (value or 0) <= 1 for j, value in enumerate(row)):
            raise ValueError("an accuracy matrix with holes, or with what is no fraction")
    return found
