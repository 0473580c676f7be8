"""The events a run yields: frozen, keyword-only, scalars only; `event_lines` writes and reads them.

Arrays travel in `ArrayRecorded` and are kept as `arrays/NAME.npz`; its line holds the name and a digest, so that
two runs whose events are equal have equal arrays too. Nothing here depends on the clock.
"""

import hashlib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Loading:
    """Something slow is being read or imported before there is anything to show."""

    what: str


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """The network and the stream exist; training is about to begin."""

    tasks: int
    classes: int
    network: str
    parameters: int
    prunable: int
    device: str  # "cpu", "cuda:0", "mps"
    device_name: str  # as the vendor calls it
    shared: int | None = None  # parameters that all tasks share: no private head; not told by older runs
    left_out: int = 0  # classes of the data set that are in no task, as they do not come out even; later than `shared`


@dataclass(frozen=True, kw_only=True)
class TaskStarted:
    """Training on a task begins. `steps` counts all optimiser steps of the task."""

    task: int
    class_names: tuple[str, ...]
    train_examples: int
    evaluation_examples: int
    epochs: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """Training after `step` of `steps` optimiser steps: means since the previous event of this kind."""

    task: int
    epoch: int
    step: int
    steps: int
    loss: float
    learning_rate: float
    ramp: float  # 0..1, how far SDP's pull has grown; 0 for dense methods
    density: float  # kept fraction of the prunable weights in today's mask; 1 for dense methods
    flips: int  # mask entries that changed at the last update of the mask
    doomed_share: float  # share of theta^2 that the cut would remove now
    selection_ratio: float | None  # second moment under IDS over that of random selection; null where not measured
    selection_open: bool  # whether the variance gate lets IDS choose the training instances
    layer_density: tuple[float, ...] | None = None  # kept fraction of each prunable weight; null where not told


@dataclass(frozen=True, kw_only=True)
class SharpnessEstimated:
    """How sharp the loss is after `step` steps of a task, estimated from `examples` instances that IDS chose.

    `restricted`: lambda_max is that of the Hessian on the survivors of today's mask, at them: nothing else is trained.
    """

    task: int
    step: int
    restricted: bool
    lambda_max: float | None  # null where it is not finite
    curvature_term: float | None  # d'Hd / 2 of the cut that today's mask would make; null where it would move nothing
    examples: int
    products: int  # Hessian-vector products spent
    converged: bool


@dataclass(frozen=True, kw_only=True)
class Analysing:
    """A stage between training steps that takes a while: `done` of `total` units of `stage` are over."""

    task: int
    stage: str  # "landscape" | "curvature" | "sparsity" | "anchors" | ...
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Selected:
    """IDS chose `kept` of `pool` instances; the details are in the array `array`."""

    task: int
    purpose: str  # "landscape"
    score: str
    fraction: float
    pool: int
    kept: int
    array: str


@dataclass(frozen=True, kw_only=True)
class CurvatureMeasured:
    """Top Hessian eigenvalues at a point; `restricted`: of the Hessian restricted to the survivors."""

    task: int
    point: str  # "dense" | "pruned" | "end", where sparse steps after the cut have come to
    restricted: bool
    engine: str  # "lanczos" | "pyhessian"
    top_eigenvalues: tuple[float, ...]  # descending
    residuals: tuple[float, ...]  # |Hv - lambda v| of each
    products: int  # Hessian-vector products spent
    converged: bool
    network_norm: float  # |theta| over the parameters that H is over
    relative_sharpness: float  # lambda_max * |theta|^2
    examples: int  # how many instances the mean loss is over
    fraction: float  # share of the pool that IDS kept; 1 = the whole pool


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """The one-shot cut of a task: what it removed, and the loss rise five ways (nats, mean over the pool)."""

    task: int
    sparsity: float
    dense_accuracy: float
    pruned_accuracy: float
    actual_rise: float
    taylor: float | None  # g'd + d'Hd / 2
    path_integral: float | None  # 4 Gauss-Legendre nodes
    lambda_bound: float | None  # g'd + sup lambda_max |d|^2 / 2
    displacement_norm: float
    network_norm: float
    removed_share: float  # share of theta^2
    flips: int  # mask flips over the whole task
    estimate_taylor: float | None  # the same from the instances that IDS chose
    estimate_lambda_max: float | None
    full_lambda_max: float | None
    output_bound: float | None = None  # from derivatives of the outputs at theta alone (`curvature.output_bound`)


@dataclass(frozen=True, kw_only=True)
class StatisticsRefreshed:
    """BatchNorm's running statistics, those of the dense network at the cut, were recomputed for the pruned one.

    `Pruned` is about the cut alone, before this; every later `Evaluated` is after it.
    """

    task: int
    examples: int  # training images of the task that passed through; no label was used
    accuracy_before: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Accuracy and loss on task `on` after learning task `after`; `after=-1` is the untrained network."""

    after: int
    on: int
    accuracy: float
    loss: float
    accuracy_task: float | None  # class-IL: the same logits with the task known; null elsewhere
    examples: int


@dataclass(frozen=True, kw_only=True)
class CostCounted:
    """Cumulative costs after a task: counted FLOPs, examples, bytes of what is kept.

    The bill, `*_flops` from `fresh_forward_flops` on, sums to `train_flops`; null where it is not known: runs from
    before there were bills have none. `layer_flops` are those of `layer_names`, without Hessian-vector products.
    """

    task: int
    train_flops: float
    train_flops_dense_sgd: float
    train_flops_published_rule: float
    analysis_flops: float
    examples_forward: int
    examples_backward: int
    weights_bytes: int
    masks_bytes: int
    anchors_bytes: int
    buffer_bytes: int
    optimiser_bytes: int
    activations_bytes: int
    fresh_forward_flops: float | None = None
    fresh_backward_flops: float | None = None
    replay_flops: float | None = None  # forward and backward of what the buffer brings
    scoring_flops: float | None = None  # forward passes without a backward one: IDS
    fisher_flops: float | None = None  # gradients of the consolidation
    other_flops: float | None = None
    layer_names: tuple[str, ...] = ()
    layer_flops: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TaskFinished:
    """A task is learned, pruned, consolidated and evaluated."""

    task: int
    density: float  # of the network after the cut, over the prunable weights


@dataclass(frozen=True, kw_only=True)
class ArrayRecorded:
    """Named arrays, kept as `arrays/NAME.npz`; equality is by name and digest."""

    name: str
    digest: str = ""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", _digest(self.arrays))


@dataclass(frozen=True, kw_only=True)
class CheckpointReady:
    """The state to go on from, after `epoch` epochs of task `task`; consumed by the store, never a line.

    `tensors` maps names to numpy arrays; `counters` is what JSON can hold.
    """

    task: int
    epoch: int
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    counters: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """Work goes on and nothing is to be told: a moment in which it can be stopped; never a line."""


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """The user stopped the run; what was done is kept."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The run cannot go on: one line for the reader, with what to do."""

    error: str


@dataclass(frozen=True, kw_only=True)
class RunFinished:
    """The last event of a run that did all it was asked for."""


Event = (
    Loading | RunStarted | TaskStarted | Stepped | Analysing | Selected | CurvatureMeasured | Pruned | Evaluated
    | CostCounted | TaskFinished | ArrayRecorded | CheckpointReady | Pulse | Cancelled | Failed | RunFinished
    | StatisticsRefreshed | SharpnessEstimated
)
EVENTS: dict[str, type] = {kind.__name__: kind for kind in typing.get_args(Event) if kind is not Pulse}


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.str}:{array.shape}:".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
