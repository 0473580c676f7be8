"""What is estimated while a task is learned: the sharpness after so many steps, from the instances that IDS chooses."""

import math
from collections.abc import Generator

from esacl.analysis.driving import driven
from esacl.analysis.points import Point, hessian_at
from esacl.analysis.scene import Scene
from esacl.curvature.lanczos import Eigenpairs, top_steps
from esacl.curvature.operator import Hessian
from esacl.errors import RunFailure
from esacl.events import Event, SharpnessEstimated

TOLERANCE = 1e-2  # the instances are off by more than that


def during(scene: Scene, step: int, *, restricted: bool) -> Generator[Event, None, None]:
    """lambda_max of the Hessian at today's weights, and the second-order term d'Hd / 2 of the cut that awaits them.

    Where `restricted`, lambda_max is that of the Hessian on the survivors, at them, and there is no such term. The draw
    of instances is that of the cut, by scores of today's network: a curve over the steps has one draw, not many.

    Args:
        scene: with the mask of today's cut, if any; where `restricted`, with the mask that is trained under.
        step: how many steps of the task are over.
        restricted: only survivors are trained.
    """
    point = Point("survivors", scene.mask, scene.mask) if restricted else Point("dense", None, None)
    operator = hessian_at(scene, point, scene.sample)
    found = yield from _largest(operator)
    term = None if restricted or found is None else _term(scene, operator)
    operator.release()
    products = (found.products if found else 0) + (term is not None)
    scene.ledger.analysis(products=products * len(scene.chosen))
    yield SharpnessEstimated(
        task=scene.task,
        step=step,
        restricted=restricted,
        lambda_max=float(found.values[0]) if found else None,
        curvature_term=term,
        examples=len(scene.chosen),
        products=products,
        converged=found is not None and found.converged,
    )


def _largest(operator: Hessian) -> Generator[Event, None, Eigenpairs | None]:
    """None where a product is not finite: training goes on, and says so itself if its loss is lost."""
    try:
        return (yield from driven(top_steps(operator, 1, tol=TOLERANCE)))
    except RunFailure:
        return None


def _term(scene: Scene, operator: Hessian) -> float | None:
    if scene.mask is None:
        return None
    d = operator.flatten(scene.displacement(scene.mask))
    if not bool(d.any()):
        return None
    term = float(d @ (operator @ d)) / 2
    return term if math.isfinite(term) else None
