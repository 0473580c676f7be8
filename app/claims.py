"""What was said of a cut against what it did: which estimate is furthest off, and which ever falls short."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.language import marked

ESTIMATES = {  # column of the sparsity curve -> as it is written
    "taylor": marked("Taylor"),
    "path_integral": marked("path integral"),
    "output_bound": marked("output bound"),
    "lambda_bound": marked("λ bound"),
}
TRUTH = "rise_of_chosen"  # over the same instances as the estimates
LEAST = 1e-3  # of the largest rise: below it a factor would be a quotient of two roundings
EQUAL = 0.01  # that far from the truth counts as neither above nor below


def known(curve: pd.DataFrame) -> list[str]:
    """The estimates that a run has recorded; none without the truth to hold them against."""
    if TRUTH not in curve:
        return []
    return [name for name in ESTIMATES if name in curve and np.isfinite(curve[name]).any()]


def counted(curve: pd.DataFrame) -> pd.Series:
    """Which levels count: those whose cut raises the loss by more than a thousandth of the largest rise."""
    truth = curve[TRUTH]
    return (truth > 0) & (truth >= LEAST * truth.max())


def factors(curve: pd.DataFrame) -> pd.DataFrame:
    """Each estimate over the true rise, one row a level that counts; `level` stands beside them."""
    rows = curve[counted(curve)]
    return pd.DataFrame({"level": rows["level"], **{name: rows[name] / rows[TRUTH] for name in known(curve)}})


def verdicts(curve: pd.DataFrame) -> pd.DataFrame:
    """One row an estimate: levels that count, at how many it is below the truth, its smallest and largest factor."""
    found = factors(curve)
    rows = []
    for name in known(curve):
        of_truth = found[name].dropna()
        short = int((of_truth < 1 - EQUAL).sum())
        rows.append((name, len(of_truth), short, of_truth.min(), of_truth.median(), of_truth.max()))
    return pd.DataFrame(rows, columns=["name", "levels", "below", "smallest", "median", "largest"])


def never_below(curve: pd.DataFrame) -> list[str]:
    """The estimates that are nowhere below the truth; none where no level counts."""
    table = verdicts(curve)
    return list(table.loc[(table["levels"] > 0) & (table["below"] == 0), "name"])


def furthest(curve: pd.DataFrame, index: int, names: Sequence[str] | None = None) -> str | None:
    """The estimate that is furthest from the truth at a level, in nats; None where none is known there."""
    row = curve.iloc[index]
    off = {name: abs(float(row[name]) - float(row[TRUTH])) for name in names or known(curve)}
    off = {name: distance for name, distance in off.items() if np.isfinite(distance)}
    return max(off, key=lambda name: off[name]) if off else None
