"""Which weights would survive a cut now: the saliency of today's weights, kept up step by step."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from esacl import seeds
from esacl.config import RunConfig
from esacl.errors import RunFailure
from esacl.mask import Mask
from esacl.pruning import keep_top, saliency
from esacl.units import Units

MOMENT_DECAY = 0.99


class Ranking:
    """Which weights would survive now: h + Omega and the mask that follows from it.

    h is a moving average of the squared gradient, unbiased and normalised to mean 1 over the prunable weights; it is
    free, since the optimiser has the gradient anyway. `uses` says how often a forward pass multiplies by a weight of
    each layer, for `pruning.flops_exponent`; without it a weight of a convolution counts as one of a linear layer.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        importance: Mapping[str, Tensor],
        config: RunConfig,
        units: Sequence[Units] | None = None,
        uses: Mapping[str, float] | None = None,
    ) -> None:
        self.weights, self.importance, self.config, self.units = weights, importance, config, units
        self.thrift = thrift(config, uses or {})
        self.moments = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.task = 0

    def restart(self, task: int) -> None:
        """Forget the moments: another task has another loss."""
        self.task = task
        for moment in self.moments.values():
            moment.zero_()

    @torch.no_grad()
    def observe(self) -> None:
        """Take in today's gradients."""
        for name, moment in self.moments.items():
            gradient = self.weights[name].grad
            if gradient is not None:
                moment.mul_(MOMENT_DECAY).addcmul_(gradient, gradient, value=1 - MOMENT_DECAY)

    @torch.no_grad()
    def curvature(self) -> dict[str, Tensor]:
        """The sum h + Omega of each weight. Normalising h to mean 1 also removes the average's start-up bias."""
        count = sum(m.numel() for m in self.moments.values())
        mean = sum(_numbers(m.sum() for m in self.moments.values())) / count
        h = {name: m / mean if mean > 0 else m for name, m in self.moments.items()}
        return {name: h[name] + self.importance[name] if name in self.importance else h[name] for name in h}

    @torch.no_grad()
    def scores(self, at: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Saliency of each weight at the point `at` (default: today's weights).

        Raises:
            RunFailure: weights or gradients are no longer finite.
        """
        kind = self.config.pruning.saliency
        found = saliency(
            kind,
            self.weights if at is None else at,
            curvature=self.curvature() if kind == "second-order" else None,
            # The root of the second moment stands for |g|: one mini-batch's gradient alone is mostly noise.
            gradient={name: m.sqrt() for name, m in self.moments.items()} if kind == "taylor" else None,
            generator=seeds.torch_generator(self.config.seed, "random saliency", self.task),
        )
        if not all(_numbers(torch.isfinite(s).all() for s in found.values())):
            raise RunFailure(
                f"the weights or their gradients are no longer finite in task {self.task}; "
                f"try a smaller lr than {self.config.lr}"
            )
        return {name: s * self.thrift.get(name, 1.0) for name, s in found.items()} if self.thrift else found

    def mask(self, sparsity: float, at: Mapping[str, Tensor] | None = None) -> Mask:
        """The survivors at a sparsity."""
        return self.mask_of(self.scores(at), sparsity)

    def mask_of(self, scores: Mapping[str, Tensor], sparsity: float) -> Mask:
        """The same by other scores."""
        return keep_top(scores, sparsity, self.config.pruning.allocation, self.units)


def thrift(config: RunConfig, uses: Mapping[str, float]) -> dict[str, float]:
    """What the saliency of each layer's weights is multiplied by (`pruning.flops_exponent`); empty where by nothing.

    Args:
        config: of the run.
        uses: how often a forward pass multiplies by a weight of each layer.
    """
    exponent, dearest = config.pruning.flops_exponent, max(uses.values(), default=1.0)
    return {name: (n / dearest) ** -exponent for name, n in uses.items()} if exponent else {}


def keep_everything(weights: Mapping[str, Tensor]) -> Mask:
    """The mask of a dense network."""
    return Mask({name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()})


@torch.no_grad()
def removed_share(weights: Mapping[str, Tensor], mask: Mask) -> float:
    """Share of |theta|^2 that a cut to `mask` removes."""
    total = sum(_numbers(w.square().sum() for w in weights.values()))
    kept = sum(_numbers((w * mask[name]).square().sum() for name, w in weights.items()))
    return 1 - kept / total if total else 0.0


def _numbers(scalars: Iterable[Tensor]) -> list[float]:
    """Scalars as numbers; a device is waited for once, not for each."""
    return cast(list[float], torch.stack(list(scalars)).tolist())
