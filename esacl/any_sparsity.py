"""One network for every sparsity: nested sub-networks that share their weights."""

from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import override

from esacl import seeds
from esacl.defaults import SPARSEST
from esacl.directional import Directional
from esacl.mask import Mask, kept_of
from esacl.schedule import Schedule


class AnySparsity(Directional):
    """One network for every sparsity from the run's own to the sparsest: nested sub-networks that share their weights.

    One order of the weights, renewed as the other forms renew their mask until the ramp is up. Half of the steps,
    drawn at random, are those of the sparsest sub-network so far; the others are dense by a chance of one in four,
    and else at a density whose logarithm is uniform. A step computes at its sub-network and has gradients nowhere
    else (momentum and anchors go on moving what they moved), so that the cut to any level finds a network that was
    trained there. Steps that leave a weight out count as gradients of 0 in its saliency. After Yu et al. 2019
    (slimmable networks), with weights in place of channels.
    """

    @override
    def begin(self, task: int, schedule: Schedule) -> None:
        super().begin(task, schedule)
        draws = torch.rand(3, schedule.steps, generator=seeds.torch_generator(self.config.seed, "any sparsity", task))
        self.draws = draws.tolist()
        # 0: kept longest
        self.rank = {name: torch.zeros_like(w, dtype=torch.int32) for name, w in self.weights.items()}
        self.before: dict[str, Tensor] = {}
        self.here: Mask | None = None  # the sub-network of this step; None: all

    @override
    @torch.no_grad()
    def enter(self, step: int) -> dict[str, float] | None:
        if self._due(step) and (self.schedule.ramp(step) < 1 or not self._ordered):
            self._order()
        density, self.here = self._density(step), None
        if density == 1:
            return None
        self.here = self._sub_network(density)
        self.before = {name: w.detach().clone() for name, w in self.weights.items()}
        self.here.apply_to(self.weights)
        return self.here.layer_densities()

    @override
    @torch.no_grad()
    def leave(self, step: int) -> None:
        for name, before in self.before.items():
            self.weights[name].copy_(before)
        if self.here is not None:
            self.here.apply_to_gradients(self.weights)
        self.before = {}
        super().leave(step)

    @override
    def updated(self) -> dict[str, float] | None:
        return self.here.layer_densities() if self.here is not None else None

    @property
    @override
    def elsewhere(self) -> bool:
        return bool(self.before)

    @override
    def saliency(self) -> dict[str, Tensor]:
        return {name: -rank.float() for name, rank in self.rank.items()}

    @override
    def survivors(self) -> Mask | None:
        return self._sub_network(1 - self.config.sparsity)

    @override
    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {f"rank/{name}": rank for name, rank in self.rank.items()}

    @override
    def load(self, tensors: Mapping[str, Tensor], flips: int, total_flips: int) -> None:
        super().load(tensors, flips, total_flips)
        self.rank = {name: tensors[f"rank/{name}"] for name in self.weights}

    @property
    def _ordered(self) -> bool:
        return any(bool(rank.any()) for rank in self.rank.values())

    def _order(self) -> None:
        """Rank the weights by today's saliency, and take the mask from it."""
        scores = self.ranking.scores()
        flat = torch.cat([s.flatten() for s in scores.values()])
        ranks = torch.empty(len(flat), dtype=torch.int32, device=flat.device)
        ranks[flat.argsort(descending=True, stable=True)] = torch.arange(len(flat), dtype=torch.int32).to(flat.device)
        parts = ranks.split([s.numel() for s in scores.values()])
        self.rank = {name: part.view_as(s) for (name, s), part in zip(scores.items(), parts, strict=True)}
        self._renew(self._sub_network(1 - self.config.sparsity))

    def _sub_network(self, density: float) -> Mask:
        kept = kept_of(sum(rank.numel() for rank in self.rank.values()), density)
        return Mask({name: rank < kept for name, rank in self.rank.items()})

    def _density(self, step: int) -> float:
        sparsest = (1 - SPARSEST) ** self.schedule.ramp(step)
        at_sparsest, dense, between = (row[step] for row in self.draws)
        if at_sparsest < 0.5:
            return float(sparsest)
        return 1.0 if dense < 0.25 else float(sparsest**between)
