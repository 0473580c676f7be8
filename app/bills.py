"""Where the FLOPs and the bytes of a run go, beside what others would cost by the same counter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from app.language import marked, text
from app.wording import whole
from esacl.events import Event, RunStarted, TaskStarted
from esacl.outcomes import KEPT

FISHER_EXAMPLES = 12, 32  # batches and their size in `esacl.consolidation`, which needs torch
ITEMS = {  # of `esacl.cost`: (as it is written, what it is)
    "fresh_forward": (marked("forward, fresh images"), marked("The network's answers to the images of the task.")),
    "fresh_backward": (
        marked("backward, fresh images"),
        marked("Gradients of inputs and weights, at the density of each layer."),
    ),
    "replay": (
        marked("replay"),
        marked("Forward and backward of what the rehearsal memory brings: as dear as fresh images."),
    ),
    "scoring": (
        marked("scoring"),
        marked("Forward passes without a backward one: IDS looking for the images that matter."),
    ),
    "fisher": (
        marked("consolidation"),
        marked("Gradients of the Fisher information, by which earlier tasks are held."),
    ),
    "other": (
        marked("other"),
        marked("Whatever else training takes: a frozen network's answers, a classifier of its own, further gradients."),
    ),
}
PLACES = {  # what is kept, and what is needed only while training
    "weights": marked("weights that are left"),
    "masks": marked("masks"),
    "anchors": marked("anchors, or the last network frozen"),
    "buffer": marked("rehearsal memory"),
    "optimiser": marked("optimiser, while training"),
    "activations": marked("activations, while training"),
}


@dataclass(frozen=True)
class Bar:
    """One bar of a figure, in a method's `look`. `computed`: nobody ran it; it follows from what this run counted."""

    name: str
    value: float
    tip: str = ""
    computed: bool = False
    look: str = "pruned"


def items(cost: Mapping[str, Any]) -> list[Bar]:
    """The bill of a run, dearest first as far as it is not in order already; empty where it is not itemised."""
    bill = cost["bill"] or {}
    return [Bar(text(name), float(bill[key]), text(tip)) for key, (name, tip) in ITEMS.items() if key in bill]


def layers(cost: Mapping[str, Any]) -> list[Bar]:
    """FLOPs by layer, in the order of the network; what is counted as a whole has a bar of its own."""
    known = cost["layers"] or {}
    bars = [Bar(name.removesuffix(".weight"), float(flops)) for name, flops in known.items()]
    rest = (cost["train_flops"] or 0.0) - sum(bar.value for bar in bars)
    if bars and rest > 1e-6 * cost["train_flops"]:
        bars.append(Bar(text("Hessian-vector products"), rest, text("Counted over all layers together.")))
    return bars


def rivals(cost: Mapping[str, Any], events: Sequence[Event], look: str = Bar.look) -> list[Bar]:
    """This run's FLOPs, in its method's `look`, beside those of dense SGD, EWC and replay over the same steps.

    EWC: dense SGD, and after each task the gradients of its Fisher information, over as many images as EWC takes here,
    and by the rule of `esacl.consolidation`: private heads are not anchored, so none are asked of their weights.
    Replay: every step at twice the batch. Both need nothing but the images that dense SGD saw, which are recorded.
    """
    bars = [Bar(text("this run"), float(cost["train_flops"]), text("Counted."), look=look)]
    dense, started = cost["train_flops_dense_sgd"], [event for event in events if isinstance(event, TaskStarted)]
    seen = sum(event.train_examples * event.epochs for event in started[: _tasks_counted(events)])
    if not dense or not seen:
        return bars
    bars.append(Bar(text("dense SGD"), dense, text("The same steps, every weight there: counted."), computed=True))
    batches, batch = FISHER_EXAMPLES
    fisher = sum(batches * min(batch, event.train_examples) for event in started[: _tasks_counted(events)])
    told = text("Dense SGD, and the gradients of %(images)s images for its Fisher information.", images=whole(fisher))
    each = dense / seen - 2.0 * _private_weights(events)
    bars.append(Bar("EWC", dense + fisher * each, told, computed=True))
    bars.append(
        Bar(text("replay"), 2 * dense, text("Dense SGD with as many replayed images as fresh ones."), computed=True)
    )
    return bars


def _private_weights(events: Sequence[Event]) -> int:
    """Weights of private heads, each of which has one multiply-accumulate an image in its gradient.

    0 where all tasks share the head, and where an older run does not tell.
    """
    started = next((event for event in events if isinstance(event, RunStarted)), None)
    if started is None or started.shared in (None, started.parameters):
        return 0
    return started.parameters - started.shared - started.classes  # of its parameters a bias for each class


def _tasks_counted(events: Sequence[Event]) -> int:
    return sum(type(event).__name__ == "CostCounted" for event in events)


def kept(cost: Mapping[str, Any], events: Sequence[Event], look: str = Bar.look) -> list[Bar]:
    """What stays in memory between tasks, in the method's `look`.

    Beside it dense SGD, replay with this run's memory, and dense EWC.
    """
    held = cost["state_bytes"]
    started = next((event for event in events if isinstance(event, RunStarted)), None)
    if started is None or None in [held[kind] for kind in KEPT]:
        return []
    dense = 4.0 * started.parameters
    told = " + ".join(text(PLACES[kind]) for kind in KEPT if held[kind])
    told = text("%(what)s.", what=f"{told[:1].upper()}{told[1:]}")
    bars = [Bar(text("this run"), float(sum(held[kind] for kind in KEPT)), told, look=look)]
    told = text("%(weights)s weights of 4 bytes.", weights=whole(started.parameters))
    bars.append(Bar(text("dense SGD"), dense, told, computed=True))
    if held["buffer"]:
        told = text("The weights, and the rehearsal memory of this run.")
        bars.append(Bar(text("replay"), dense + held["buffer"], told, computed=True))
    told = text(
        "Each weight, and where all tasks share it two numbers of 4 bytes more: the anchor, its Fisher information."
    )
    shared = started.parameters if started.shared is None else started.shared
    bars.append(Bar("EWC", dense + 8.0 * shared, told, computed=True))
    return bars


def places(cost: Mapping[str, Any]) -> list[Bar]:
    """Bytes by what they are for."""
    held = cost["state_bytes"]
    looks = {kind: Bar.look if kind in KEPT else "dense pale" for kind in PLACES}  # pale: while training only
    shown = [kind for kind in PLACES if held[kind] is not None]
    return [Bar(text(PLACES[kind]), float(held[kind]), look=looks[kind]) for kind in shown]


def as_frame(bars: Sequence[Bar], unit: str) -> pd.DataFrame:
    """Bars as a table: what, how much, and the share of all of them."""
    total = sum(bar.value for bar in bars) or 1.0
    return pd.DataFrame(
        {
            marked("for"): [bar.name for bar in bars],
            unit: [bar.value for bar in bars],
            marked("share, %"): [round(100 * bar.value / total, 2) for bar in bars],
        }
    )
