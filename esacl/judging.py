"""How a network does on the tasks: accuracy and loss on their evaluation examples."""

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch

from esacl.criterion import Criterion, criterion
from esacl.errors import RunFailure, is_out_of_memory
from esacl.events import Evaluated
from esacl.tasks import Examples, TaskStream
from esacl.training import Learner

# Numbers of the inputs that are evaluated at once. On a CPU few, so that a layer's activations stay in its cache: 64
# images of 3x32x32 at a time took 0.75 of the time of 512 (small CNN, AMD EPYC, one thread, 1,000 images, n = 1).
EVALUATION_NUMBERS = {"cpu": 64 * 3 * 32 * 32}
EVALUATION_NUMBERS_ELSEWHERE = 2000 * 28 * 28


def evaluate(learner: Learner, stream: TaskStream, after: int) -> Iterator[Evaluated]:
    """Every task seen so far; in domain-IL and before training every task, for the forward transfer.

    Args:
        learner: who is judged, in evaluation as it stands.
        stream: the tasks of the run.
        after: index of the task just learned; -1 before the first.

    Raises:
        RunFailure: a loss is not finite, or the device has no room for one batch of images.
    """
    config, device = learner.config, next(learner.network.parameters()).device
    count = after + 1 if after >= 0 and config.scenario != "domain" else len(stream)
    seen = [t.classes for t in stream[: after + 1]] or [t.classes for t in stream]
    loss = criterion(config.scenario, seen, stream.outputs, device)
    known = criterion("task", [t.classes for t in stream], stream.outputs, device)
    for task in stream[:count]:
        alone = learner.form.known(task.index) if task.index <= after else contextlib.nullcontext()
        with alone, learner.statistics.of(task.index):
            outputs, targets = _outputs(learner, task.evaluation, device)
        value = loss.mean(outputs, targets)
        if not math.isfinite(value):
            raise RunFailure(
                f"the loss on task {task.index} is {value} after task {after}; try a smaller lr than {config.lr}"
            )
        yield Evaluated(
            after=after,
            on=task.index,
            accuracy=_mean(loss.correct(outputs, targets)),
            loss=value,
            accuracy_task=_mean(known.correct(outputs, targets)) if config.scenario == "class" else None,
            examples=len(targets),
        )


def accuracy(learner: Learner, loss: Criterion, judged: Sequence[Examples]) -> float:
    """The share of all examples of `judged` that the network tells right under `loss`, in [0, 1].

    Raises:
        RunFailure: the device has no room for one batch of images.
    """
    device = next(learner.network.parameters()).device
    found = [_outputs(learner, examples, device) for examples in judged]
    return _mean(torch.cat([loss.correct(outputs, targets) for outputs, targets in found]))


@torch.no_grad()
def _outputs(learner: Learner, examples: Examples, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = EVALUATION_NUMBERS.get(device.type, EVALUATION_NUMBERS_ELSEWHERE)
    size = max(1, numbers // max(28 * 28, examples.inputs[0].numel()))

    def outputs(inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([learner.network(part) for part in inputs.split(size)])

    try:
        there = examples.to(device)
        return learner.group.spread(outputs, there.inputs), there.targets
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        # Its batches are of a size of their own, which none of the settings that training is told to lower changes.
        what = f"out of memory on {device} while {len(examples)} images are judged, where batch_size does not matter"
        raise RunFailure(f"{what}; take another device, or a smaller network or resolution") from error


def _mean(hits: torch.Tensor) -> float:
    return float(hits.cpu().double().mean())
