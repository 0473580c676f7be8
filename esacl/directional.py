"""What the forms of SDP share: a mask that is renewed every few steps, its flips counted."""

import math
from collections.abc import Mapping

from torch import Tensor
from typing_extensions import override

from esacl.config import RunConfig
from esacl.form import Dense
from esacl.mask import Mask
from esacl.ranking import Ranking, keep_everything
from esacl.schedule import Schedule


class Directional(Dense):
    """What the forms share: a mask that is renewed every few steps, its flips counted."""

    def __init__(self, ranking: Ranking, config: RunConfig) -> None:
        super().__init__(ranking, config)
        self.weights, self.config = ranking.weights, config
        self.schedule = Schedule(1, config.lr, config.sdp.ramp)
        self.task = 0

    @override
    def begin(self, task: int, schedule: Schedule) -> None:
        super().begin(task, schedule)
        self.task, self.schedule = task, schedule
        self.mask, self.flips, self.total_flips = keep_everything(self.weights), 0, 0

    def _renew(self, mask: Mask) -> None:
        self.flips = mask.flips(self.mask)
        # The first mask of a task replaces "everything": what it removes is no flip.
        self.total_flips += self.flips if self.mask.kept < self.mask.total else 0
        self.mask = mask

    def _pull_of(self, step: int, strength: float) -> float:
        """Share of the way to the target in this step; at the cut exp(-strength) of the way is left."""
        part = self.schedule.lr(step) * self.schedule.ramp(step) / self.schedule.pull_total
        return -math.expm1(-strength * part)

    def _due(self, step: int) -> bool:
        return step % self.config.sdp.every == 0

    @override
    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {f"mask/{name}": entry for name, entry in self.mask.items()}

    @override
    def load(self, tensors: Mapping[str, Tensor], flips: int, total_flips: int) -> None:
        super().load(tensors, flips, total_flips)
        self.mask = Mask({name: tensors[f"mask/{name}"] for name in self.weights})
