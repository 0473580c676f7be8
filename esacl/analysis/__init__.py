"""What a run measures of a task right before its cut, or at its end where nothing is cut; no weight changes.

Estimates along the sparsity curve and on the planes come from the instances that IDS chooses; eigenvalues and the
loss rise of the cut come from the whole pool, with the estimate from the chosen instances beside them.
"""

from collections.abc import Generator
from typing import Any

import numpy as np

from esacl.analysis.again import KINDS, analyse
from esacl.analysis.bound import bound_of
from esacl.analysis.driving import driven
from esacl.analysis.during import during
from esacl.analysis.ending import ending
from esacl.analysis.instances import selection
from esacl.analysis.scene import Scene, as_numpy, bill_rise, norm_of, scene
from esacl.analysis.slices import slices
from esacl.analysis.sparsity import sparsity
from esacl.analysis.spectrum import spectrum
from esacl.curvature.rise import rise_steps
from esacl.events import ArrayRecorded, Event
from esacl.look import Look

__all__ = ["KINDS", "Scene", "analyse", "during", "ending", "measure", "scene"]

BOUND_NODES = 3


def measure(scene: Scene) -> Generator[Event, None, dict[str, Any] | None]:
    """Every measurement of a task; returns the fields of `Pruned` that they hold, None without a cut."""
    yield ArrayRecorded(name=f"weights-t{scene.task}", arrays=_weights(scene))
    pruned = yield from _pruned(scene)
    yield from selection(scene)
    found = yield from spectrum(scene, Look())
    yield from sparsity(scene, found)
    yield from slices(scene, found)
    return pruned


def _pruned(scene: Scene) -> Generator[Event, None, dict[str, Any] | None]:
    mask = scene.mask
    if mask is None:
        return None
    d = scene.displacement(mask)
    nodes = BOUND_NODES if scene.config.curvature.top else 0
    about = scene.network, scene.criterion
    truth = yield from driven(rise_steps(*about, scene.whole, d, lambda_nodes=nodes))
    estimate = yield from driven(rise_steps(*about, scene.sample, d, lambda_nodes=min(nodes, 1)))
    bound = yield from bound_of(scene, scene.whole, d)
    bill_rise(scene, truth, len(scene.pool))
    bill_rise(scene, estimate, len(scene.chosen))
    norm = norm_of(scene.network, tuple(mask))
    return {
        "sparsity": 1 - mask.density,
        "actual_rise": truth.actual,
        "taylor": truth.taylor,
        "path_integral": truth.path_integral,
        "lambda_bound": truth.lambda_bound,
        "output_bound": bound,
        "displacement_norm": truth.displacement_norm,
        "network_norm": norm,
        "removed_share": (truth.displacement_norm / norm) ** 2 if norm else 0.0,
        "estimate_taylor": estimate.taylor,
        "estimate_lambda_max": estimate.lambda_max_at_nodes[0] if nodes else None,
        "full_lambda_max": truth.lambda_max_at_nodes[0] if nodes else None,
    }


def _weights(scene: Scene) -> dict[str, np.ndarray]:
    # Copies: the network goes on changing while a consumer may still hold the event.
    dense = {f"dense/{name}": as_numpy(p).copy() for name, p in scene.network.named_parameters()}
    dense |= {f"statistics/{name}": as_numpy(s).copy() for name, s in scene.statistics.state().items()}
    curvature = {f"curvature/{name}": as_numpy(c) for name, c in scene.curvature.items()}
    if scene.config.pruning.saliency == "taylor" or scene.config.sdp.form == "any":
        # The gradients of a whole task, or the order that sub-networks were trained by: no weight tells them.
        curvature |= {f"saliency/{name}": as_numpy(s) for name, s in scene.saliency.items()}
    return dense | curvature | {f"mask/{name}": as_numpy(entry) for name, entry in (scene.mask or {}).items()}
