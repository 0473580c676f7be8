"""ER, experience replay (Chaudhry et al. 2019): each batch beside as many examples of a reservoir of the past."""

from typing import Any

from esacl.config import RunConfig
from esacl.form import Dense
from esacl.training import Learner


def er(config: RunConfig, **parts: Any) -> Learner:
    """Dense training with rehearsal; with sparsity above 0, one unprepared cut after each task.

    The reservoir is offered every batch of every epoch, as in published code.
    """
    return Learner(config, make_form=Dense, offers_steps=True, **parts)
