"""PackNet (Mallya & Lazebnik 2018): weights are shared out among the tasks, and frozen once they are owned."""

from typing import Any

from esacl.config import RunConfig
from esacl.packing import PackNet
from esacl.training import Learner


def packnet(config: RunConfig, **parts: Any) -> Learner:
    """Nothing is forgotten, because nothing that a task uses ever changes again; the task must be known."""
    return Learner(config, make_form=PackNet, freezes_rest=True, **parts)
