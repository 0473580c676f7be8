"""Slices of the loss landscape: those that every run takes, and a plane through two directions by name."""

import contextlib
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from esacl import landscape
from esacl.analysis.axes import Axis, axis, eigenvectors_wanted, plane_axes
from esacl.analysis.driving import reported
from esacl.analysis.points import Found, ends_at, points
from esacl.analysis.scene import Scene, as_numpy, at_cut
from esacl.errors import InputError
from esacl.events import ArrayRecorded, Event
from esacl.look import Look
from esacl.stepwise import Steps

LINE_POINTS = 41
# What a plane of a network with convolutions may be wrong by, as a share of the losses shown; an MLP's planes cost so
# little that every cell is computed. The scale is logarithmic because that is how the planes are drawn.
REFINE = 0.01

Arrays = Generator[Event, None, dict[str, np.ndarray]]


def slices(scene: Scene, found: Mapping[str, Found]) -> Iterator[Event]:
    """Loss along the cut and along random filter-normalised directions, at the dense and at the pruned point.

    `found`: the eigenvectors by the name of the point, as far as they are known already.
    """
    side = scene.config.curvature.grid
    if side == 0:
        return
    seed_axes = ["random1", "random2"]
    cut = ["pruning", "eigen1" if "dense" in found else "random2"]
    parts = [("random_dense", "dense", seed_axes[:1]), ("plane_dense", "dense", seed_axes)]
    if scene.mask is not None:
        parts += [("pruning", "dense", cut[:1]), ("plane_pruning", "dense", cut)]
        parts += [("random_pruned", "pruned", seed_axes[:1]), ("plane_pruned", "pruned", seed_axes)]
    arrays: dict[str, np.ndarray] = {}
    for part, (name, at, names) in enumerate(parts):
        take = _line if len(names) == 1 else _plane
        taken = yield from take(scene, at, names, found, part, len(parts))
        arrays |= {f"{name}/{key}": value for key, value in taken.items()}
    yield ArrayRecorded(name=f"landscape-t{scene.task}", arrays=arrays)


def plane_by_name(scene: Scene, look: Look, following: Mapping[str, Tensor] | None) -> Iterator[Event]:
    """The plane `look.x` by `look.y` over the whole pool, through the point `look.at`.

    Raises:
        InputError: a point or an axis that this run does not have.
    """
    if look.at == "pruned" and scene.mask is None:
        raise InputError("this run prunes nothing, so it has no pruned point; look at the dense one")
    assert look.x is not None
    assert look.y is not None
    names = [look.x, look.y]
    found: dict[str, Found] = {}
    wanted = eigenvectors_wanted(*names)
    where = "survivors" if look.at == "pruned" else "dense"
    for point in points(scene):
        if wanted and point.name == where:
            found[where] = yield from ends_at(scene, point, wanted)
    taken = yield from _plane(scene, look.at, names, found, 0, 1, whole=True, following=following)
    name = f"plane-t{scene.task}-{look.at}-{look.x}-{look.y}"
    yield ArrayRecorded(name=name, arrays=taken)


def _line(scene: Scene, at: str, names: list[str], found: Mapping[str, Found], part: int, parts: int) -> Arrays:
    with _standing(scene, at):
        x = axis(scene, names[0], at=at, found=found)
        steps = landscape.line_steps(
            scene.network, scene.criterion, scene.whole, x.direction,
            extent=x.extent, points=LINE_POINTS, correct=scene.criterion.correct,
        )  # fmt: skip
    line = yield from reported(steps, scene.task, "landscape", part, parts)
    scene.ledger.analysis(forward_examples=line.evaluations * len(scene.pool))
    return {"x": as_numpy(line.x), "loss": as_numpy(line.loss), "accuracy": as_numpy(line.accuracy)}


def _plane(
    scene: Scene,
    at: str,
    names: list[str],
    found: Mapping[str, Found],
    part: int,
    parts: int,
    *,
    whole: bool = False,
    following: Mapping[str, Tensor] | None = None,
) -> Arrays:
    data = scene.whole if whole else scene.sample
    with _standing(scene, at):
        x, y = plane_axes(*(axis(scene, name, at=at, found=found, following=following) for name in names))
        steps = _plane_steps(scene, data, x, y)
    plane = yield from reported(steps, scene.task, "landscape", part, parts)
    scene.ledger.analysis(forward_examples=plane.evaluations * len(data[0]))
    facts: dict[str, Any] = {
        "x": plane.x, "y": plane.y, "loss": plane.loss, "accuracy": plane.accuracy, "evaluated": plane.evaluated,
        "error": plane.error, "evaluations": plane.evaluations, "holes": plane.holes,
        "statistics": plane.statistics, "examples": len(data[0]), "x_name": x.name, "y_name": y.name,
        "converged": x.converged and y.converged,
    }  # fmt: skip
    return {key: np.asarray(value) for key, value in facts.items()}


def _plane_steps(scene: Scene, data: tuple[Tensor, ...], x: Axis, y: Axis) -> Steps[landscape.Slice2D]:
    return landscape.plane_steps(
        scene.network,
        scene.criterion,
        data,
        x.direction,
        y.direction,
        extent=(x.extent, y.extent),
        points=scene.config.curvature.grid,
        correct=scene.criterion.correct,
        refine=None if scene.config.network == "mlp" else REFINE,
        scale="log",
    )


def _standing(scene: Scene, at: str) -> contextlib.AbstractContextManager[None]:
    """The network at the point for the length of a block; a slice is of the network as it is when it begins."""
    if at == "dense" or scene.mask is None:
        return contextlib.nullcontext()
    return at_cut(scene.network, scene.mask)
