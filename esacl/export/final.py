"""The network that a run ended with, rebuilt from its last checkpoint."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from esacl import networks, sources
from esacl.config import RunConfig
from esacl.criterion import Criterion, criterion
from esacl.errors import InputError
from esacl.events import CheckpointReady
from esacl.export.tensors import tensors_of
from esacl.networks import Network
from esacl.pipeline import learner_of
from esacl.tasks import Examples, TaskStream, task_stream
from esacl.training import Learner

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


def final_network(
    config: RunConfig,
    state: CheckpointReady,
    accuracies: Sequence[float],
    *,
    run_id: str,
    data: Path | None = None,
    task: int | None = None,
) -> FinalNetwork:
    """The network of a run that has learned all of its tasks.

    Args:
        config: the run's.
        state: its checkpoint after the last task.
        accuracies: fraction right on each task at the end, as the run recorded it.
        run_id: what the file names as its origin.
        data: where the data sets lie.
        task: for a run that keeps another network for each task (PackNet; BatchNorm's statistics per task): which.

    Raises:
        InputError: a task that the run has not, several networks and none chosen, a data set missing.
    """
    if task is not None and not 0 <= task < config.tasks:
        raise InputError(f"task {task} is not in the run; choose 0 to {config.tasks - 1}")
    stream = task_stream(config, data)
    learner = learner_of(config, stream, networks.build(config, stream), torch.device("cpu"))
    learner.load(state)
    if task is None and not _one_for_all(learner, config.tasks):
        raise InputError(
            f"run {run_id} keeps another network for each task ({_why(learner)}); choose one by --task K, from 0"
        )
    chosen = tuple(range(config.tasks)) if task is None else (task,)
    with _known(learner, chosen[-1]):
        network = _copy(learner.network, networks.build(config, stream))
    right = tuple(accuracies[k] for k in chosen)
    about = _about(config, run_id, stream, chosen, right)
    return FinalNetwork(network, chosen, right, networks.prunable_in(config, network), about, stream)


@contextlib.contextmanager
def _known(learner: Learner, task: int) -> Iterator[None]:
    with learner.form.known(task), learner.statistics.of(task):
        yield


def _one_for_all(learner: Learner, tasks: int) -> bool:
    """Whether every task is answered by the same numbers."""
    first: dict[str, Tensor] | None = None
    for task in range(tasks):
        with _known(learner, task):
            now = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
        first = first or now
        if any(not torch.equal(now[name], first[name]) for name in now):
            return False
    return True


def _why(learner: Learner) -> str:
    per_task = learner.config.batchnorm.statistics == "task"
    return "BatchNorm's statistics per task" if per_task else f"{learner.config.method} masks the weights of later ones"


def _copy(network: torch.nn.Module, into: Network) -> Network:
    into.load_state_dict(network.state_dict())
    return into.eval()


def _about(
    config: RunConfig, run_id: str, stream: TaskStream, tasks: tuple[int, ...], accuracies: tuple[float, ...]
) -> dict[str, Any]:
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
