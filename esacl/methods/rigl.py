"""RigL (Evci et al. 2020): sparse from the first step, with connections that move, over EWC's anchors."""

from typing import Any

from esacl.anchors import Anchors
from esacl.config import RunConfig
from esacl.form import Dense
from esacl.rigl import RigL
from esacl.training import Learner


def rigl(config: RunConfig, **parts: Any) -> Learner:
    """Sparse training with a dense gradient now and then; weights that stay are anchored as by `ewc`."""
    return Learner(
        config,
        make_form=RigL if config.sparsity > 0 else Dense,
        anchors=Anchors(config.anchor.strength, compact=False, guard=config.anchor.guard),
        **parts,
    )
