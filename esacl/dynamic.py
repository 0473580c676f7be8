"""SparCL's masks of weights and of gradients, which move while a task is learned."""

from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import override

from esacl import seeds
from esacl.config import RunConfig
from esacl.form import AtMask
from esacl.mask import Mask
from esacl.pruning import keep_top
from esacl.ranking import Ranking, keep_everything
from esacl.schedule import Schedule

PERIODS = 10  # a task falls into so many; masks are renewed at their borders
SETTLED = 8  # after so many of them the mask of the weights stays
MOVED = 0.01  # of all weights, which a renewal removes and grows elsewhere; of few survivors at most half
EXPANSION = 0.01  # of all weights, added for the first period of a new task
GRADIENT_WEIGHT = 0.5  # alpha: of the gradient beside the weight's size


class TaskAwareDynamic(AtMask):
    """Task-aware dynamic masking and dynamic gradient masking (SparCL, Wang et al. 2022).

    The network is sparse from its first step. The importance of a weight is |theta| + alpha |dL/dtheta|. A new task
    widens the mask by chance; at each border of a period the least important go, a hundredth of all weights more than
    the sparsity asks for, and that hundredth grows again by chance. Only the survivors with the largest gradients are
    updated. Periods, shares and alpha are those of the authors' script (neu-spiral/SparCL, ResNet-18 at 75%).

    Differences from it: importance and gradients are ranked over all layers together unless `pruning.allocation` says
    otherwise, there layer by layer; the gradients of today's loss and of the replayed one are taken together, as the
    root of the moving average of their square, where theirs are those of one batch; the mask of the gradients is
    renewed with that of the weights, there every thirty steps; momentum, which theirs has not, carries a weight on for
    some steps after its gradient is masked.
    """

    def __init__(self, ranking: Ranking, config: RunConfig) -> None:
        super().__init__(ranking, config)
        self.weights, self.config = ranking.weights, config
        self.task, self.steps, self.period = 0, 1, 0
        self.updating = self.mask

    @override
    @torch.no_grad()
    def begin(self, task: int, schedule: Schedule) -> None:
        super().begin(task, schedule)
        self.task, self.steps, self.period, self.flips, self.total_flips = task, schedule.steps, 0, 0, 0
        if task == 0:
            self.mask = self._top(self._chance("first"), self.config.sparsity)
        else:  # what the last task left, and some more
            alive = Mask({name: w != 0 for name, w in self.weights.items()})
            wide = round((1 - self.config.sparsity + EXPANSION) * alive.total)
            self.mask = self._grown(alive, wide - alive.kept, "expand")
        self.updating = self.mask
        self.mask.apply_to(self.weights)

    @override
    @torch.no_grad()
    def enter(self, step: int) -> dict[str, float] | None:
        period = PERIODS * step // self.steps
        if period > self.period:
            self.period = period
            self._renew()
        self.mask.apply_to(self.weights)
        return self.mask.layer_densities()

    @override
    @torch.no_grad()
    def leave(self, step: int) -> None:
        self.mask.apply_to_gradients(self.weights)  # a sparse pass has no gradients but the survivors'
        super().leave(step)  # the moments are of all of them
        self.updating.apply_to_gradients(self.weights)

    @override
    def updated(self) -> dict[str, float]:
        """Every survivor's gradient is taken, into the moments that choose; those of `updating` alone are followed."""
        return self.mask.layer_densities()

    @override
    def survivors(self) -> Mask | None:
        """Of a task too short for a renewal the mask may still be the wide one."""
        target = self._top(self._importance(), self.config.sparsity)
        return target if self.mask.kept > target.kept else self.mask

    @override
    def tensors(self) -> dict[str, Tensor]:
        masks = {f"mask/{n}": e for n, e in self.mask.items()} | {f"updating/{n}": e for n, e in self.updating.items()}
        return super().tensors() | masks | {"period": torch.tensor(self.period)}

    @override
    def load(self, tensors: Mapping[str, Tensor], flips: int, total_flips: int) -> None:
        super().load(tensors, flips, total_flips)
        self.mask = Mask({name: tensors[f"mask/{name}"] for name in self.weights})
        self.updating = Mask({name: tensors[f"updating/{name}"] for name in self.weights})
        self.period = int(tensors["period"])

    def _renew(self) -> None:
        before = self.mask
        importance = self._importance()
        target = self._top(importance, self.config.sparsity)
        if self.period <= SETTLED:
            moved = min(MOVED, target.density / 2)
            fewer = self._top(importance, self.config.sparsity + moved)
            self.mask = self._grown(fewer, target.kept - fewer.kept, f"grow {self.period}")
        elif self.mask.kept > target.kept:
            self.mask = target
        self.mask.apply_to(self.ranking.moments)  # what is grown again begins without a past
        self.flips = self.mask.flips(before)
        self.total_flips += self.flips
        self.updating = self._by_gradient(grown=Mask({n: e & ~before[n] for n, e in self.mask.items()}))

    def _importance(self) -> dict[str, Tensor]:
        """Of survivors; below zero elsewhere."""
        moments = self.ranking.moments
        return {
            name: torch.where(self.mask[name], w.detach().abs() + GRADIENT_WEIGHT * moments[name].sqrt(), -1.0)
            for name, w in self.weights.items()
        }

    def _by_gradient(self, grown: Mask) -> Mask:
        """The survivors that are updated: those that have just `grown`, then those of the largest gradients.

        A survivor that has had no gradient all the while, as that of a pixel which is always black, comes last.
        """
        moments = self.ranking.moments
        most = max(float(m.max()) for m in moments.values())
        ranked = {n: torch.where(self.mask[n], m.masked_fill(grown[n], most), -1.0) for n, m in moments.items()}
        return self._top(ranked, 1 - self.config.sparcl.updated * self.mask.density)

    def _grown(self, mask: Mask, count: int, purpose: str) -> Mask:
        """With `count` more, by chance."""
        chance = self._chance(purpose)
        ranked = {name: torch.where(mask[name], 2.0, chance[name]) for name in chance}
        kept = min(mask.kept + count, mask.total)
        return keep_everything(self.weights) if kept == mask.total else self._top(ranked, 1 - kept / mask.total)

    def _top(self, ranked: Mapping[str, Tensor], sparsity: float) -> Mask:
        return keep_top(ranked, max(0.0, sparsity), self.config.pruning.allocation)

    def _chance(self, purpose: str) -> dict[str, Tensor]:
        generator = seeds.torch_generator(self.config.seed, "dynamic mask", purpose, self.task)
        return {name: torch.rand(w.shape, generator=generator).to(w.device) for name, w in self.weights.items()}
