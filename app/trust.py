"""How far each estimate of the loss rise may be trusted: level by level against the true rise, over the same images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

ESTIMATES = ("lambda_bound", "output_bound", "taylor", "curvature_term", "path_integral")
TOLERANCE = 1e-5  # nats: losses are means of float32
WORTH = 1e-3  # nats: of a smaller rise no ratio is formed


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


def truth(curve: pd.DataFrame) -> np.ndarray:
    """The rise over the images that the estimates are over; in the oldest runs that of the whole pool."""
    return np.asarray(curve["rise_of_chosen" if "rise_of_chosen" in curve else "rise"], dtype=float)


def records(curve: pd.DataFrame) -> Mapping[str, Record]:
    """Name of the estimate -> its record; those that the run lacks are left out."""
    rise, cut = truth(curve), curve["displacement_norm"].to_numpy(dtype=float) > 0
    found = {}
    for name in ESTIMATES:
        if name not in curve:
            continue
        values = curve[name].to_numpy(dtype=float)
        known = cut & np.isfinite(values) & np.isfinite(rise)
        worth = known & (rise > WORTH)
        ratios = values[worth] / rise[worth]
        low, median, high = np.quantile(ratios, (0, 0.5, 1)) if len(ratios) else (np.nan,) * 3
        above = int((values[known] >= rise[known] - TOLERANCE).sum())
        if known.any():
            found[name] = Record(int(known.sum()), above, len(ratios), float(median), float(low), float(high))
    return found


def ratios(curve: pd.DataFrame) -> dict[str, np.ndarray]:
    """Estimate over true rise at each level; NaN where the rise is too small for one."""
    rise = truth(curve)
    worth = np.where(rise > WORTH, rise, np.nan)
    return {name: curve[name].to_numpy(dtype=float) / worth for name in ESTIMATES if name in curve}
