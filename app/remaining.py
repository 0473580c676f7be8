"""What is left of a dense network's cost once it is sparse: FLOPs and bytes counted, milliseconds measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.language import text
from app.pace import Pace
from app.wording import number, size
from esacl.outcomes import KEPT

FLOAT, INDEX = 4, 4  # bytes


@dataclass(frozen=True)
class Share:
    """One kind of cost: `name` in the experiment's question, how it is written, sparse and dense, both in words."""

    name: str
    written: str
    sparse: float
    dense: float
    told: str
    measured: bool = False  # by a clock; otherwise counted

    @property
    def of_dense(self) -> float:
        """Sparse over dense."""
        return self.sparse / self.dense


def shares(cost: Mapping[str, Any], parameters: int, sparse: Pace | None, dense: Pace | None) -> list[Share]:
    """The costs that are known of a run, each beside the dense network's. `sparse`, `dense`: paces of training."""
    found, held, whole = [], cost["state_bytes"], float(FLOAT * parameters)
    flops, full = cost["train_flops"], cost["train_flops_dense_sgd"]
    if flops and full:
        told = text("%(sparse)s of %(dense)s FLOPs", sparse=number(flops), dense=number(full))
        found.append(Share("flops", text("FLOPs of the whole training"), flops, full, told))
    if held["weights"] is not None and parameters:
        told = text("%(sparse)s of %(dense)s", sparse=size(held["weights"]), dense=size(whole))
        found.append(Share("weights", text("bytes of the weights that are left"), held["weights"], whole, told))
    if parameters and None not in [held[kind] for kind in KEPT]:
        kept = float(sum(held[kind] for kind in KEPT))
        told = text("%(sparse)s of %(dense)s", sparse=size(kept), dense=size(whole))
        found.append(Share("kept", text("bytes kept between tasks, with all that goes along"), kept, whole, told))
    times = [pace.milliseconds if pace is not None else None for pace in (sparse, dense)]
    if times[0] and times[1]:
        told = text("%(sparse)s against %(dense)s ms", sparse=number(times[0]), dense=number(times[1]))
        found.append(Share("time", text("milliseconds of a training step"), times[0], times[1], told, measured=True))
    return found


def storage(prunable: int, levels: np.ndarray) -> dict[str, np.ndarray]:
    """Bytes of `prunable` weights in three forms at each level: all of them, with a bit mask, with an index each."""
    left = prunable * (1 - np.asarray(levels, dtype=float))
    return {
        "dense": np.full(len(left), float(FLOAT * prunable)),
        "bits": FLOAT * left + prunable / 8,
        "indexed": (FLOAT + INDEX) * left,
    }
