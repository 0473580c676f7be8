"""The network that a run ended with, rebuilt from its last checkpoint."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from esacl import networks
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.events import CheckpointReady
from esacl.export.network import FinalNetwork, about_of
from esacl.networks import Network
from esacl.pipeline import learner_of
from esacl.tasks import task_stream
from esacl.training import Learner


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
    about = about_of(config, run_id, stream, chosen, right)
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
