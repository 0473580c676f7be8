"""The variance gate of IDS in training, as far as a run tells it: below which ratio it opens. Loads no torch."""

from collections.abc import Sequence

from esacl import break_even
from esacl.break_even import BACKWARD_TO_FORWARD
from esacl.events import CostCounted, Event, Stepped


def opens_below(events: Sequence[Event], fraction: float) -> float:
    """The ratio of second moments below which the gate lets IDS choose `fraction` of each batch.

    It depends on what a backward pass costs in forward passes, which a run's first bill tells of dense training and
    tells nearly of sparse; so what the gate has decided has the last word: it was below every ratio of a shut gate and
    above every one of an open gate.
    """
    backs = [back for event in events if isinstance(event, CostCounted) and (back := _back(event)) is not None]
    back = min([BACKWARD_TO_FORWARD, *backs[:1]])  # less with a wide first layer, whose inputs need no gradient
    found = break_even.opens_below(fraction, back)
    told = [(e.selection_ratio, e.selection_open) for e in events if isinstance(e, Stepped)]
    at_least = max((ratio for ratio, is_open in told if ratio is not None and is_open), default=0.0)
    at_most = min((ratio for ratio, is_open in told if ratio is not None and not is_open), default=float("inf"))
    return min(max(found, at_least), at_most)


def _back(bill: CostCounted) -> float | None:
    if not bill.fresh_forward_flops or bill.fresh_backward_flops is None:
        return None
    return bill.fresh_backward_flops / bill.fresh_forward_flops
