"""What a run goes on from: whether the checkpoint fits it, and how exactly the rest will be what it would have been.

A checkpoint may come from a stranger. Its file holds no more numbers than it has bytes (`checkpoints`); here every
shape is held against the network of the config before one of them is used.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from esacl import machine
from esacl.checkpoints import file_name
from esacl.config import RunConfig
from esacl.errors import RunUnreadable
from esacl.events import CheckpointReady, Event, RunStarted
from esacl.ranks import count_of

_CURE = "delete it; resume then goes on from an earlier checkpoint, or from the beginning"
# Groups of a checkpoint whose tensors belong each to the parameter that they are named after.
_OF_PARAMETERS = ("network", "momentum", "form", "anchors", "cut", "between")
_COUNTERS = {"flips": int, "total_flips": int, "buffer_seen": int, "anchors_bytes": int, "ledger": dict}
_LOADERS = {"load", "load_between"}


def fitting(events: Iterator[Event], config: RunConfig, state: CheckpointReady, data: Path | None) -> Iterator[Event]:
    """The events of a run that goes on from `state`, once it is sure that the state is one of this run.

    Raises:
        RunUnreadable: the checkpoint does not fit the run's config; names the file and the cure.
    """
    with loading(config, state, data):
        yield from events


@contextlib.contextmanager
def loading(config: RunConfig, state: CheckpointReady, data: Path | None) -> Iterator[None]:
    """A block in which `state` is loaded: what will not be loaded is told as a damaged checkpoint.

    Raises:
        RunUnreadable: the checkpoint does not fit the run's config; names the file and the cure.
    """
    problem = next(_problems(config, state, data), None)
    if problem is not None:
        raise RunUnreadable(f"checkpoints/{file_name(state)} does not fit this run: {problem}; {_CURE}")
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if not _while_loading(error):
            raise
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise RunUnreadable(f"checkpoints/{file_name(state)} does not fit this run: {cause}; {_CURE}") from None


def exactness(before: Mapping[str, Any], started: RunStarted | None, device: str) -> str:
    """How exactly a resumed run ends where an undisturbed one does, in one line.

    Args:
        before: the `machine.json` of the run so far: of every machine that has worked on it.
        started: its `RunStarted`, if it came to that.
        device: where it goes on.
    """
    was = started.device if started else device
    if was.partition(":")[0] != device.partition(":")[0]:
        return f"it was on {was} and goes on on {device}: the rest is as good, and its numbers differ by rounding"
    moved = list(dict.fromkeys(change for one in machine.stretches(before) for change in _changes(one, device)))
    if moved:
        return f"{' and '.join(moved)}: the rest may differ by rounding from that of an undisturbed run"
    if device == "cpu":
        return "on the cpu every event and every weight will be that of an undisturbed run, bit for bit"
    return f"on {device} the rest is exact up to the order in which the device adds numbers, which it may choose anew"


def _changes(before: Mapping[str, Any], device: str) -> Iterator[str]:
    """What is another now than it was for a stretch of the run, where numbers may come of it."""
    now = machine.facts()
    said = (before.get(name) for name in ("versions", "hardware"))
    versions, hardware = (part if isinstance(part, dict) else {} for part in said)
    for name in ("torch", "numpy"):
        if versions.get(name) not in (None, now["versions"][name]):
            yield f"{name} {versions[name]} has become {now['versions'][name]}"
    if hardware.get("cpu") not in (None, now["hardware"]["cpu"]):
        yield f"the processor {hardware['cpu']} has become {now['hardware']['cpu']}"
    gpus, own = hardware.get("gpus"), now["hardware"].get("gpus")
    if device.startswith("cuda") and isinstance(gpus, list) and own and gpus != own:
        yield f"the GPU {' + '.join(map(str, gpus))} has become {' + '.join(own)}"
    then, count = count_of(hardware), count_of(now["hardware"])
    if then != count:
        yield f"a run by {_processes(then)} has become one by {_processes(count)}"


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _problems(config: RunConfig, state: CheckpointReady, data: Path | None) -> Iterator[str]:
    from esacl.networks import build
    from esacl.tasks import task_stream

    last = config.epochs if state.task < config.tasks else 0
    if not (0 <= state.task <= config.tasks and 0 <= state.epoch <= last):
        yield f"it stands after epoch {state.epoch} of task {state.task}"
        return
    yield from _counter_problems(state.counters)
    stream = task_stream(config, data)
    shapes = {name: tuple(p.shape) for name, p in build(config, stream).named_parameters()}
    groups: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in state.tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = tensor
        parameter = key.rpartition("/")[2]
        if group in _OF_PARAMETERS and parameter in shapes and tensor.shape != shapes[parameter]:
            yield f"{key:.80} has shape {tensor.shape} and the network has {shapes[parameter]}"
    network = groups.get("network", {})
    if network.keys() != shapes.keys():
        odd = sorted(network.keys() ^ shapes.keys())
        yield f"its network has other parameters ({', '.join(odd)[:80]})"
    yield from (f"network/{name} is not finite" for name, one in network.items() if not np.isfinite(one).all())
    if "buffer" in groups:
        yield from _buffer_problems(groups["buffer"], config, stream.input_shape, stream.outputs)


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
        if type(counters.get(name)) is not kind:
            yield f"its counter {name} is {counters.get(name)!r:.40}"
    ratio = counters.get("gate_ratio")
    if ratio is not None and not (isinstance(ratio, (int, float)) and math.isfinite(ratio)):
        yield f"its counter gate_ratio is {ratio!r:.40}"


def _while_loading(error: Exception) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name in _LOADERS and "esacl" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False
