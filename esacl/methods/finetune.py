"""Fine-tuning: each task as if there had been no other."""

from typing import Any

from esacl.config import RunConfig
from esacl.form import Dense
from esacl.training import Learner


def finetune(config: RunConfig, **parts: Any) -> Learner:
    """Plain training on one task after another; with sparsity above 0, one unprepared cut after each."""
    return Learner(config, make_form=Dense, **parts)
