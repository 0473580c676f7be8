"""What is measured where a task ends that went on after its cut: the sharpness that the sparse steps have come to."""

from collections.abc import Iterator

from esacl.analysis.driving import reported
from esacl.analysis.points import END, Point, hessian_at
from esacl.analysis.scene import Scene
from esacl.analysis.spectrum import measured
from esacl.curvature.lanczos import top_steps
from esacl.events import Event


def ending(scene: Scene) -> Iterator[Event]:
    """The largest eigenvalues of the Hessian on the survivors, at today's weights; nothing where none are asked for."""
    if not scene.config.curvature.top:
        return
    point = Point(END, scene.mask, scene.mask)
    operator = hessian_at(scene, point)
    top = min(scene.config.curvature.top, operator.shape[0])
    found = yield from reported(top_steps(operator, top), scene.task, "spectrum")
    scene.ledger.analysis(products=found.products * len(scene.pool))
    yield measured(scene, point, found, found.products, engine="lanczos")
