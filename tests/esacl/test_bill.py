"""The bill of whole runs against torch's own count of every operation that learning them took."""

from typing import Any

import pytest
from tiny_runs import events_of, of_kind, tiny
from torch.utils.flop_counter import FlopCounterMode

from esacl.co2l import Co2L
from esacl.cost import Ledger
from esacl.events import CostCounted
from esacl.training import Learner

VARIANTS: list[dict[str, Any]] = [
    {},
    {"sdp.form": "segment", "sdp.radius": 0.1, "scenario": "class", "buffer.size": 20, "buffer.rehearsal": "plain"},
    {"sdp.form": "progressive"},
    {"network": "small-cnn", "sdp.radius": 0.1},
    *({"method": name} for name in ("ewc", "er", "derpp", "packnet", "finetune", "joint", "rigl")),
    {"method": "ewc", "anchor.distillation": 1.0},
    {"method": "derpp", "scenario": "class"},
    *({"method": "sparcl", "sparcl.base": base} for base in ("ewc", "er", "derpp", "co2l")),
    {"method": "sparcl", "sparcl.base": "co2l", "scenario": "class"},
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_operation_is_on_the_bill(settings, monkeypatch):
    """Dense kernels compute every product of a sparse layer too, so each layer that takes part is billed as dense.

    For the same reason no step here goes back on fewer examples than went forward, or leaves a whole layer out.
    """
    counted = [0]

    def watch(owner: type, name: str) -> None:
        method = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            with FlopCounterMode(display=False) as counter:
                result = method(*args, **kwargs)
            counted[0] += counter.get_total_flops()
            return result

        monkeypatch.setattr(owner, name, watched)

    density = Ledger._density
    monkeypatch.setattr(Ledger, "_density", lambda *args: float(density(*args) > 0))
    for name in ("_step", "consolidate", "refresh", "_teacher"):
        watch(Learner, name)
    watch(Co2L, "classify")
    events = events_of(tiny(settings, sparsity=0.0 if settings.get("method") in ("ewc", "joint") else 0.5))
    assert of_kind(events, CostCounted)[-1].train_flops == pytest.approx(counted[0], rel=1e-12)
