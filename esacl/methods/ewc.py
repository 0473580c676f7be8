"""Online EWC (Schwarz et al. 2018, section 3.2, after Kirkpatrick et al. 2017): a dense diagonal anchor.

It shares the normalised Fisher information and the proximal step with EsaCL, so that a comparison shows SDP, IDS and
the rank-1 factor and not a better implementation.
"""

from typing import Any

from esacl.anchors import Anchors
from esacl.config import RunConfig
from esacl.sdp import Dense
from esacl.training import Learner


def ewc(config: RunConfig, **parts: Any) -> Learner:
    """Every weight is anchored by its own Fisher information; with sparsity above 0, one unprepared cut after each."""
    return Learner(config, make_form=Dense, anchors=Anchors(config.anchor.strength, compact=False), **parts)
