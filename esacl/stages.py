"""Stages: what a run trains on, one stretch after another."""

from dataclasses import dataclass

import torch

from esacl.config import RunConfig
from esacl.criterion import Criterion, criterion
from esacl.tasks import Examples, TaskStream


@dataclass(frozen=True)
class Stage:
    """One stretch of training: a task, or for `joint` all tasks at once.

    Attributes:
        task: index of the last task in it.
        examples: what is learned from, on the run's device.
        criterion: the loss over everything seen so far, this stage included.
        current: the same over the columns of this stage alone.
    """

    task: int
    examples: Examples
    criterion: Criterion
    current: Criterion


def stage_of(config: RunConfig, stream: TaskStream, task: int, device: torch.device, *, joint: bool) -> Stage:
    """The stage that ends with `task`; `joint` takes in the examples of all tasks up to it."""
    seen = stream[: task + 1]
    parts = [t.train for t in (seen if joint else seen[-1:])]
    examples = Examples(torch.cat([p.inputs for p in parts]), torch.cat([p.targets for p in parts]))
    loss = criterion(config.scenario, [t.classes for t in seen], stream.outputs, device)
    own = seen if joint else seen[-1:]
    current = criterion(config.scenario, [t.classes for t in own], stream.outputs, device)
    return Stage(task, examples.to(device), loss, current)
