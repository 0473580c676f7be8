"""What a device takes for the pieces of a run: `TIMINGS`, name -> time(device, quick), in seconds or bytes.

Steps and curvature are timed at the sizes of MNIST, on made-up images, so that no data set is needed.
"""

import atexit
import gzip
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.device_place import OFF, Seen
from benchmarks.once import measure
from esacl import networks
from esacl.config import NETWORK_NAMES, RunConfig
from esacl.curvature import hessian, top_eigenpairs
from esacl.datasets import mnist_folder
from esacl.events import Event, Stepped, TaskFinished, TaskStarted
from esacl.footprint import peak_bytes
from esacl.landscape import random_direction, slice_2d
from esacl.pipeline import run
from esacl.selection import score, select
from esacl.stages import stage_of
from esacl.tasks import task_stream

IMAGES = {"train": ("train", 6000), "test": ("t10k", 500)}


def steps(device: torch.device, quick: bool) -> Seen:
    """Milliseconds of an optimiser step: method x network x batch, whole pipeline included."""
    cases: list[tuple[str, str, int]] = [("finetune", "mlp", 64), ("esacl", "mlp", 64), ("esacl", "small-cnn", 64)]
    cases += [] if quick else [("finetune", "mlp", 512), ("esacl", "mlp", 512), ("esacl", "small-cnn", 512)]
    found: Seen = {}
    for method, network, batch in cases:
        config = _config(device, method=method, network=network, batch_size=batch, curvature=OFF)
        _step_time(config.model_copy(update={"train_limit": batch}), device)  # warm-up: kernels are loaded or compiled
        size = {"train_limit": 4 * batch} if quick or device.type == "cpu" else {"epochs": 10}
        per_step = _step_time(config.model_copy(update=size), device)
        found[f"{method}, {network}, batch {batch}"] = round(1e3 * per_step, 3)
    return found


def curvature(device: torch.device, quick: bool) -> Seen:
    """Hessian-vector products, Lanczos, slices and choices on 784-400-400, the small CNN and ResNet-18."""
    # ResNet-18 takes many minutes on a CPU.
    names = [name for name in NETWORK_NAMES if quick or device.type != "cpu" or name != "resnet18"]
    return {name: _curvature_of(name, device, quick) for name in names}


def _curvature_of(name: str, device: torch.device, quick: bool) -> Seen:
    config = _config(device, network=name)
    stream = task_stream(config, _images())
    network = networks.build(config, stream).to(device)
    stage = stage_of(config, stream, 0, device, joint=False)
    pool = stage.examples.take(torch.arange(64 if quick or name != "mlp" else 1000, device=device))
    data = (pool.inputs, pool.targets)
    operator = hessian(network, stage.criterion, data)
    vector = torch.randn(operator.shape[0], device=device)
    x, y = random_direction(network, 1), random_direction(network, 2)
    points = 5 if quick else 25
    plane = partial(slice_2d, network, stage.criterion, data, x, y, points=points)
    times = {
        "product_ms": seconds_of(partial(operator.__matmul__, vector), device, 3),
        "top3_ms": seconds_of(lambda: top_eigenpairs(hessian(network, stage.criterion, data), 3), device, 1),
        f"plane_{points}x{points}_ms": seconds_of(plane, device, 1),
        "choose_ms": seconds_of(lambda: _choose(network, stage), device, 3),
    }
    return {"pool": len(pool), **{key: round(1e3 * value, 3) for key, value in times.items()}}


def default_run(device: torch.device, quick: bool) -> Seen:
    """The default run, split-digits with all analyses, from the first event of training to its end."""
    limits = {"tasks": 2, "epochs": 2} if quick else {}
    return _whole(RunConfig(device=str(device), threads=1, **limits), None, device)


def mnist_run(device: torch.device, quick: bool, data: Path | None = None) -> Seen:
    """split-mnist at 95% without analyses, where MNIST is on this machine."""
    if mnist_folder(data) is None:
        return {"skipped": "MNIST is not here; name its folder by --data"}
    limits: dict[str, Any] = {"tasks": 2, "epochs": 1, "train_limit": 200} if quick else {}
    config = RunConfig(benchmark="split-mnist", sparsity=0.95, curvature=OFF, device=str(device), threads=1, **limits)
    return _whole(config, data, device)


TIMINGS: dict[str, Callable[[torch.device, bool], Seen]] = {
    "steps": steps, "curvature": curvature, "default run": default_run,
}  # fmt: skip


def _whole(config: RunConfig, data: Path | None, device: torch.device) -> Seen:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    return {**measure(config, data), "peak_bytes": peak_bytes(device)}


def _step_time(config: RunConfig, device: torch.device) -> float:
    """Seconds a step on one task: between reports that nothing else comes between, a cut and what it measures, say."""
    return step_seconds(run(config, data=_images()), device)


def step_seconds(events: Iterable[Event], device: torch.device, *, task: int = 0, after: float = 0.0) -> float:
    """Seconds a step of `task`, waited for, from the share `after` of its steps on; the run goes no further."""
    seconds, steps, before = 0.0, 0, None
    now, here = -1, 0.0
    for event in events:
        wait(device)
        here, earlier = time.perf_counter(), here
        if isinstance(event, TaskStarted):
            now = event.task
        if isinstance(event, TaskFinished) and now == task:
            break
        if isinstance(event, Stepped) and now == task:
            if before is not None and event.step > after * event.steps:
                seconds, steps = seconds + here - earlier, steps + event.step - before
            before = event.step
        else:
            before = None
    return seconds / max(1, steps)


def seconds_of(work: Callable[[], object], device: torch.device, times: int) -> float:
    """Seconds of one call, waited for: the best of `times`, after one that warms up."""
    found = []
    for _ in range(times + 1):
        with _clock(device) as seconds:
            work()
        found.append(seconds[0])
    return min(found[1:])


@contextmanager
def _clock(device: torch.device) -> Iterator[list[float]]:
    seconds = [0.0]
    wait(device)
    begin = time.perf_counter()
    yield seconds
    wait(device)
    seconds[0] = time.perf_counter() - begin


def wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@torch.no_grad()
def _choose(network: networks.Network, stage: Any) -> None:
    seen = networks.features(network, stage.examples.inputs)
    logits = stage.criterion.logits(network.head(seen), stage.examples.targets)
    select(score("ggn-trace", logits, stage.examples.targets, seen), 0.1, 0)


def _config(device: torch.device, **settings: Any) -> RunConfig:
    return RunConfig(benchmark="split-mnist", tasks=1, epochs=1, threads=1, device=str(device), **settings)


@cache
def _images() -> Path:
    """A folder with MNIST's files, holding blurred made-up images of ten classes."""
    home = tempfile.TemporaryDirectory(prefix="esacl-images-")
    atexit.register(home.cleanup)
    folder = Path(home.name)
    generator = np.random.default_rng(0)
    means = generator.integers(0, 256, (10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    for prefix, n in IMAGES.values():
        labels = np.arange(n) % 10
        pixels = np.clip(means[labels] + generator.normal(0, 60, (n, 28, 28)), 0, 255)
        _write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", pixels)
        _write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


def _write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), 1))
