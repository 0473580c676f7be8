"""Joint training: all tasks at once, the upper reference that is no continual learning."""

from typing import Any

from esacl.config import RunConfig
from esacl.form import Dense
from esacl.training import Learner


def joint(config: RunConfig, **parts: Any) -> Learner:
    """Plain training on the union of all tasks; with sparsity above 0, one unprepared cut at the end."""
    return Learner(config, make_form=Dense, joint=True, **parts)
