"""How the state of a run is laid out: which tensors of which shapes and types a checkpoint holds, and which counters.

A checkpoint may come from a stranger. Its file holds no more numbers than it has bytes (`checkpoints`); here each of
them is held against the network, the data and the method of the config before one is used.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from esacl.config import RunConfig
from esacl.events import CheckpointReady

Groups = Mapping[str, Mapping[str, np.ndarray]]

Kind = np.dtype[Any]

_BOOL, _FLOAT = np.dtype(bool), np.dtype(np.float32)
# What is kept of each parameter, by the names under which it lies: all that are shared, or all that can be pruned.
_OF_SHARED: dict[str, Kind] = {"anchors/importance": _FLOAT, "anchors/solution": _FLOAT}
_OF_PRUNABLE: dict[str, Kind] = {
    "cut": _BOOL,
    "between/mask": _BOOL,
    "between/owner": np.dtype(np.uint8),
    "form/mask": _BOOL,
    "form/updating": _BOOL,
    "form/rank": np.dtype(np.int32),
    "form/dual": _FLOAT,
    "form/moment": _FLOAT,
    "form/target": _FLOAT,
}
_COUNTERS = {"flips": int, "total_flips": int, "buffer_seen": int, "anchors_bytes": int, "ledger": dict}
_MOST = 2**53  # what is counted


def problems(config: RunConfig, state: CheckpointReady, data: Path | None) -> Iterator[str]:
    """What of a checkpoint does not fit the run, a line each; nothing where it does.

    Args:
        config: of the run.
        state: the checkpoint.
        data: where the data sets are.
    """
    from esacl.networks import build, private_names, prunable_in
    from esacl.tasks import task_stream

    last = config.epochs if state.task < config.tasks else 0
    if not (0 <= state.task <= config.tasks and 0 <= state.epoch <= last):
        yield f"it stands after epoch {state.epoch} of task {state.task}"
        return
    yield from _counter_problems(state.counters)
    stream = task_stream(config, data)
    network = build(config, stream)
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    private = private_names(network, config.scenario)
    groups: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in state.tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = tensor
    yield from _network_problems(groups, shapes)
    shared, prunable = {name for name in shapes if name not in private}, {*prunable_in(config, network)}
    for kinds, names in ((_OF_SHARED, shared), (_OF_PRUNABLE, prunable)):
        for prefix, kind in kinds.items():
            like = {name: shapes[name] for name in names}
            yield from _parameter_problems(prefix, _below(state.tensors, prefix), like, kind)
    if "buffer" in groups:
        yield from _buffer_problems(groups["buffer"], config, stream.input_shape, stream.outputs)
        held, seen = np.size(groups["buffer"].get("targets", ())), state.counters.get("buffer_seen")
        if isinstance(seen, int) and held > seen:
            yield f"its buffer holds {held} of {seen} examples"
    if "removal" in groups:
        yield from _removal_problems(groups["removal"], len(stream[state.task].train) if last else 0)


def _below(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{prefix}/"): one for key, one in tensors.items() if key.startswith(f"{prefix}/")}


def _network_problems(groups: Groups, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """The parameters, and the momentum of those that have one, a method's own beside the network's included."""
    network = groups.get("network", {})
    if network.keys() != shapes.keys():
        odd = sorted(network.keys() ^ shapes.keys())
        yield f"its network has other parameters ({', '.join(odd)[:80]})"
    own = {f"projection.{k.removeprefix('own/')}": v.shape for k, v in groups.get("contrast", {}).items()}
    for group, known in (("network", shapes), ("momentum", own | dict(shapes))):
        for name, tensor in groups.get(group, {}).items():
            yield from _tensor_problems(f"{group}/{name}", tensor, known.get(name), _FLOAT)


def _parameter_problems(
    prefix: str, found: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], kind: Kind
) -> Iterator[str]:
    """Of each of these parameters one tensor like it, or of none."""
    if found and found.keys() != shapes.keys():
        yield f"it holds {prefix} of other parameters ({', '.join(sorted(found.keys() ^ shapes.keys()))[:80]})"
    for name, tensor in found.items():
        yield from _tensor_problems(f"{prefix}/{name}", tensor, shapes.get(name), kind)


def _tensor_problems(key: str, tensor: np.ndarray, shape: tuple[int, ...] | None, kind: Kind) -> Iterator[str]:
    if shape is not None and tensor.shape != shape:
        yield f"{key:.80} has shape {tensor.shape} and the network has {shape}"
    elif tensor.dtype != kind:
        yield f"{key:.80} is of {tensor.dtype}, not of {kind}"
    elif kind == _FLOAT and not np.isfinite(tensor).all():
        yield f"{key:.80} is not finite"


def _removal_problems(kept: Mapping[str, np.ndarray], examples: int) -> Iterator[str]:
    wanted = {"left": ((examples,), "bool"), "mistakes": ((examples,), "int64")}
    found = {name: (one.shape, str(one.dtype)) for name, one in kept.items()}
    if found != wanted:
        yield f"its removal of examples holds {', '.join(f'{name} {one}' for name, one in found.items())[:120]}"


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
    if ratio is not None and not (isinstance(ratio, (int, float)) and math.isfinite(ratio)):
        yield f"its counter gate_ratio is {ratio!r:.40}"
