"""Forms: what a method does with the weights while a task is learned; plain training is the form that does nothing.

A form is asked at three points of a step: `enter` before the forward pass, `leave` after the backward pass, `after`
once the optimiser has moved; the anchors' pull comes last.
"""

import contextlib
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import override

from esacl.config import RunConfig
from esacl.mask import Mask
from esacl.ranking import Ranking, keep_everything
from esacl.schedule import Schedule


class Form(Protocol):
    """What a training step asks of a form of SDP."""

    mask: Mask
    flips: int
    total_flips: int

    def begin(self, task: int, schedule: Schedule) -> None:
        """A task begins at today's weights."""

    def enter(self, step: int) -> dict[str, float] | None:
        """Before the forward pass; density of each layer where the pass is sparse, None where it is dense."""

    def leave(self, step: int) -> None:
        """After the backward pass, before the optimiser."""

    def after(self, step: int) -> None:
        """After the optimiser, before the anchors."""

    @property
    def survivors_only(self) -> bool:
        """Whether today's gradients are needed on survivors only."""

    def stays(self, step: int) -> bool:
        """Whether this step leaves the mask as it is, and finds and leaves the network at it."""

    def updated(self) -> dict[str, float] | None:
        """Share of each layer's weights whose gradient is needed, where the form decides it; else None."""

    def survivors(self) -> Mask | None:
        """What would be left after a cut now; None where nothing is to be cut."""

    def saliency(self) -> dict[str, Tensor]:
        """What a cut to any sparsity would rank the weights by now; larger = kept."""

    def known(self, task: int) -> contextlib.AbstractContextManager[None]:
        """While a task is judged that is known to be this one."""

    def kept_bytes(self) -> int | None:
        """What the form keeps between tasks to tell which weight is whose; None for one bit a prunable weight."""

    def between(self) -> dict[str, Tensor]:
        """State that outlives a task."""

    def load_between(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `between()`."""

    @property
    def elsewhere(self) -> bool:
        """Whether this step's forward pass is at another point than today's weights."""

    def tensors(self) -> dict[str, Tensor]:
        """State of an unfinished task."""

    def load(self, tensors: Mapping[str, Tensor], flips: int, total_flips: int) -> None:
        """Go on from `tensors()`."""


class Dense:
    """No SDP: plain training; the cut, if any, comes unprepared."""

    def __init__(self, ranking: Ranking, config: RunConfig) -> None:
        self.ranking, self.flips, self.total_flips = ranking, 0, 0
        self.mask = keep_everything(ranking.weights)

    def begin(self, task: int, schedule: Schedule) -> None:
        """Nothing to prepare."""
        self.ranking.restart(task)

    def enter(self, step: int) -> dict[str, float] | None:
        """A dense pass."""
        return None

    def leave(self, step: int) -> None:
        """Keep the moments for a saliency that wants them."""
        self.ranking.observe()

    def after(self, step: int) -> None:
        """Nothing to pull."""

    @property
    def survivors_only(self) -> bool:
        """Every weight is trained."""
        return False

    def stays(self, step: int) -> bool:
        """Not that it is known of."""
        return False

    def updated(self) -> dict[str, float] | None:
        """As `survivors_only` says."""
        return None

    def survivors(self) -> Mask | None:
        """The most salient of today's weights."""
        sparsity = self.ranking.config.sparsity
        return self.ranking.mask(sparsity) if sparsity > 0 else None

    def saliency(self) -> dict[str, Tensor]:
        """That of today's weights."""
        return self.ranking.scores()

    def known(self, task: int) -> contextlib.AbstractContextManager[None]:
        """One network for all tasks."""
        return contextlib.nullcontext()

    def kept_bytes(self) -> int | None:
        """One mask for all tasks."""
        return None

    def between(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_between(self, tensors: Mapping[str, Tensor]) -> None:
        """Nothing."""

    @property
    def elsewhere(self) -> bool:
        """Every pass is at today's weights."""
        return False

    def tensors(self) -> dict[str, Tensor]:
        """The moments."""
        return {f"moment/{name}": m for name, m in self.ranking.moments.items()}

    def load(self, tensors: Mapping[str, Tensor], flips: int, total_flips: int) -> None:
        """Go on from `tensors()`."""
        for name, moment in self.ranking.moments.items():
            moment.copy_(tensors[f"moment/{name}"])
        self.flips, self.total_flips = flips, total_flips


class AtMask(Dense):
    """A network that stands at its mask after every step, and whose survivors alone are trained."""

    @override
    @torch.no_grad()
    def after(self, step: int) -> None:
        self.mask.apply_to(self.ranking.weights)

    @property
    @override
    def survivors_only(self) -> bool:
        return True


class Settled(AtMask):
    """After the cut: the mask stays, passes are sparse, and only survivors are trained."""

    def __init__(self, ranking: Ranking, config: RunConfig, mask: Mask) -> None:
        super().__init__(ranking, config)
        self.mask, self.densities = mask, mask.layer_densities()

    @override
    def stays(self, step: int) -> bool:
        return True

    @override
    def enter(self, step: int) -> dict[str, float] | None:
        return self.densities

    @override
    @torch.no_grad()
    def leave(self, step: int) -> None:
        self.mask.apply_to_gradients(self.ranking.weights)

    @override
    def survivors(self) -> Mask | None:
        return self.mask

    @override
    def tensors(self) -> dict[str, Tensor]:
        return {}  # the mask is that of the cut, and no saliency is asked for any more

    @override
    def load(self, tensors: Mapping[str, Tensor], flips: int, total_flips: int) -> None:
        """Nothing."""
