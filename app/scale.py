"""Values to shares of an axis, with round ticks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pandas as pd  # loaded late: the first page has numbers to show before it needs frames

Numbers: TypeAlias = "Sequence[float | None] | np.ndarray | pd.Series"


@dataclass(frozen=True)
class Scale:
    """Values `low..high` onto pixels `start..end`, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float | None) -> float | None:
        """Where a value lies, 0 at `low` and 1 at `high`; None for what cannot be drawn."""
        if value is None or not math.isfinite(value) or (self.log and value <= 0):
            return None
        low, high, at = (
            (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return (at - low) / (high - low) if high > low else 0.5

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the scale."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, math.ceil((last - first) / about))
            return [10.0**power for power in range(first, last + 1, step)]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = 10 ** math.floor(math.log10(span / about))
        step = next(m * rough for m in (1, 2, 5, 10) if span / (m * rough) <= about)
        first = math.ceil(self.low / step - 1e-9)
        return [round(n * step, 12) for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def span(*series: Numbers, pad: float = 0.06, log: bool = False, include: Sequence[float] = ()) -> Scale:
    """A scale that holds every finite value (and what `include` names), with a little room."""
    values = np.concatenate(
        [np.asarray([np.nan if v is None else v for v in s], dtype=float) for s in series]
        + [np.asarray(include, float)]
    )
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values):
        return Scale(0.1, 1, log) if log else Scale(0, 1)
    low, high = float(values.min()), float(values.max())
    if log:
        return Scale(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) + 1e-9), log=True)
    room = (high - low) * pad if high > low else abs(high) * 0.1 or 1.0
    return Scale(low - room, high + room)
