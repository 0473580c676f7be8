"""RigL: a sparse network whose connections move to where the dense gradient is largest, while it is learned."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import override

from esacl import seeds
from esacl.config import RunConfig
from esacl.form import AtMask
from esacl.mask import Mask
from esacl.pruning import keep_top
from esacl.ranking import Ranking
from esacl.schedule import Schedule


class RigL(AtMask):
    """The rigged lottery (Evci et al. 2020, algorithm 1): sparse from the first step, by chance; then connections move.

    Every `rigl.every` steps, until `rigl.until` of a task, each layer drops the smallest of its weights and grows as
    many at zero, where the gradient is largest in size among those that are off. Their share falls as half a cosine
    from `rigl.moved` to 0. Only at such a step is the gradient needed of every weight, and billed so.

    Differences from the paper, which learns one task: a new task goes on from the connections of the last one, a step
    that moves connections also trains those that stay, and a connection that comes back finds what is left of its
    momentum. Which are dropped is decided by magnitude alone, so what an anchor holds may go.
    """

    def __init__(self, ranking: Ranking, config: RunConfig) -> None:
        super().__init__(ranking, config)
        self.weights, self.config = ranking.weights, config
        self.task, self.steps, self.moving = 0, 1, False

    @override
    @torch.no_grad()
    def begin(self, task: int, schedule: Schedule) -> None:
        super().begin(task, schedule)
        if task == 0:
            self.mask = self._chance()
            self.mask.apply_to(self.weights)
        self.task, self.steps, self.flips, self.total_flips = task, schedule.steps, 0, 0

    @override
    @torch.no_grad()
    def enter(self, step: int) -> dict[str, float] | None:
        self.moving = step > 0 and step % self.config.rigl.every == 0 and step < self.config.rigl.until * self.steps
        self.mask.apply_to(self.weights)
        return self.mask.layer_densities()

    @override
    @torch.no_grad()
    def leave(self, step: int) -> None:
        if self.moving:
            share = self.config.rigl.moved / 2 * (1 + math.cos(math.pi * step / (self.config.rigl.until * self.steps)))
            before = self.mask
            self.mask = Mask({name: self._moved(name, share) for name in self.weights})
            self.flips = self.mask.flips(before)
            self.total_flips += self.flips
            self.mask.apply_to(self.weights)
        self.mask.apply_to_gradients(self.weights)

    @override
    def updated(self) -> dict[str, float] | None:
        """While connections move, the gradient is needed of every weight, though only survivors are trained."""
        return dict.fromkeys(self.weights, 1.0) if self.moving else None

    @override
    def survivors(self) -> Mask | None:
        return self.mask

    @override
    def between(self) -> dict[str, Tensor]:
        return {f"mask/{name}": entry for name, entry in self.mask.items()}

    @override
    def load_between(self, tensors: Mapping[str, Tensor]) -> None:
        if tensors:
            self.mask = Mask({name: tensors[f"mask/{name}"] for name in self.weights})

    @override
    def tensors(self) -> dict[str, Tensor]:
        return self.between()

    @override
    def load(self, tensors: Mapping[str, Tensor], flips: int, total_flips: int) -> None:
        self.load_between(tensors)
        self.flips, self.total_flips = flips, total_flips

    def _moved(self, name: str, share: float) -> Tensor:
        """A layer's mask after a share of its connections moved; what is dropped may be grown again."""
        on, weight, gradient = self.mask[name].flatten(), self.weights[name].flatten(), self.weights[name].grad
        if gradient is None:
            return self.mask[name]
        kept = int(on.sum())
        moved = min(int(share * kept), len(on) - kept)
        stay = torch.zeros_like(on)
        stay[torch.where(on, weight.abs(), -1.0).topk(kept - moved).indices] = True
        stay[torch.where(stay, -1.0, gradient.flatten().abs()).topk(moved).indices] = True
        return stay.view_as(self.mask[name])

    def _chance(self) -> Mask:
        generator = seeds.torch_generator(self.config.seed, "first connections")
        ranked = {name: torch.rand(w.shape, generator=generator).to(w.device) for name, w in self.weights.items()}
        return keep_top(ranked, self.config.sparsity, self.config.pruning.allocation)
