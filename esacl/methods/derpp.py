"""DER++, dark experience replay (Buzzega et al. 2020): replayed examples keep the logits they once had."""

from typing import Any

from esacl.config import RunConfig
from esacl.form import Dense
from esacl.training import Learner


def derpp(config: RunConfig, **parts: Any) -> Learner:
    """Rehearsal of labels and of logits; with sparsity above 0, one unprepared cut after each task.

    Logits are those of the step in which an example came into the reservoir, which is offered every batch: that is
    `buffer.rehearsal = "dark"`, which this method has of itself. In class-IL the columns of classes seen so far compete
    (`esacl.criterion`) where the authors' code lets all of them, and all images of a step are one batch, whose
    statistics BatchNorm takes together, where theirs are passes of their own.
    """
    return Learner(config, make_form=Dense, **parts)
