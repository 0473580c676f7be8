"""SDP, sharpness-informed directional pruning: training that makes one cut harmless.

Cutting moves the weights by d = -(1 - m) theta, and the loss by g'd + d'Hd / 2 + O(|d|^3). `admm` and `segment` make d
short while the task is still being learned, `any` trains at the far end of d, so that nothing has to be repaired;
`progressive` cuts little by little. The cut
comes where `sdp.cut` says: at the end of a task, or before, so that the rest of the one training budget is spent on
survivors only, in steps that cost what is left (`form.Settled`).
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from typing_extensions import override

from esacl import seeds
from esacl.any_sparsity import AnySparsity
from esacl.config import RunConfig
from esacl.directional import Directional
from esacl.form import Form
from esacl.ranking import Ranking
from esacl.schedule import Schedule


class ADMM(Directional):
    """Scaled ADMM (Boyd et al. 2011, section 3.1.1) for "theta has at most k non-zeros", pull outside momentum.

    z = Top(theta + u), u += theta - z every K steps; each step moves theta towards z - u. The true cut finds little
    left to remove.
    """

    @override
    def begin(self, task: int, schedule: Schedule) -> None:
        super().begin(task, schedule)
        self.dual = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        self.target = {name: w.detach().clone() for name, w in self.weights.items()}
        self.towards = self._towards()

    @override
    @torch.no_grad()
    def after(self, step: int) -> None:
        if self._due(step):
            for name, w in self.weights.items():
                self.dual[name].add_(w - self.target[name] if step else 0)
            lifted = {name: w + self.dual[name] for name, w in self.weights.items()}
            self._renew(self.ranking.mask(self.config.sparsity, lifted))
            self.target = {name: lifted[name] * self.mask[name] for name in lifted}
            self.towards = self._towards()
        pull = self._pull_of(step, self.config.sdp.strength)
        for name, w in self.weights.items():
            w.lerp_(self.towards[name], pull)

    def _towards(self) -> dict[str, Tensor]:
        """The point z - u, which changes every K steps only."""
        return {name: target - self.dual[name] for name, target in self.target.items()}

    @override
    def tensors(self) -> dict[str, Tensor]:
        own = {f"dual/{n}": t for n, t in self.dual.items()} | {f"target/{n}": t for n, t in self.target.items()}
        return super().tensors() | own

    @override
    def load(self, tensors: Mapping[str, Tensor], flips: int, total_flips: int) -> None:
        super().load(tensors, flips, total_flips)
        for name in self.weights:
            self.dual[name], self.target[name] = tensors[f"dual/{name}"], tensors[f"target/{name}"]
        self.towards = self._towards()


class Segment(Directional):
    """The directional form: gradients from both ends of the segment theta -> theta + d, doomed weights shrink.

    Half of the steps (drawn at random) look at c theta with c = m + (1 - r)(1 - m), so that the loss stays low along
    the whole way of the cut; once the ramp r is 1 these are sparse steps. Such a pass normalises by its batch but does
    not move BatchNorm's running statistics: they are those of theta, which is what is evaluated and looked at, and a
    mean over both ends of the segment would be the statistics of neither.
    """

    @override
    def begin(self, task: int, schedule: Schedule) -> None:
        super().begin(task, schedule)
        coins = torch.rand(schedule.steps, generator=seeds.torch_generator(self.config.seed, "segment", task))
        self.at_pruned_point = (coins < 0.5).tolist()
        self.moved: dict[str, tuple[Tensor, Tensor]] = {}
        self.at_end: dict[str, float] | None = None  # densities in a step at theta + d, where no doomed weight counts

    @override
    @torch.no_grad()
    def enter(self, step: int) -> dict[str, float] | None:
        if self._due(step):
            self._renew(self.ranking.mask(self.config.sparsity))
        self.at_end = None
        if not self.at_pruned_point[step]:
            return None
        ramp = self.schedule.ramp(step)
        for name, w in self.weights.items():
            c = torch.where(self.mask[name], 1.0, 1.0 - ramp)
            self.moved[name] = (w.detach().clone(), c)
            w.mul_(c)
        self.at_end = self.mask.layer_densities() if ramp == 1 else None
        return self.at_end

    @override
    @torch.no_grad()
    def leave(self, step: int) -> None:
        for name, (before, c) in self.moved.items():
            w = self.weights[name]
            w.copy_(before)
            if w.grad is not None:
                w.grad.mul_(c)
        self.moved = {}
        super().leave(step)

    @override
    def updated(self) -> dict[str, float] | None:
        return self.at_end

    @property
    @override
    def elsewhere(self) -> bool:
        return bool(self.moved)

    @override
    @torch.no_grad()
    def after(self, step: int) -> None:
        pull = self._pull_of(step, SEGMENT_TO_ADMM * self.config.sdp.strength)
        for name, w in self.weights.items():
            w.mul_(torch.where(self.mask[name], 1.0, 1.0 - pull))


class Progressive(Directional):
    """The cheap form: gradual pruning (Zhu & Gupta 2017, eq. 1) with SDP's saliency inside the one training budget.

    The network is sparse from early on and fixed for the rest of the task, with gradients on survivors only. The drop
    of its final cut is 0 by construction.
    """

    @override
    @torch.no_grad()
    def enter(self, step: int) -> dict[str, float] | None:
        if self._due(step) and step and not self._settled(step):
            ramp = self.schedule.ramp(step)
            level = self.config.sparsity * (1 - (1 - ramp) ** 3)
            alive = self.ranking.scores()
            # A weight that is out stays out: its saliency is below every other's.
            alive = {name: torch.where(self.mask[name], s, -1.0) for name, s in alive.items()}
            self._renew(self.ranking.mask_of(alive, level))
        self.mask.apply_to(self.weights)
        return self.mask.layer_densities() if self.mask.kept < self.mask.total else None

    @override
    def stays(self, step: int) -> bool:
        return self.survivors_only and not (self._due(step) and not self._settled(step))

    def _settled(self, step: int) -> bool:
        """Whether the update before this one reached the target; no state, so that a resumed task agrees."""
        before = step - self.config.sdp.every
        return before > 0 and self.schedule.ramp(before) == 1

    @override
    @torch.no_grad()
    def leave(self, step: int) -> None:
        self.mask.apply_to_gradients(self.weights)
        super().leave(step)

    @override
    @torch.no_grad()
    def after(self, step: int) -> None:
        self.mask.apply_to(self.weights)

    @property
    @override
    def survivors_only(self) -> bool:
        return self.mask.kept < self.mask.total


SEGMENT_TO_ADMM = 2.0
"""`segment` wants twice ADMM's pull for the same strength (measured on validation data; see RESULTS)."""

FORMS: dict[str, Callable[[Ranking, RunConfig], Form]] = {
    "admm": ADMM,
    "segment": Segment,
    "progressive": Progressive,
    "any": AnySparsity,
}
