"""How good the network is where it stands now: on the pool, and on the evaluation data of each task seen."""

import numpy as np
import torch
from torch import Tensor

from esacl.analysis import sparse_forward
from esacl.analysis.scene import Scene
from esacl.tasks import Examples

PIECE = 2000  # examples at a time


@torch.no_grad()
def pool_loss(scene: Scene) -> float:
    """Mean loss over the pool, in nats; billed."""
    scene.ledger.analysis(forward_examples=len(scene.pool))
    return scene.criterion.mean(scene.network(scene.pool.inputs), scene.pool.targets)


@torch.no_grad()
def accuracies(scene: Scene) -> list[float]:
    """Accuracy on each task seen so far, billed as if by the dense kernel; where it pays by what is left of an MLP."""
    count = sum(len(examples) for examples in scene.evaluation)
    scene.ledger.analysis(forward_examples=count)
    instead, found = sparse_forward.smaller(scene.network, count), []
    for task, examples in enumerate(scene.evaluation):
        parts = zip(examples.inputs.split(PIECE), examples.targets.split(PIECE), strict=True)
        with scene.statistics.of(task):
            hits = [sparse_forward.correct(scene.network, instead, scene.criterion, *part) for part in parts]
        found.append(float(torch.cat(hits).cpu().double().mean()))
    return found


@torch.no_grad()
def accuracies_and_losses(scene: Scene) -> np.ndarray:
    """Accuracy and mean loss on the evaluation data of each task seen so far, (2, tasks); billed."""
    scene.ledger.analysis(forward_examples=sum(len(examples) for examples in scene.evaluation))
    found = []
    for task, examples in enumerate(scene.evaluation):
        outputs = _outputs(scene, task, examples)
        found.append((_accuracy(scene, outputs, examples), scene.criterion.mean(outputs, examples.targets)))
    return np.array(found).T


def _outputs(scene: Scene, task: int, examples: Examples) -> Tensor:
    with scene.statistics.of(task):
        return torch.cat([scene.network(part) for part in examples.inputs.split(PIECE)])


def _accuracy(scene: Scene, outputs: Tensor, examples: Examples) -> float:
    return float(scene.criterion.correct(outputs, examples.targets).cpu().double().mean())
