"""Every saliency with every allocation, cut at every level at one dense point: what choosing well is worth."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from esacl.analysis.judged import accuracies, pool_loss
from esacl.analysis.scene import Scene, at_cut, pool_gradient
from esacl.analysis.sparsity import levels
from esacl.events import Analysing, ArrayRecorded, Event, Pulse
from esacl.pruning import ALLOCATIONS, SALIENCIES, saliency
from esacl.seeds import torch_generator

DRAWS = 3  # of the random saliency; the others need one


def comparison(scene: Scene) -> Iterator[Event]:
    """Accuracy on each task seen and the loss rise over the pool, (saliencies, allocations, levels, ...).

    The run's own saliency is the one that ranked its cut; the others are of the same weights. The gradient of the
    Taylor saliency is that of the pool's mean loss. Random is a mean over draws.
    """
    steps = levels(scene.config.curvature.levels, scene.config.sparsity)
    rankings = {name: _rankings(scene, name) for name in SALIENCIES}
    parts = sum(map(len, rankings.values())) * len(ALLOCATIONS)
    dense, done = pool_loss(scene), 0
    shape = len(SALIENCIES), len(ALLOCATIONS), len(steps)
    accuracy, rise = np.zeros((*shape, len(scene.evaluation))), np.zeros(shape)
    for row, drawn in enumerate(rankings.values()):
        for ranking in drawn:
            for column, allocation in enumerate(ALLOCATIONS):
                for place, level in enumerate(steps):
                    now = {"done": len(steps) * done + place, "total": len(steps) * parts}
                    yield Analysing(task=scene.task, stage="comparison", **now) if place % 5 == 0 else Pulse()
                    with at_cut(scene.network, scene.cut_to(level, ranking, allocation)):
                        accuracy[row, column, place] += np.array(accuracies(scene)) / len(drawn)
                        rise[row, column, place] += (pool_loss(scene) - dense) / len(drawn)
                done += 1
    about = {
        "levels": np.array(steps),
        "saliencies": np.array(list(SALIENCIES)),
        "allocations": np.array(list(ALLOCATIONS)),
        "draws": np.array([len(drawn) for drawn in rankings.values()]),
        "pool": np.array(len(scene.pool)),
    }
    yield ArrayRecorded(name=f"comparison-t{scene.task}", arrays={**about, "accuracy": accuracy, "rise": rise})


def _rankings(scene: Scene, name: str) -> list[dict[str, Tensor]]:
    """The saliency `name` of the dense point: one, or some draws of it."""
    if name == scene.config.pruning.saliency and name != "random":
        return [scene.saliency]
    parameters = dict(scene.network.named_parameters())
    weights: dict[str, Tensor] = {key: parameters[key] for key in scene.saliency}
    gradient = pool_gradient(scene, weights) if name == "taylor" else None
    # Where a run kept no curvature, h + Omega counts as none: what is left is the damping.
    curvature = {key: scene.curvature.get(key, torch.zeros_like(w)) for key, w in weights.items()}
    draws = range(DRAWS if name == "random" else 1)
    generators = [torch_generator(scene.config.seed, "random saliency", scene.task, draw) for draw in draws]
    with torch.no_grad():
        about = {"curvature": curvature, "gradient": gradient}
        found = [saliency(name, weights, **about, generator=generator) for generator in generators]
    # Chance knows nothing, of costs neither; the others are compared as the run's own saliency was weighed.
    return found if name == "random" else [scene.weighed(one) for one in found]
