"""What many runs cost: seconds of a step from a table of times, of a run from its config, of all on N GPUs.

A step's time is that of its images through the network and back, in image-equivalents: an image that only goes forward
counts a third. What masks, anchors and the choice of instances take is in no step here; a measured one has its update.
"""

import heapq
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from esacl.config import RunConfig
from esacl.errors import InputError

TRAIN = {"split-cifar10": 50_000, "split-cifar100": 50_000, "split-tiny-imagenet": 100_000}  # images, as published
TEST = 10_000  # of each
FORWARD = 1 / 3  # of a step's FLOPs are its forward pass


@dataclass(frozen=True)
class Times:
    """What steps, starts and exchanges take, and where that is known from.

    `points` maps a side of the images to ascending (images, seconds) of a step; without any `flops_per_second` decides.
    With `by_pixels` an image of a side that was not measured counts as as many measured ones as have its pixels.
    `together["least_seconds"]`: of a step at least, where several GPUs share a run, whose passes are not recorded.
    """

    kind: str  # "measured" | "assumed"
    hardware: str
    source: str
    commit: str
    points: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    flops_per_second: float | None = None
    least_seconds: float = 0.0
    by_pixels: bool = False
    together: dict[str, float] = field(default_factory=dict)
    run: dict[str, float] = field(default_factory=dict)
    exchange: dict[str, dict[str, float]] = field(default_factory=dict)

    def step(self, images: float, side: int, flops_per_image: float) -> float:
        """Seconds of a step: between measured points on a line, beyond the largest in proportion to it.

        Raises:
            InputError: nothing was measured for images of this side.
        """
        if self.flops_per_second is not None:
            return max(self.least_seconds, images * flops_per_image / self.flops_per_second)
        if side not in self.points and self.by_pixels:
            largest = max(self.points)
            return self.step(images * (side / largest) ** 2, largest, flops_per_image)
        if side not in self.points:
            known = ", ".join(map(str, sorted(self.points))) or "none"
            raise InputError(f"no step was measured with images of {side} pixels a side, only {known}; measure it")
        points = self.points[side]
        x, y = (np.array(column) for column in zip(*points, strict=True))
        if images <= x[-1]:
            return float(np.interp(images, x, y))  # below the smallest batch: its time, which is mostly overhead
        return float(y[-1] * images / x[-1])


def read_times(path: Path) -> Times:
    """The table of times in a TOML file.

    Raises:
        InputError: it cannot be read, or says too little.
    """
    try:
        told: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        steps = told.pop("step", [])
        found: dict[int, list[tuple[float, float]]] = {}
        for one in steps:
            found.setdefault(int(one["side"]), []).append((float(one["images"]), float(one["seconds"])))
        times = Times(points={side: sorted(points) for side, points in found.items()}, **told)
    except OSError as error:
        raise InputError(f"times {path} cannot be read ({error.strerror}); check --times") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"times {path} will not do ({error}); see benchmarks/times/scale.toml") from None
    if not times.points and times.flops_per_second is None:
        raise InputError(f"times {path} has neither [[step]] nor flops_per_second; give one of them")
    if times.kind not in ("measured", "assumed"):
        raise InputError(f"times {path}: kind {times.kind!r} is not known; choose measured or assumed")
    return times


def steps_of(config: RunConfig) -> int:
    """The optimiser steps of a run on the whole data set; what SparCL removes is not taken off."""
    per_task = TRAIN[config.benchmark] // config.tasks
    return config.tasks * config.epochs * -(-per_task // config.batch_size)


def images_of(config: RunConfig) -> float:
    """Image-equivalents of a step: fresh and replayed ones, and those that the teacher of a distillation sees.

    From the first step on, though the first task has nothing to replay for some and no teacher: a bound from above.
    """
    replayed = {"plain": 1, "dark": 2}[config.buffer.rehearsal] if config.buffer.size else 0
    seen = config.batch_size * (1 + replayed)
    return seen * (1 + FORWARD) if config.anchor.distillation else float(seen)


def evaluated_of(config: RunConfig) -> float:
    """Image-equivalents of all evaluations: after each task every task so far."""
    return FORWARD * TEST * (config.tasks + 1) / 2


def run_seconds(config: RunConfig, times: Times, flops_per_image: float) -> float:
    """Seconds of a run by one GPU."""
    side, batch = config.resolution, 1000.0
    evaluated = evaluated_of(config) / batch * times.step(batch, side, flops_per_image)
    step = times.step(images_of(config), side, flops_per_image)
    return times.run.get("start_seconds", 0.0) + steps_of(config) * step + evaluated


def exchange_seconds(gpus: int, gradient_bytes: float, small: int, link: dict[str, float]) -> float:
    """Seconds of a step's exchanges among the GPUs of one run, by ring: nothing overlaps with computing.

    An all-reduce of b bytes takes 2 (k - 1) latency + 2 (k - 1) / k b / bandwidth (Thakur et al. 2005).
    `small` exchanges of a few numbers beside that of the gradients cost their latency alone.
    """
    rounds = 2 * (gpus - 1)
    whole = rounds / gpus * gradient_bytes / link["bytes_per_second"]
    return rounds * link["latency_seconds"] * (1 + small) + whole


def makespan(seconds: Sequence[float], gpus: int) -> float:
    """When the last run ends if each in turn goes to the GPU that is free first (Graham 1966)."""
    free = [0.0] * gpus
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def bound(seconds: Sequence[float], gpus: int) -> float:
    """What no schedule can beat: the work over the GPUs, or the longest run."""
    return max(sum(seconds) / gpus, max(seconds))


def with_stragglers(seconds: Sequence[float], share: float, factor: float, seed: int) -> list[float]:
    """The same runs, of which a share drawn by chance takes `factor` times as long."""
    late = np.random.default_rng(seed).random(len(seconds)) < share
    return [one * factor if is_late else one for one, is_late in zip(seconds, late, strict=True)]
