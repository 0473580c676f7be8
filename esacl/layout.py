"""How the state of a run is laid out: which tensors of which shapes and types a checkpoint holds, and which counters.

A checkpoint may come from a stranger. Its file holds no more numbers than it has bytes (`checkpoints`); here each of
them is held against the network, the data and the method of the config before one is used.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from esacl.config import RunConfig
from esacl.events import CheckpointReady

if TYPE_CHECKING:  # torch is loaded where a checkpoint is looked at
    from esacl.training import Learner

Like = tuple[tuple[int, ...], np.dtype[Any]]  # shape and type

_COUNTERS = {"flips": int, "total_flips": int, "buffer_seen": int, "anchors_bytes": int, "ledger": dict}
_MOST = 2**53  # what is counted


def problems(config: RunConfig, state: CheckpointReady, data: Path | None) -> Iterator[str]:
    """What of a checkpoint does not fit the run, a line each; nothing where it does.

    Args:
        config: of the run.
        state: the checkpoint.
        data: where the data sets are.
    """
    import torch

    from esacl.networks import build
    from esacl.pipeline import learner_of
    from esacl.tasks import task_stream

    last = config.epochs if state.task < config.tasks else 0
    if not (0 <= state.task <= config.tasks and 0 <= state.epoch <= last):
        yield f"it stands after epoch {state.epoch} of task {state.task}"
        return
    yield from _counter_problems(state.counters)
    stream = task_stream(config, data)
    learner = learner_of(config, stream, build(config, stream), torch.device("cpu"))
    examples = sum(len(task.train) for task in stream[: state.task + 1][0 if learner.joint else -1 :]) if last else 0
    wanted = _wanted(learner, state, examples)
    yield from _unwanted(state.tensors, wanted, learner)
    for key, like in wanted.items():
        if key not in state.tensors:
            yield f"it holds no {key:.80}"
        else:
            yield from _tensor_problems(key, state.tensors[key], like)
    buffer = _below(state.tensors, "buffer")
    if buffer:
        yield from _buffer_problems(buffer, config, stream.input_shape, stream.outputs)
        held, seen = np.size(buffer.get("targets", ())), state.counters.get("buffer_seen")
        if isinstance(seen, int) and held > seen:
            yield f"its buffer holds {held} of {seen} examples"
    elif _rehearses(learner, state):
        yield "its buffer is empty"


def _wanted(learner: "Learner", state: CheckpointReady, examples: int) -> dict[str, Like]:
    """What must be there, by what a learner that stands at that place would write."""
    from esacl.schedule import Schedule

    config, inside = learner.config, state.epoch > 0
    tensors: dict[str, Any] = {f"network/{n}": p for n, p in learner.network.named_parameters()}
    tensors |= {f"statistics/{n}": t for n, t in learner.statistics.state().items()}
    tensors |= {f"between/{n}": t for n, t in learner.preparing.between().items()}
    schedule = Schedule.of(config, examples)
    settled = inside and state.epoch * (schedule.steps // config.epochs) > schedule.cut_step
    if inside:
        learner.preparing.begin(state.task, schedule)
        learner.removal.begin(examples)
        tensors |= {f"momentum/{n}": learner.parameters[n] for n in _moving(learner, state.task)}
        tensors |= {f"removal/{n}": t for n, t in learner.removal.tensors().items()}
        tensors |= {} if settled else {f"form/{n}": t for n, t in learner.preparing.tensors().items()}
    if learner.contrast is not None:
        if inside:
            learner.contrast.begin(state.task)
        tensors |= {f"contrast/{n}": t for n, t in learner.contrast.tensors(inside=inside).items()}
    done = state.task > 0 and not (learner.joint and state.task < config.tasks)
    if config.sparsity > 0 and (done or settled):
        tensors |= {f"cut/{n}": w.bool() for n, w in learner.weights.items()}
    if learner.anchors is not None and state.task > 0:
        kinds = ("importance", "solution") if learner.anchors.strength > 0 else ("solution",) if learner.distils else ()
        tensors |= {f"anchors/{kind}/{n}": learner.parameters[n] for kind in kinds for n in learner.shared}
    return {key: (tuple(t.shape), np.dtype(str(t.dtype).removeprefix("torch."))) for key, t in tensors.items()}


def _moving(learner: "Learner", task: int) -> Iterator[str]:
    """The parameters that have a momentum inside a task."""
    if not learner.config.momentum:
        return
    for name in learner.parameters:
        frozen = learner.freezes_rest and task > 0 and name in learner.shared and name not in learner.weights
        if not frozen and not (learner.contrast is not None and name.startswith("head.")):
            yield name


def _rehearses(learner: "Learner", state: CheckpointReady) -> bool:
    begun = state.task > 0 or (learner.offers_steps and state.epoch > 0)
    return learner.config.buffer.size > 0 and not learner.joint and begun


def _unwanted(tensors: Mapping[str, np.ndarray], wanted: Mapping[str, Like], learner: "Learner") -> Iterator[str]:
    """What is there and belongs nowhere; statistics that tasks keep are like the network's."""
    for key, tensor in tensors.items():
        if key in wanted or key.startswith("buffer/"):
            continue
        group, _, rest = key.partition("/")
        task, _, name = rest.partition("/")
        like = wanted.get(f"statistics/network/{name}")
        if group != "statistics" or like is None or not (task.isdecimal() and int(task[:9]) < learner.config.tasks):
            yield f"it holds {key:.80}, which this run has not"
        elif learner.config.batchnorm.statistics == "task":
            yield from _tensor_problems(key, tensor, like)


def _below(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{prefix}/"): one for key, one in tensors.items() if key.startswith(f"{prefix}/")}


def _tensor_problems(key: str, tensor: np.ndarray, like: Like) -> Iterator[str]:
    shape, kind = like
    if tensor.shape != shape and not (shape == () and tensor.shape == (1,)):  # a file may make a number a vector of one
        yield f"{key:.80} has shape {tensor.shape} and the network has {shape}"
    elif tensor.dtype != kind:
        yield f"{key:.80} is of {tensor.dtype}, not of {kind}"
    elif kind.kind == "f" and not np.isfinite(tensor).all():
        yield f"{key:.80} is not finite"


def _buffer_problems(
    kept: Mapping[str, np.ndarray], config: RunConfig, image: tuple[int, ...], outputs: int
) -> Iterator[str]:
    none = np.zeros(0)
    images, targets = kept.get("codes", kept.get("inputs", none)), kept.get("targets", none)
    n = len(targets) if targets.ndim == 1 else -1
    wanted = {"inputs": (n, *image), "targets": (n,)}
    if "codes" in kept:
        values = kept.get("palette", none).shape[-1:]
        wanted |= {"codes": wanted.pop("inputs"), "palette": (image[0], *values)}
    if config.buffer.rehearsal == "dark":
        wanted["logits"] = (n, outputs)
    if n > config.buffer.size or {name: one.shape for name, one in kept.items()} != wanted:
        yield f"its buffer holds {', '.join(f'{name} {one.shape}' for name, one in kept.items())[:120]}"
    elif not len(images) == n > 0 or targets.dtype != np.int64 or targets.min() < 0 or targets.max() >= outputs:
        yield "its buffer holds labels that are none"
    elif any(not _numbers(kept[name]) for name in ("inputs", "logits") if name in kept):
        yield "its buffer holds numbers that are not float32, or not finite"
    elif "codes" in kept and not _known_codes(kept["codes"], kept["palette"]):
        yield "its buffer holds images of values that are none"


def _numbers(values: np.ndarray) -> bool:
    return values.dtype == np.float32 and bool(np.isfinite(values).all())


def _known_codes(codes: np.ndarray, palette: np.ndarray) -> bool:
    """Whether every code (n, c, ...) stands for a value of its channel in the palette (c, k), as `Indexed` has it."""
    from esacl.indexed import WIDEST

    kind = np.uint8 if palette.shape[1] <= 256 else np.int16
    if codes.dtype != kind or palette.dtype != np.float32 or palette.shape[1] > WIDEST:
        return False
    counts = np.isfinite(palette).cumprod(axis=1).sum(axis=1)  # the values before what fills the rows up
    ascending = all(bool((np.diff(row[:count]) > 0).all()) for row, count in zip(palette, counts))
    return ascending and all(one.min() >= 0 and one.max() < count for one, count in zip(codes.swapaxes(0, 1), counts))


def _counter_problems(counters: Mapping[str, Any]) -> Iterator[str]:
    for name, kind in _COUNTERS.items():
        value = counters.get(name)
        if type(value) is not kind or (isinstance(value, int) and not 0 <= value < _MOST):
            yield f"its counter {name} is {value!r:.40}"
    ratio = counters.get("gate_ratio")
    if ratio is not None and not (isinstance(ratio, (int, float)) and abs(ratio) < _MOST):
        yield f"its counter gate_ratio is {ratio!r:.40}"
