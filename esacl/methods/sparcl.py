"""SparCL (Wang et al. 2022): sparse masks, sparse gradients and fewer examples, over a method that holds the past."""

from typing import Any

from esacl.anchors import Anchors
from esacl.co2l import Co2L
from esacl.config import RunConfig
from esacl.dynamic import TaskAwareDynamic
from esacl.form import Dense
from esacl.removal import Removal
from esacl.training import Learner


def sparcl(config: RunConfig, **parts: Any) -> Learner:
    """Task-aware dynamic masking, dynamic data removal and dynamic gradient masking over `sparcl.base`.

    Over Co2L there are no logits to answer by while a task is learned: an image counts as mistaken where its nearest
    neighbour in the batch is of another class. Its buffer is offered a task's examples once the task is over.
    """
    base = config.sparcl.base
    return Learner(
        config,
        make_form=TaskAwareDynamic if config.sparsity > 0 else Dense,
        anchors=Anchors(config.anchor.strength, compact=False, guard=config.anchor.guard) if base == "ewc" else None,
        offers_steps=base != "co2l",
        removal=Removal(config.sparcl.removal, config.seed),
        contrast=Co2L(config, parts["network"], parts["ledger"], parts.get("group")) if base == "co2l" else None,
        **parts,
    )
