"""A network to be exported, with what is known of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from esacl import sources
from esacl.config import RunConfig
from esacl.criterion import Criterion, criterion
from esacl.export.tensors import tensors_of
from esacl.networks import Network
from esacl.tasks import Examples, TaskStream

PIECE = 256  # examples at a time


@dataclass(frozen=True, eq=False)
class FinalNetwork:
    """A network and what is known of it.

    Attributes:
        network: on the CPU, in evaluation mode; inputs (n, c, h, w) normalised as `about` says -> logits (n, outputs).
        tasks: the tasks that it answers; all of a run, or the one that was asked for.
        accuracies: fraction right on the evaluation data of each of `tasks` as the run recorded it at its end.
        prunable: the parameters that the sparsity of a run is about.
        about: facts for whoever reads the file: JSON.
        stream: the data.
    """

    network: Network
    tasks: tuple[int, ...]
    accuracies: tuple[float, ...]
    prunable: tuple[str, ...]
    about: dict[str, Any]
    stream: TaskStream

    def tensors(self) -> dict[str, np.ndarray]:
        """Its numbers by name."""
        return tensors_of(self.network)

    @property
    def sparsity(self) -> float:
        """Share of the prunable weights that are 0."""
        parameters = dict(self.network.named_parameters())
        zeros = sum(int((parameters[name] == 0).sum()) for name in self.prunable)
        return zeros / sum(parameters[name].numel() for name in self.prunable)

    def judged(self) -> Iterator[tuple[int, Examples, Criterion]]:
        """Each task with its evaluation data, and what counts as right."""
        columns = [task.classes for task in self.stream]
        right = criterion(self.stream.scenario, columns, self.stream.outputs, torch.device("cpu"))
        return ((task, self.stream[task].evaluation, right) for task in self.tasks)

    @torch.no_grad()
    def outputs(self, inputs: Tensor) -> Tensor:
        """Logits (n, outputs) of inputs (n, c, h, w)."""
        return torch.cat([self.network(part) for part in inputs.split(PIECE)])


def about_of(
    config: RunConfig, run_id: str, stream: TaskStream, tasks: tuple[int, ...], accuracies: tuple[float, ...]
) -> dict[str, Any]:
    """What a file says of the network in it: JSON.

    Args:
        config: of the run.
        run_id: which run it is of.
        stream: its tasks.
        tasks: those that the network answers.
        accuracies: the fraction right on each of them, as the run recorded it.
    """
    told = [
        {
            "task": one.index,
            "columns": list(one.classes),
            "classes": list(one.class_names),
            "accuracy": accuracy,
            **({} if one.order is None else {"pixel_order": one.order.tolist()}),
        }
        for one, accuracy in zip((stream[k] for k in tasks), accuracies, strict=True)
    ]
    return {
        "made_by": sources.told(),
        "run": run_id,
        "digest": config.digest,
        "benchmark": config.benchmark,
        "scenario": config.scenario,
        "method": config.method,
        "seed": config.seed,
        "evaluation": config.evaluation,
        "network": config.network,
        "activation": config.activation,
        "input_shape": list(stream.input_shape),
        "mean": list(stream.mean),
        "std": list(stream.std),
        "outputs": stream.outputs,
        "tasks": told,
    }
