"""Online EWC (Schwarz et al. 2018, section 3.2, after Kirkpatrick et al. 2017): a dense diagonal anchor.

It shares the exact expectation in the Fisher information, its normalisation and the proximal step with EsaCL, so that
a comparison does not show a better implementation. EsaCL's guard of idle units is off here, as EWC is published
without it; `anchor.guard` turns it on.

Otherwise than in eq. 9 of Schwarz et al. gamma is 1: no task fades from the sum. Its terms are scaled as they scale
theirs, so that tasks count alike; here to a mean of 1 over the shared parameters (of a pruned network, over what is
left of them), where the paper names no norm.
"""

from typing import Any

from esacl.anchors import Anchors
from esacl.config import RunConfig
from esacl.form import Dense
from esacl.training import Learner


def ewc(config: RunConfig, **parts: Any) -> Learner:
    """Every weight is anchored by its own Fisher information; with sparsity above 0, one unprepared cut after each."""
    anchors = Anchors(config.anchor.strength, compact=False, guard=config.anchor.guard)
    return Learner(config, make_form=Dense, anchors=anchors, **parts)
