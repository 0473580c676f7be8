"""The axes of slices by name: a direction at a point of a task, and how far to go along it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from esacl import landscape, seeds
from esacl.analysis.points import Found
from esacl.analysis.scene import Scene
from esacl.errors import InputError
from esacl.mask import Mask

ALONG_THE_WAY = (-0.5, 1.5)  # where 0 is this solution and 1 the other one
AROUND = (-1.0, 1.0)
STEPPED = ("pruning", "task")  # axes on which 1 is a solution


@dataclass(frozen=True)
class Axis:
    """A named direction through weight space, and the stretch of it that is shown."""

    name: str
    direction: dict[str, Tensor]
    extent: tuple[float, float]
    converged: bool = True  # False: an eigenvector that is not well known


def axis(
    scene: Scene, name: str, *, at: str, found: Mapping[str, Found], following: Mapping[str, Tensor] | None = None
) -> Axis:
    """The axis `name` (see `look.AXES`) at the dense or the pruned point.

    At the pruned point every axis is inside the mask: what leaves the mask is another network. An eigenvector is shown
    so far that its parabola rises by one nat. The network must stand at the point when this is called.

    Args:
        scene: the task.
        name: of the axis.
        at: "dense" or "pruned".
        found: eigenvectors by the name of the point.
        following: the next task's solution, for the axis `task`.

    Raises:
        InputError: an axis that this run does not have.
    """
    mask = scene.mask if at == "pruned" else None
    kind, number = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
    if kind == "random":
        seed = seeds.number(scene.config.seed, name)
        return Axis(name, landscape.random_direction(scene.network, seed, mask), AROUND)
    if kind == "eigen":
        return _eigen(name, int(number), found["survivors" if at == "pruned" else "dense"])
    if kind == "pruning":
        if scene.mask is None:
            raise InputError("this run prunes nothing, so it has no pruning displacement; choose another axis")
        return Axis(name, scene.displacement(scene.mask), ALONG_THE_WAY)
    if following is None:
        raise InputError(f"task {scene.task} has no next task whose solution is kept; choose another axis or task")
    return Axis(name, _to_next(scene, following, mask), ALONG_THE_WAY)


def plane_axes(x: Axis, y: Axis) -> tuple[Axis, Axis]:
    """Both axes of a plane: the second without its part along a first one on which 1 is a solution."""
    if x.name in STEPPED and y.name not in STEPPED:
        y = replace(y, direction=landscape.orthogonal_to(y.direction, x.direction))
    return x, y


def eigenvectors_wanted(*names: str) -> int:
    """How many eigenvectors these axes ask for."""
    return max((int(name[len("eigen") :]) for name in names if name.startswith("eigen")), default=0)


def _eigen(name: str, number: int, at: Found) -> Axis:
    values = at.ends.top.values
    if number > len(values):
        raise InputError(f"{name} was not found: there are {len(values)} eigenvectors; choose eigen1 to {len(values)}")
    largest = float(values[number - 1])
    reach = (2 / largest) ** 0.5 if largest > 0 else 1.0
    return Axis(name, at.direction(number - 1), (-reach, reach), at.ends.top.converged)


def _to_next(scene: Scene, following: Mapping[str, Tensor], mask: Mask | None) -> dict[str, Tensor]:
    here = {name: p.detach() for name, p in scene.network.named_parameters()}
    there = {name: following[f"dense/{name}"].to(p) for name, p in here.items()}
    for name, buffer in scene.network.named_buffers():
        if buffer.is_floating_point():  # BatchNorm's running means and variances are part of a solution
            here[name], there[name] = buffer, following[f"statistics/network/{name}"].to(buffer)
    direction = landscape.task_direction(here, there)
    if mask is None:
        return direction
    return {name: torch.where(mask[name], part, 0.0) if name in mask else part for name, part in direction.items()}
