"""SparCL (Wang et al. 2022): sparse masks, sparse gradients and fewer examples, over a method that holds the past."""

from typing import Any

from esacl.anchors import Anchors
from esacl.config import RunConfig
from esacl.dynamic import TaskAwareDynamic
from esacl.form import Dense
from esacl.removal import Removal
from esacl.training import Learner


def sparcl(config: RunConfig, **parts: Any) -> Learner:
    """Task-aware dynamic masking, dynamic data removal and dynamic gradient masking over `sparcl.base`."""
    base = config.sparcl.base
    return Learner(
        config,
        make_form=TaskAwareDynamic if config.sparsity > 0 else Dense,
        anchors=Anchors(config.anchor.strength, compact=False, guard=config.anchor.guard) if base == "ewc" else None,
        rehearsal="dark" if base == "derpp" else "plain",
        offers_steps=True,
        removal=Removal(config.sparcl.removal, config.seed),
        **parts,
    )
