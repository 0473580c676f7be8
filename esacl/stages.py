"""Stages: what a run trains on, one stretch after another."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from esacl.augmentation import crop_and_flip, view
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
        augment: a training batch (n, c, h, w), replayed images included, and a step's generator -> what is learned
            from; None leaves it as it is.
        view: the same for a method that compares two views of each image.
    """

    task: int
    examples: Examples
    criterion: Criterion
    current: Criterion
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    view: Callable[[Tensor, torch.Generator], Tensor] | None = None


def stage_of(config: RunConfig, stream: TaskStream, task: int, device: torch.device, *, joint: bool) -> Stage:
    """The stage that ends with `task`; `joint` takes in the examples of all tasks up to it."""
    seen = stream[: task + 1]
    parts = [t.train for t in (seen if joint else seen[-1:])]
    examples = Examples(torch.cat([p.inputs for p in parts]), torch.cat([p.targets for p in parts]))
    loss = criterion(config.scenario, [t.classes for t in seen], stream.outputs, device)
    own = seen if joint else seen[-1:]
    current = criterion(config.scenario, [t.classes for t in own], stream.outputs, device)
    black = stream.black
    return Stage(
        task,
        examples.to(device),
        loss,
        current,
        augment=(lambda inputs, rng: crop_and_flip(inputs, black, rng)) if config.augment == "crop-flip" else None,
        view=(lambda inputs, rng: view(inputs, black, rng)) if config.contrastive else None,
    )
