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
        past: groups of columns that earlier tasks own, (g, c) for g groups of one size: each of their heads in task-IL,
            all their classes as one group in class-IL; none in domain-IL, where today's examples ask for the same
            columns, and none for `joint`.
    """

    task: int
    examples: Examples
    criterion: Criterion
    current: Criterion
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    view: Callable[[Tensor, torch.Generator], Tensor] | None = None
    past: tuple[Tensor, ...] = ()


def stage_of(config: RunConfig, stream: TaskStream, task: int, device: torch.device, *, joint: bool) -> Stage:
    """The stage that ends with `task`; `joint` takes in the examples of all tasks up to it."""
    seen = stream[: task + 1]
    parts = [t.train for t in (seen if joint else seen[-1:])]
    examples = Examples(torch.cat([p.inputs for p in parts]), torch.cat([p.targets for p in parts]))
    loss = criterion(config.scenario, [t.classes for t in seen], stream.outputs, device)
    own = seen if joint else seen[-1:]
    current = criterion(config.scenario, [t.classes for t in own], stream.outputs, device)
    black = stream.black
    past = [] if joint else _past(config.scenario, [t.classes for t in seen[:-1]])
    return Stage(
        task,
        examples.to(device),
        loss,
        current,
        augment=(lambda inputs, rng: crop_and_flip(inputs, black, rng)) if config.augment == "crop-flip" else None,
        view=(lambda inputs, rng: view(inputs, black, rng)) if config.contrastive else None,
        past=tuple(torch.tensor(groups, device=device) for groups in past),
    )


def _past(scenario: str, tasks: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Groups of columns, those of one size together, so that a figure of them is a matrix."""
    if scenario == "domain" or not tasks:
        return []
    groups = tasks if scenario == "task" else [tuple(sorted({column for columns in tasks for column in columns}))]
    return [[group for group in groups if len(group) == size] for size in sorted({len(group) for group in groups})]
