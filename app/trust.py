"""How far each estimate of the loss rise may be trusted: level by level against the true rise, over the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.language import marked

ESTIMATES = {  # column of the sparsity curve -> as it is written
    "taylor": marked("Taylor"),
    "path_integral": marked("path integral"),
    "output_bound": marked("output bound"),
    "lambda_bound": marked("λ bound"),
    "curvature_term": marked("½ d'Hd alone"),
}
TRUTH = "rise_of_chosen"  # over the same instances as the estimates
# Nats. A rise is a difference of two means of float32 losses of about one nat, good to some 1e-6: less than ten times
# that is rounding. No share of the rise: an estimate that falls short by 1 % of it is below it, and is no bound.
TOLERANCE = 1e-5
WORTH = 1e-3  # nats: of a smaller rise no ratio is formed
OLDER = marked("This run is older than the comparison: it kept no rise over the same instances.")


@dataclass(frozen=True)
class Record:
    """One estimate against the truth, over the levels that cut anything."""

    levels: int
    above: int  # at so many levels it does not lie below the true rise
    compared: int  # levels with a rise worth a ratio
    median: float  # of estimate / rise there; NaN where there is none
    low: float
    high: float

    @property
    def bounds(self) -> bool:
        """Whether it never lay below."""
        return self.levels > 0 and self.above == self.levels

    @property
    def off(self) -> float:
        """The largest relative error, where a ratio was formed."""
        return max(abs(self.low - 1), abs(self.high - 1))


def known(curve: pd.DataFrame) -> list[str]:
    """The estimates that a run has recorded; none without the truth to hold them against."""
    if TRUTH not in curve:
        return []
    return [name for name in ESTIMATES if name in curve and np.isfinite(curve[name].to_numpy(dtype=float)).any()]


def records(curve: pd.DataFrame) -> Mapping[str, Record]:
    """Name of the estimate -> its record; those that the run lacks are left out, and all where nothing was cut."""
    found = {}
    of_rise = ratios(curve)
    for name in known(curve):
        rise, values = curve[TRUTH].to_numpy(dtype=float), curve[name].to_numpy(dtype=float)
        counted = (curve["displacement_norm"].to_numpy(dtype=float) > 0) & np.isfinite(values) & np.isfinite(rise)
        compared = of_rise[name][counted & np.isfinite(of_rise[name])]
        low, median, high = np.quantile(compared, (0, 0.5, 1)) if len(compared) else (np.nan,) * 3
        above = int((values[counted] >= rise[counted] - TOLERANCE).sum())
        if counted.any():
            found[name] = Record(int(counted.sum()), above, len(compared), float(median), float(low), float(high))
    return found


def ratios(curve: pd.DataFrame) -> dict[str, np.ndarray]:
    """Estimate over true rise at each level; NaN where the rise is too small for one."""
    names = known(curve)
    worth = curve[TRUTH].where(curve[TRUTH] > WORTH).to_numpy(dtype=float) if names else np.array([])
    return {name: curve[name].to_numpy(dtype=float) / worth for name in names}


def furthest(curve: pd.DataFrame, index: int, names: Sequence[str]) -> str | None:
    """The estimate that is furthest from the truth at a level, in nats; None where none is known there."""
    row = curve.iloc[index]
    off = {name: abs(float(row[name]) - float(row[TRUTH])) for name in names}
    off = {name: distance for name, distance in off.items() if np.isfinite(distance)}
    return max(off, key=lambda name: off[name]) if off else None
