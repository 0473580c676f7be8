"""Slices of the loss landscape, through the cut and in random directions."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from esacl import landscape
from esacl.analysis.scene import Scene, as_numpy, at_cut
from esacl.events import Analysing, ArrayRecorded, Event

LINE_POINTS = 41


def slices(scene: Scene) -> Iterator[Event]:
    """Loss along the cut and along random filter-normalised directions, at the dense and at the pruned point."""
    points = scene.config.curvature.grid
    if points == 0:
        return
    arrays: dict[str, np.ndarray] = {}
    for done, (name, part) in enumerate(_slices(scene, points)):
        yield Analysing(task=scene.task, stage="landscape", done=done, total=6 if scene.mask else 2)
        arrays |= {f"{name}/{key}": value for key, value in part.items()}
    yield ArrayRecorded(name=f"landscape-t{scene.task}", arrays=arrays)


def _slices(scene: Scene, points: int) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    seed = scene.config.seed
    x, y = (landscape.random_direction(scene.network, seed + i) for i in (1, 2))
    yield "random_dense", _line(scene, x, (-1.0, 1.0))
    yield "plane_dense", _plane(scene, x, y, (-1.0, 1.0), points)
    if scene.mask is None:
        return
    d = scene.displacement(scene.mask)
    yield "pruning", _line(scene, d, (-0.5, 1.5))
    yield "plane_pruning", _plane(scene, d, landscape.orthogonal_to(y, d), (-0.5, 1.5), points)
    with at_cut(scene.network, scene.mask):
        inside = [landscape.random_direction(scene.network, seed + i, scene.mask) for i in (1, 2)]
        line = _line(scene, inside[0], (-1.0, 1.0))
        plane = _plane(scene, inside[0], inside[1], (-1.0, 1.0), points)
    yield "random_pruned", line
    yield "plane_pruned", plane


def _line(scene: Scene, x: dict[str, Tensor], extent: tuple[float, float]) -> dict[str, np.ndarray]:
    correct = scene.criterion.correct
    found = landscape.slice_1d(
        scene.network, scene.criterion, scene.whole, x, extent=extent, points=LINE_POINTS, correct=correct
    )
    scene.ledger.analysis(forward_examples=LINE_POINTS * len(scene.pool))
    return {"x": as_numpy(found.x), "loss": as_numpy(found.loss), "accuracy": as_numpy(found.accuracy)}


def _plane(
    scene: Scene, x: dict[str, Tensor], y: dict[str, Tensor], extent: tuple[float, float], points: int
) -> dict[str, np.ndarray]:
    found = landscape.slice_2d(
        scene.network, scene.criterion, scene.sample, x, y, extent=(extent, (-1.0, 1.0)), points=points
    )
    scene.ledger.analysis(forward_examples=points * points * len(scene.chosen))
    return {"x": as_numpy(found.x), "y": as_numpy(found.y), "loss": as_numpy(found.loss)}
