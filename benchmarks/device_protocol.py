"""Steps of ResNet-18 on a device under the field's protocol, and layers of which 2:4 leaves half the weights."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.device_place import OFF, Seen
from benchmarks.device_timings import seconds_of, step_seconds
from esacl.config import RunConfig
from esacl.errors import DataMissing
from esacl.footprint import peak_bytes
from esacl.pipeline import run
from esacl.pruning import keep_top

STEPS = 250
WARM = 1 / 3  # of them before the clock starts: kernels are chosen, loaded and recorded
ROWS: dict[str, dict[str, Any]] = {
    "finetune": {"method": "finetune"},
    "ewc": {"method": "ewc"},
    "er": {"method": "er"},
    "derpp": {"method": "derpp"},
    "sparcl, DER++": {"method": "sparcl"},
    "esacl, 500 images": {"method": "esacl", "buffer.size": 500},
    "esacl, no images": {"method": "esacl"},
}
LAYERS = ((1024, 1024), (4096, 4096), (8192, 8192))
BATCHES = (256, 4096)
OFTEN = 50  # products between two looks at the clock, which take ten microseconds


def protocol_steps(device: torch.device, quick: bool, data: Path | None = None) -> Seen:
    """Milliseconds a step of protocol `der` on split CIFAR-10, class-IL, in the second task; and peak memory."""
    if device.type == "cpu":
        return {"skipped": "ResNet-18 with a batch of 32 to 96 takes a second a step on a CPU"}
    found: Seen = {}
    for name, settings in ROWS.items():
        nested = {"buffer": {"size": settings["buffer.size"]}} if "buffer.size" in settings else {}
        config = RunConfig(
            benchmark="split-cifar10", scenario="class", protocol="der", tasks=2, epochs=1,
            train_limit=32 * (20 if quick else STEPS), method=settings["method"], curvature=OFF, threads=1,
            device=str(device), **nested,
        )  # fmt: skip
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        try:
            step_s = step_seconds(run(config, data=data), device, task=1, after=WARM)
            found[name] = {"step_ms": round(1e3 * step_s, 3), "peak_bytes": peak_bytes(device)}
        except DataMissing:
            return {"skipped": "CIFAR-10 is not here; name its folder by --data"}
    return found


def two_four(device: torch.device, quick: bool) -> Seen:
    """Layers in bfloat16: dense, and 2:4 by the mask of `pruning.allocation = "2:4"`, on sparse tensor cores (CUDA)."""
    if device.type != "cuda":
        return {"skipped": "sparse tensor cores are NVIDIA's"}
    found: Seen = {}
    for rows, columns in LAYERS[:1] if quick else LAYERS:
        weight = torch.randn(rows, columns, device=device)
        mask = keep_top({"layer": weight.abs()}, 0.5, "2:4")
        pruned = (weight * mask["layer"]).bfloat16()
        packed = torch.sparse.to_sparse_semi_structured(pruned)
        for batch in BATCHES[:1] if quick else BATCHES:
            inputs = torch.randn(batch, columns, device=device).bfloat16()
            error = _error(packed, pruned, inputs)
            assert error < 1e-2, f"2:4 of {rows}x{columns} is off by {error:.1e}"
            times = {
                kind: seconds_of(partial(_often, inputs, layer), device, 5) / OFTEN
                for kind, layer in (("dense", pruned), ("2:4", packed))
            }
            found[f"{columns} to {rows}, batch {batch}"] = {
                "dense_us": round(1e6 * times["dense"], 1), "two_four_us": round(1e6 * times["2:4"], 1),
                "faster": round(times["dense"] / times["2:4"], 3), "error": error,
                "dense_bytes": pruned.numel() * pruned.element_size(),
            }  # fmt: skip
    return found


def _often(inputs: Tensor, layer: Tensor) -> None:
    for _ in range(OFTEN):
        torch.nn.functional.linear(inputs, layer)


def _error(packed: Tensor, pruned: Tensor, inputs: Tensor) -> float:
    """Largest difference of the two products, relative to the largest entry."""
    ours, truth = (torch.nn.functional.linear(inputs, layer).float() for layer in (packed, pruned))
    return float((ours - truth).abs().max() / truth.abs().max())
