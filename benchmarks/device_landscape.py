"""ResNet-18's landscape on a device: a 51x51 grid and the top-5 eigenvalues, as TFLOP/s and as a share of its peak."""

import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.device_place import Seen
from benchmarks.device_timings import wait
from benchmarks.resnet import WIDTH, ResNet18
from esacl.curvature import hessian, top_eigenpairs
from esacl.devices import device_name
from esacl.errors import InputError
from esacl.landscape import random_direction, slice_2d
from esacl.seeds import numpy_generator

IMAGES = 512
BATCH = 128
CIFAR = ("cifar-10-batches-py/data_batch_1", "data_batch_1")
# Dense TFLOP/s of NVIDIA's data sheets, by the card's own name: in float32, and with TF32 where it has tensor cores
# for that. Convolutions take TF32 unless `torch.backends.cudnn.allow_tf32` is off.
PEAKS: dict[str, tuple[float, float | None]] = {
    "NVIDIA H200": (67.0, 494.7),
    "NVIDIA H200 NVL": (60.0, 417.5),
    "NVIDIA H100 80GB HBM3": (67.0, 494.7),
    "NVIDIA H100 NVL": (60.0, 417.5),
    "NVIDIA H100 PCIe": (51.0, 378.0),
    "NVIDIA A100-SXM4-40GB": (19.5, 156.0),
    "NVIDIA A100-SXM4-80GB": (19.5, 156.0),
    "NVIDIA A100-PCIE-40GB": (19.5, 156.0),
    "NVIDIA A100 80GB PCIe": (19.5, 156.0),
    "NVIDIA L40S": (91.6, 183.0),
    "NVIDIA L4": (30.3, 60.0),
    "NVIDIA A10": (31.2, 62.5),
    "NVIDIA GeForce RTX 4090": (82.6, 82.6),
    "NVIDIA GeForce RTX 3090": (35.6, 35.6),
    "Tesla V100-SXM2-16GB": (15.7, None),
    "Tesla V100-SXM2-32GB": (15.7, None),
    "Tesla T4": (8.1, None),
}


def resnet_landscape(device: torch.device, quick: bool, data: Path | None = None) -> Seen:
    """Seconds, TFLOP/s and share of the card's peak of a grid and of the top-5 eigenvalues; BatchNorm in eval.

    FLOPs are those of convolutions and matrix products, counted once on the same work: a forward pass for each cell
    that was computed, and a Hessian-vector product.
    """
    if device.type == "cpu" and not quick:
        return {"skipped": "hours on a CPU; --quick proves the code"}
    count, side, width, points = (16, 16, 4, 5) if quick else (IMAGES, 32, WIDTH, 51)
    source, images, labels = _images(count, side, data)
    inputs, targets = images.to(device), labels.to(device)
    network = _settled(ResNet18(width=width).to(device), inputs, targets, steps=3 if quick else 60)
    x, y = random_direction(network, 1), random_direction(network, 2)
    operator = hessian(network, cross_entropy, (inputs, targets))
    vector = torch.ones(operator.shape[0], device=device)
    forward = _flops(lambda: _forward(network, inputs))
    _ = operator @ vector  # builds what later products find built
    product = _flops(lambda: operator @ vector)
    plane, plane_s = _timed(
        lambda: slice_2d(network, cross_entropy, (inputs, targets), x, y, points=points), device
    )
    before = operator.products
    pairs, pairs_s = _timed(lambda: top_eigenpairs(operator, 5), device)
    spent = operator.products - before
    name, tf32 = device_name(device), device.type == "cuda" and torch.backends.cudnn.allow_tf32
    peak = peak_of(name, tf32=tf32)
    return {
        "images": f"{count} {source}",
        "parameters": operator.shape[0],
        "tf32": tf32,
        "peak_tflops": peak if peak is not None else f"unknown for {name}",
        f"grid_{points}x{points}": {
            "engine": plane.engine, "evaluations": plane.evaluations,
            **_rate(forward * plane.evaluations, plane_s, peak),
        },
        "top5": {
            "values": pairs.values.tolist(), "products": spent, "converged": pairs.converged,
            **_rate(product * spent, pairs_s, peak),
        },
    }  # fmt: skip


def peak_of(name: str, *, tf32: bool) -> float | None:
    """Dense TFLOP/s of a card; None where this table does not know it."""
    single, tensor = PEAKS.get(name, (None, None))
    return tensor if tf32 and tensor is not None else single


def read_cifar(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images (n, 3, 32, 32) uint8 and labels (n,) of a batch of CIFAR-10's Python version.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).

    Raises:
        InputError: a file that is no such batch.
    """
    try:
        with path.open("rb") as file:
            batch = _Unpickler(file, encoding="bytes").load()
        pixels = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(batch[b"labels"], dtype=np.int64)
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no batch of CIFAR-10 ({error}); put the Python version there") from None
    return pixels[:count], labels[:count]


class _Unpickler(pickle.Unpickler):
    """Builds arrays and nothing else: a pickle could run anything."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"_reconstruct", "ndarray", "dtype", "encode"}
        if module.partition(".")[0] in ("numpy", "_codecs") and name in known:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _images(count: int, side: int, data: Path | None) -> tuple[str, Tensor, Tensor]:
    """(what they are, images (n, 3, side, side), labels): CIFAR-10's where its folder is, else made up."""
    found = [data / name for name in CIFAR if data is not None and (data / name).is_file()]
    if found and side == 32:
        pixels, labels = read_cifar(found[0], count)
        source = "of CIFAR-10"
    else:
        generator = numpy_generator(0, "images")
        labels = np.arange(count) % 10
        means = generator.integers(0, 256, (10, 3, side // 4, side // 4)).repeat(4, axis=2).repeat(4, axis=3)
        pixels = np.clip(means[labels] + generator.normal(0, 60, (count, 3, side, side)), 0, 255).astype(np.uint8)
        source = "made-up ones of CIFAR's shape"
    inputs = torch.from_numpy(pixels.astype(np.float32) / 255)
    return source, (inputs - inputs.mean()) / inputs.std(), torch.from_numpy(labels.astype(np.int64))


def _settled(network: nn.Module, inputs: Tensor, targets: Tensor, steps: int) -> nn.Module:
    """The network after some steps, so that its BatchNorm statistics are those of the images; in eval mode."""
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    starts = math.ceil(len(inputs) / BATCH)
    for step in range(steps):
        rows = slice(step % starts * BATCH, (step % starts + 1) * BATCH)
        optimiser.zero_grad()
        cross_entropy(network(inputs[rows]), targets[rows]).backward()
        optimiser.step()
    return network.eval()


@torch.no_grad()
def _forward(network: nn.Module, inputs: Tensor) -> None:
    for part in inputs.split(BATCH):
        network(part)


def _flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _timed(work: Callable[[], Any], device: torch.device) -> tuple[Any, float]:
    wait(device)
    begin = time.perf_counter()
    result = work()
    wait(device)
    return result, time.perf_counter() - begin


def _rate(flops: float, seconds: float, peak: float | None) -> Seen:
    """What a piece of work comes to; the share is None where the card's peak is not known."""
    tflops = flops / seconds / 1e12
    share = None if peak is None else round(tflops / peak, 4)
    return {"seconds": round(seconds, 3), "flops": flops, "tflops": round(tflops, 3), "share_of_peak": share}
