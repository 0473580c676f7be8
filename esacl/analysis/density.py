"""The whole spectrum at each point of a task, smoothed, and its trace: many products, so only on request."""

from collections.abc import Iterator

import numpy as np

from esacl.analysis.driving import reported
from esacl.analysis.points import hessian_at, points
from esacl.analysis.scene import Scene
from esacl.curvature.spectrum import density_steps
from esacl.curvature.trace import trace_steps
from esacl.events import ArrayRecorded, Event
from esacl.look import Look

STEPS = 40
TRACE_PRODUCTS = 120
TRACE_BYTES = 1 << 30  # XTrace keeps as many vectors as it takes products


def density(scene: Scene, look: Look) -> Iterator[Event]:
    """Density and trace at each point, from `look.probes` random vectors; nothing where they are none."""
    if look.probes == 0 or scene.config.curvature.top == 0:
        return
    places = points(scene)
    arrays: dict[str, np.ndarray] = {}
    seed, parts = scene.config.seed, 2 * len(places)
    for part, point in enumerate(places):
        operator = hessian_at(scene, point)
        steps = density_steps(operator, steps=STEPS, probes=look.probes, seed=seed)
        found = yield from reported(steps, scene.task, "density", 2 * part, parts)
        products = max(4, min(TRACE_PRODUCTS, TRACE_BYTES // (operator.shape[0] * 4)))
        sums = trace_steps(operator, products=products, seed=seed)
        whole = yield from reported(sums, scene.task, "density", 2 * part + 1, parts)
        scene.ledger.analysis(products=(found.products + whole.products) * len(scene.pool))
        values = {
            "grid": found.grid,
            "density": found.density,
            "error": found.standard_error,
            "width": found.width,
            "products": found.products,
            "converged": found.converged,
            "trace": whole.value,
            "trace_error": whole.standard_error,
            "trace_products": whole.products,
            "entries": operator.shape[0],
        }
        arrays |= {f"{point.name}/{key}": np.asarray(value) for key, value in values.items()}
    yield ArrayRecorded(name=f"density-t{scene.task}", arrays=arrays)
