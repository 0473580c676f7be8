"""DER++, dark experience replay (Buzzega et al. 2020): replayed examples keep the logits they once had."""

from typing import Any

from esacl.config import RunConfig
from esacl.form import Dense
from esacl.training import Learner


def derpp(config: RunConfig, **parts: Any) -> Learner:
    """Rehearsal of labels and of logits; with sparsity above 0, one unprepared cut after each task.

    Logits are those of the step in which an example came into the reservoir, which is offered every batch: that is
    `buffer.rehearsal = "dark"`, which this method has of itself.
    """
    return Learner(config, make_form=Dense, **parts)
