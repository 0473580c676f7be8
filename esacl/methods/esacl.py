"""EsaCL: SDP, one cut and sparse steps after it; rank-1 anchors and self-distillation; instances chosen by IDS."""

from typing import Any

from esacl.anchors import Anchors
from esacl.config import RunConfig
from esacl.form import Dense
from esacl.sdp import FORMS
from esacl.training import Learner


def esacl(config: RunConfig, **parts: Any) -> Learner:
    """Sparse continual learning without replay (a buffer may be added), inside the budget of one dense training."""
    return Learner(
        config,
        make_form=FORMS[config.sdp.form] if config.sparsity > 0 else Dense,
        anchors=Anchors(config.anchor.strength, compact=True, guard=config.anchor.guard),
        ids=True,
        **parts,
    )
