"""The points of a task that curvature is measured at: dense, pruned, and pruned with the Hessian on the survivors."""

from collections.abc import Generator
from dataclasses import dataclass

from torch import Tensor

from esacl.analysis.driving import reported
from esacl.analysis.scene import Scene, at_cut
from esacl.curvature.lanczos import Extremes, extreme_steps
from esacl.curvature.operator import Hessian, hessian
from esacl.events import Event
from esacl.mask import Mask

POINTS = ("dense", "pruned", "survivors")
END = "end"


@dataclass(frozen=True)
class Point:
    """One of `POINTS`: what the network's weights are there, and what the Hessian is restricted to."""

    name: str
    cut: Mask | None  # the network is cut by it
    mask: Mask | None  # the Hessian is restricted to its survivors

    @property
    def place(self) -> str:
        """Where the weights are: dense, pruned, or pruned and trained on to the task's end."""
        if self.cut is None:
            return "dense"
        return END if self.name == END else "pruned"


def points(scene: Scene) -> list[Point]:
    """The points of a scene: a dense run has one."""
    dense = Point("dense", None, None)
    if scene.mask is None:
        return [dense]
    return [dense, Point("pruned", scene.mask, None), Point("survivors", scene.mask, scene.mask)]


def hessian_at(scene: Scene, point: Point, data: tuple[Tensor, ...] | None = None) -> Hessian:
    """The Hessian at a point over the whole pool, or over other data; a snapshot: the network may go elsewhere."""
    given = scene.whole if data is None else data
    if point.cut is None:
        return hessian(scene.network, scene.criterion, given, point.mask)
    with at_cut(scene.network, point.cut):
        return hessian(scene.network, scene.criterion, given, point.mask)


@dataclass(frozen=True)
class Found:
    """The ends of the spectrum at a point, with the operator that they belong to."""

    operator: Hessian
    ends: Extremes

    def direction(self, index: int) -> dict[str, Tensor]:
        """The eigenvector of the `index`-th largest eigenvalue, from 0, in weight units."""
        return self.operator.unflatten(self.ends.top.vectors[:, index])


def ends_at(scene: Scene, point: Point, top: int, part: int = 0, parts: int = 1) -> Generator[Event, None, Found]:
    """The `top` largest eigenvalues at a point and the smallest one, billed; told as a part of the spectrum stage."""
    operator = hessian_at(scene, point)
    n = operator.shape[0]
    top = min(top, n)
    steps = extreme_steps(operator, top, min(1, n - top))
    ends = yield from reported(steps, scene.task, "spectrum", part, parts)
    scene.ledger.analysis(products=ends.products * len(scene.pool))
    return Found(operator, ends)
