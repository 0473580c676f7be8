"""A tiny run with everything measured, and what one task's numbers can be computed from by hand."""

import numpy as np
import torch
import torch.nn.functional as F
from tiny_runs import array, events_of, of_kind, tiny

from esacl import networks
from esacl.criterion import criterion
from esacl.tasks import task_stream

# The pool holds all 48 training examples of a task, so that the tests need not know how a smaller one is drawn.
LOOK = {"curvature.top": 2, "curvature.levels": 5, "curvature.grid": 5, "curvature.examples": 64, "sparsity": 0.8}


class Run:
    """A run with everything measured, and what its first task's numbers can be computed from by hand."""

    def __init__(self, settings: dict, task: int = 0) -> None:
        self.config, self.task = tiny(LOOK | settings), task
        self.events = events_of(self.config)
        self.recorded = array(self.events, f"weights-t{task}")
        self.stream = task_stream(self.config)
        self.network = networks.build(self.config, self.stream)
        self.at(self.weights("dense"))
        self.train = self.stream[task].train
        seen = [t.classes for t in self.stream[: task + 1]]
        self.loss = criterion(self.config.scenario, seen, self.stream.outputs, torch.device("cpu"))

    def weights(self, group: str) -> dict[str, torch.Tensor]:
        return {n.removeprefix(f"{group}/"): torch.tensor(w) for n, w in self.recorded.items() if n.startswith(group)}

    def at(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, p in self.network.named_parameters():
                p.copy_(weights[name])

    @property
    def cut(self) -> dict[str, torch.Tensor]:
        mask = self.weights("mask")
        return {name: w * mask[name] if name in mask else w for name, w in self.weights("dense").items()}

    @torch.no_grad()
    def loss_at(self, weights: dict[str, torch.Tensor]) -> float:
        """Cross-entropy over the task's own columns (task-IL) of the whole pool, in float64."""
        self.at(weights)
        columns = list(self.stream[self.task].classes)
        outputs = self.network(self.train.inputs)[:, columns].double()
        return float(F.cross_entropy(outputs, self.train.targets - columns[0]))

    def array(self, kind: str) -> dict[str, np.ndarray]:
        return array(self.events, f"{kind}-t{self.task}")

    def event(self, kind: type):
        return next(e for e in of_kind(self.events, kind) if e.task == self.task)
