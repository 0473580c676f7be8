"""The same run at several anchor strengths: a small recorded series, read and averaged over seeds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NUMBERS = ("average_accuracy", "learning_accuracy", "backward_transfer")


@dataclass(frozen=True)
class Series:
    """One row a run, ascending in strength, and what each run knew of each task at the end."""

    runs: pd.DataFrame  # strength, seed, average_accuracy, learning_accuracy, backward_transfer
    ends: np.ndarray  # (runs, tasks) the last row of each accuracy matrix
    told: str  # where it comes from, in a line

    @property
    def strengths(self) -> list[float]:
        """Each strength once, ascending."""
        return sorted(float(value) for value in set(self.runs["strength"]))

    def means(self) -> pd.DataFrame:
        """One row a strength: mean and sd over seeds of each number, and how many seeds."""
        by = self.runs.groupby("strength", sort=True)
        found = {name: by[name].mean() for name in NUMBERS}
        found |= {f"{name}_sd": by[name].std().fillna(0.0) for name in NUMBERS}
        return pd.DataFrame({**found, "n": by.size()}).reset_index()

    def at_the_end(self) -> np.ndarray:
        """Mean accuracy on each task at the end, (strengths, tasks)."""
        given = self.runs["strength"].to_numpy(dtype=float)
        return np.array([self.ends[given == strength].mean(axis=0) for strength in self.strengths])


def read(path: Path) -> Series | None:
    """The series in a file; None where there is none, or what is there is no such series."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    rows: Any = given.get("rows") if isinstance(given, dict) else given
    about = [given.get(name) for name in ("setting", "made")] if isinstance(given, dict) else []
    try:
        return series(rows, _line(about))
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def series(rows: Sequence[dict[str, Any]], told: str = "") -> Series:
    """The series of rows.

    Raises:
        KeyError, TypeError, ValueError, IndexError: a row lacks a number, or the matrices differ in size.
    """
    ordered = sorted(rows, key=lambda row: (float(row["strength"]), int(row["seed"])))
    columns = ("strength", "seed", *NUMBERS)
    runs = pd.DataFrame([[float(row[name]) for name in columns] for row in ordered], columns=list(columns))
    ends = np.array([row["accuracy_matrix"][-1] for row in ordered], dtype=float)
    if ends.ndim != 2 or runs["strength"].nunique() < 2 or not np.isfinite(runs.to_numpy()).all():
        raise ValueError("no series: two strengths at least, with matrices of one size")
    return Series(runs, ends, told)


def _line(about: Sequence[Any]) -> str:
    """What was run and where, as far as it is told in plain values."""
    pairs = [pair for part in about if isinstance(part, dict) for pair in part.items()]
    return " · ".join(f"{key}: {value}" for key, value in pairs if isinstance(value, str | int | float))
