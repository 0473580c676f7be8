"""Published numbers to stand beside: dense ResNet-18, as printed, drawn as hollow marks and never mixed with runs.

Class-IL / task-IL accuracy in percent, means of 10 runs, in the protocol of Buzzega et al. 2020 (networks trained with
class-IL logits; task-IL is the same logits with the task known), as later papers' tables print them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.language import text

_DER = "Buzzega et al. 2020, Dark Experience for General Continual Learning"
_CO2L = "Cha et al. 2021, Co2L: Contrastive Continual Learning"
_ROWS = (  # method here, as written, Split CIFAR-10 class / task, Split Tiny-ImageNet class / task, source
    ("joint", "joint training", 92.20, 98.31, 59.99, 82.04, _DER),
    ("finetune", "fine-tuning", 19.62, 61.02, 7.92, 18.31, _DER),
    ("ewc", "online EWC", 19.49, 68.29, 7.58, 19.20, _DER),
    ("er", "ER, buffer 200", 44.79, 91.19, 8.49, 38.17, _DER),
    ("er", "ER, buffer 500", 57.74, 93.61, 9.99, 48.64, _DER),
    ("derpp", "DER++, buffer 200", 64.88, 91.92, 10.96, 40.87, _DER),
    ("derpp", "DER++, buffer 500", 72.70, 93.88, 19.38, 51.91, _DER),
    ("sparcl", "Co2L, buffer 500", 74.26, 95.90, 20.12, 53.04, _CO2L),
)
_STREAMS = {  # benchmark -> tasks, classes, column of its class-IL number
    "split-cifar10": (5, 10, 2),
    "split-tiny-imagenet": (10, 200, 4),
}


@dataclass(frozen=True)
class Reference:
    """One published number. `method` is the name here whose colour it has; `accuracy` is a fraction.

    Co2L has that of SparCL, over which it can be run here.
    """

    method: str
    written: str
    accuracy: float
    source: str


def references(benchmark: str, scenario: str, tasks: int, classes: int) -> list[Reference]:
    """What was published for the very same stream; nothing where tasks or classes are others."""
    known = _STREAMS.get(benchmark)
    if known is None or scenario not in ("class", "task") or known[:2] != (tasks, classes):
        return []
    column = known[2] + (scenario == "task")
    return [Reference(row[0], row[1], round(float(row[column]) / 100, 4), row[-1]) for row in _ROWS]


def source_line(shown: Sequence[Reference]) -> str:
    """What a picture that goes without its caption has to say of its hollow marks, in a line as wide as the figure."""
    sources = "; ".join(dict.fromkeys(reference.source.partition(",")[0] for reference in shown))
    return text("Hollow marks: published, dense ResNet-18 (%(sources)s), at no place on the x axis", sources=sources)


def caption(shown: list[Reference], private_heads: bool) -> str:
    """Where the hollow marks come from; empty where there are none."""
    if not shown:
        return ""
    sources = "; ".join(dict.fromkeys(reference.source for reference in shown))
    said = text(
        "Hollow marks: published, dense ResNet-18, all images, 50 epochs a task on CIFAR-10 and 100 on Tiny-ImageNet, "
        "mean of 10 runs (%(sources)s); runs here are of another size unless they follow the protocol `der`. They have "
        "no place on the x axis.",
        sources=sources,
    )
    if not private_heads:
        return said
    other = text(
        "Their networks were trained with class-IL logits and told the task when tested; the runs here have a head "
        "for each task, which is another setting."
    )
    return f"{said} {other}"
