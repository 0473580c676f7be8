"""PackNet: every task owns weights of its own, chosen by magnitude, retrained, and frozen from then on."""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from typing_extensions import override

from esacl.config import RunConfig
from esacl.form import Dense
from esacl.mask import Mask
from esacl.pruning import keep_top
from esacl.ranking import Ranking
from esacl.schedule import Schedule


class PackNet(Dense):
    """A task trains all free weights, keeps the largest of them, and trains those again (Mallya & Lazebnik 2018).

    After the last task the network is as sparse as asked for, and each task owns an equal part of what is left. The
    paper prunes each layer by the same share; here `pruning.allocation` decides, whose default ranks all together.
    The retraining takes the last `packnet.retrain` of the task's own steps, so that every method has the same budget.
    A task is judged on the weights that it and the tasks before it own, which takes knowing the task.
    """

    def __init__(self, ranking: Ranking, config: RunConfig) -> None:
        super().__init__(ranking, config)
        self.weights, self.config = ranking.weights, config
        self.owner = {name: torch.zeros_like(w, dtype=torch.uint8) for name, w in self.weights.items()}  # 0: free
        self.task, self.turn = 0, 1
        self._refresh(cut=False)

    @override
    def begin(self, task: int, schedule: Schedule) -> None:
        super().begin(task, schedule)
        self.task = task
        # A step at least comes after the cut, however few there are: without a cut a task would own nothing.
        self.turn = min(max(1, round((1 - self.config.packnet.retrain) * schedule.steps)), schedule.steps - 1)
        self._refresh(cut=False)

    @override
    @torch.no_grad()
    def enter(self, step: int) -> dict[str, float] | None:
        if step >= self.turn and not self._is_cut:
            for name, kept in self._chosen().items():
                self.owner[name][kept & (self.owner[name] == 0)] = self.task + 1
            self._refresh(cut=True)
            self.mask.apply_to(self.weights)
        return self.mask.layer_densities() if self._is_cut else None

    @override
    @torch.no_grad()
    def leave(self, step: int) -> None:
        for name, w in self.weights.items():
            if w.grad is not None:
                w.grad.mul_(self._trained[name])
        super().leave(step)

    @override
    @torch.no_grad()
    def after(self, step: int) -> None:
        if self._is_cut:  # momentum would go on
            self.mask.apply_to(self.weights)

    @override
    def updated(self) -> dict[str, float]:
        return self._trained.layer_densities()

    @override
    def survivors(self) -> Mask | None:
        return self._owned() if self._is_cut else self._chosen()

    @override
    @contextlib.contextmanager
    def known(self, task: int) -> Iterator[None]:
        before = {name: w.detach().clone() for name, w in self.weights.items()}
        with torch.no_grad():
            for name, w in self.weights.items():
                w.mul_((self.owner[name] > 0) & (self.owner[name] <= task + 1))
        try:
            yield
        finally:
            with torch.no_grad():
                for name, w in self.weights.items():
                    w.copy_(before[name])

    @override
    def kept_bytes(self) -> int:
        bits = self.config.tasks.bit_length()  # of the owner's number
        return -(-bits * sum(w.numel() for w in self.weights.values()) // 8)

    @override
    def between(self) -> dict[str, Tensor]:
        return {f"owner/{name}": owner for name, owner in self.owner.items()}

    @override
    def load_between(self, tensors: Mapping[str, Tensor]) -> None:
        self.owner = {name: tensors[f"owner/{name}"].to(torch.uint8) for name in self.weights}

    @override
    def load(self, tensors: Mapping[str, Tensor], flips: int, total_flips: int) -> None:
        super().load(tensors, flips, total_flips)
        self._refresh(cut=any(bool((owner == self.task + 1).any()) for owner in self.owner.values()))

    def _sparsity(self) -> float:
        """Of what is owned once this task has its part."""
        return 1 - (1 - self.config.sparsity) * (self.task + 1) / self.config.tasks

    @torch.no_grad()
    def _chosen(self) -> Mask:
        """What is owned already, and the largest of what is free."""
        largest = {name: w.abs() for name, w in self.weights.items()}
        above = max(float(size.max()) for size in largest.values()) + 1
        ranked = {name: torch.where(self.owner[name] > 0, above, size) for name, size in largest.items()}
        return keep_top(ranked, self._sparsity(), self.config.pruning.allocation)

    def _owned(self) -> Mask:
        return Mask({name: owner > 0 for name, owner in self.owner.items()})

    def _refresh(self, *, cut: bool) -> None:
        """What takes part in a pass, and what of it is trained."""
        self._is_cut = cut
        mine = self.task + 1 if cut else 0
        self._trained = Mask({name: owner == mine for name, owner in self.owner.items()})
        if cut:
            self.mask = self._owned()
        else:
            self.mask = Mask({name: torch.ones_like(owner, dtype=torch.bool) for name, owner in self.owner.items()})
