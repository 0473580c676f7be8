"""Learning rate, SDP's ramp and the cut over the steps of one task, all as fractions of the task."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from esacl.config import RunConfig

WARM_UP_STEPS = 20
DECAY_SHARE = 0.4


@dataclass(frozen=True)
class Schedule:
    """Warm-up, constant rate, linear decay over the last 40% (WSD: sparse networks want a high rate after the cut).

    Or the same rate throughout, as published baselines are trained.

    Attributes:
        steps: optimiser steps of the task.
        peak: the constant learning rate.
        ramp_share: fraction of the steps before the cut over which the ramp grows from 0 to 1.
        constant: neither warm-up nor decay.
        cut_share: fraction of the steps that come before the cut; the others are sparse.
    """

    steps: int
    peak: float
    ramp_share: float
    constant: bool = False
    cut_share: float = 1.0

    @classmethod
    def of(cls, config: RunConfig, examples: int) -> Self:
        """That of a run's task of so many examples; an epoch's last step takes what is left of them."""
        steps = config.epochs * math.ceil(examples / config.batch_size)
        return cls(steps, config.lr, config.sdp.ramp, config.schedule == "constant", config.sdp.cut)

    @property
    def cut_step(self) -> int:
        """The step before which the cut comes; `steps` where it comes after the last one."""
        return max(1, round(self.cut_share * self.steps))

    def lr(self, step: int) -> float:
        """Learning rate of step 0, 1, ...; never 0."""
        if self.constant:
            return self.peak
        warm = min(1.0, (step + 1) / min(WARM_UP_STEPS, max(1, self.steps // 5)))
        decay = min(1.0, (self.steps - step) / max(1.0, DECAY_SHARE * self.steps))
        return self.peak * warm * decay

    def passes(self, told: int, now: int, times: int) -> bool:
        """Whether one of `times` equal parts of the task ends after `told` steps, `now` at the latest."""
        return told * times // self.steps < now * times // self.steps

    def ramp(self, step: int) -> float:
        """How far SDP's pull has grown at a step, in (0, 1]."""
        return min(1.0, (step + 1) / max(1.0, self.ramp_share * self.cut_step))

    @cached_property
    def pull_total(self) -> float:
        """Sum of lr x ramp up to the cut: what makes SDP's strength dimensionless."""
        return sum(self.lr(step) * self.ramp(step) for step in range(self.cut_step))
