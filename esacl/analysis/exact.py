"""One cut, at exactly the sparsity that was asked for, judged on all evaluation data."""

from collections.abc import Iterator

import numpy as np

from esacl.analysis.judged import accuracies_and_losses
from esacl.analysis.scene import Scene, at_cut
from esacl.events import Analysing, ArrayRecorded, Event


def exact(scene: Scene, level: float) -> Iterator[Event]:
    """Accuracy and loss on each task seen, before and after the cut at `level`, with how many images they are over."""
    yield Analysing(task=scene.task, stage="exact", done=0, total=1)
    mask = scene.cut_to(level)
    dense_accuracy, dense_loss = accuracies_and_losses(scene)
    with at_cut(scene.network, mask):
        accuracy, loss = accuracies_and_losses(scene)
    arrays = {
        "level": np.array(level),
        "removed": np.array(1 - mask.density),
        "accuracy": accuracy,
        "loss": loss,
        "dense_accuracy": dense_accuracy,
        "dense_loss": dense_loss,
        "examples": np.array([len(examples) for examples in scene.evaluation]),
    }
    yield ArrayRecorded(name=exact_name(scene.task, level), arrays=arrays)


def exact_name(task: int, level: float) -> str:
    """What the arrays are called: the level in thousandths of a percent, so that each has its own."""
    return f"exact-t{task}-{round(level * 1e5):05d}"
