"""How large a network is and how sparse removing whole units can make it, known from a config alone: no torch, no data.

The sizes repeat those of `networks` and `resnet`, which need torch; a test compares what comes of both.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esacl.config import RunConfig

_CHANNELS = {"split-digits": 1, "split-mnist": 1, "permuted-mnist": 1}
_COLOURS = 3  # channels elsewhere
MOST_CLASSES = 200  # of Tiny-ImageNet: how many lie on a machine only its files tell

Weights = tuple[int, int]  # how many there are, and how many stay where one unit a layer does
Size = Callable[["RunConfig", int, int], Weights]


def most_sparsity(config: "RunConfig") -> float | None:
    """The sparsity at which one unit a layer stays, the largest that may be; None for a network that is not known here.

    Sparsity counts prunable weights: the head only where all tasks share it.
    """
    size = _SIZES.get(config.network)
    if size is None:
        return None
    channels = _CHANNELS.get(config.benchmark, _COLOURS)
    found = [size(config, channels, outputs) for outputs in _outputs(config)]
    return max(1 - kept / weights for weights, kept in found)


def most_weights(config: "RunConfig") -> int | None:
    """How many weights the network can have, whatever its head; None for a network that is not known here."""
    size = _SIZES.get(config.network)
    return None if size is None else size(config, _CHANNELS.get(config.benchmark, _COLOURS), MOST_CLASSES)[0]


def too_sparse(sparsity: float, most: float | None) -> str | None:
    """Why whole units do not come to a sparsity, of which `most` is the largest; None where they do."""
    if most is None or sparsity <= most:
        return None
    return (
        f"sparsity: {sparsity} will not do with pruning.allocation 'neuron' on this network, of which one unit a layer "
        f"has to stay; choose {math.floor(1000 * most) / 1000} at most"
    )


def _outputs(config: "RunConfig") -> tuple[int, ...]:
    """How many columns the prunable head may have; 0 where it is not prunable."""
    if config.scenario == "task" or config.contrastive:
        return (0,)
    if config.benchmark == "permuted-mnist":
        return (10,)
    if config.scenario == "domain":
        return (2,)
    if config.benchmark == "split-tiny-imagenet":
        return (2 * config.tasks, MOST_CLASSES)  # in between, the most sparsity is too
    return (config.tasks * (10 if config.benchmark == "split-cifar100" else 2),)


def _mlp(config: "RunConfig", channels: int, outputs: int) -> Weights:
    width, inputs = 100 if config.benchmark == "split-digits" else 400, channels * config.resolution**2
    return inputs * width + width * width + width * outputs, inputs + 1 + outputs


def _small_cnn(config: "RunConfig", channels: int, outputs: int) -> Weights:
    pixels = (config.resolution // 8) ** 2
    weights = 9 * (channels * 32 + 32 * 64 + 64 * 128) + 128 * pixels * 128 + 128 * outputs
    return weights, 9 * (channels + 1 + 1) + pixels + outputs


def _resnet18(config: "RunConfig", channels: int, outputs: int) -> Weights:
    """Only the channels inside of a block can go: what the shortcuts add up stays as wide as it is."""
    inside, stays, inner = 64, 9 * channels * 64 + 512 * outputs, 0
    kept = 0
    for width in (64, 128, 256, 512):
        for before in (inside, width):
            inner += 9 * width * (before + width)
            kept += 9 * (before + width)
        stays += inside * width if inside != width else 0  # the projection of its first shortcut
        inside = width
    return stays + inner, stays + kept


_SIZES: dict[str, Size] = {"mlp": _mlp, "small-cnn": _small_cnn, "resnet18": _resnet18}
