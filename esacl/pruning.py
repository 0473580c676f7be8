"""One-shot pruning: a saliency for every weight, an allocation of the budget to layers, and the mask that follows."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from esacl.errors import InputError
from esacl.mask import Mask, kept_of
from esacl.structure import two_of_four, whole_units
from esacl.units import Units

Weights = Mapping[str, Tensor]


def second_order(weights: Weights, *, curvature: Weights | None, **_: object) -> dict[str, Tensor]:
    """Damped second-order saliency (h + 1 + Omega) theta^2 / 2, after OBD (LeCun et al. 1990, eq. 5).

    `curvature` holds h + Omega: today's normalised second moment of the gradient plus the anchors' importance.
    The damping 1 keeps the order defined where both vanish.
    """
    if curvature is None:
        raise InputError("saliency 'second-order' needs the curvature; pass curvature=, or choose magnitude")
    return {name: 0.5 * (curvature[name] + 1.0) * w * w for name, w in weights.items()}


def magnitude(weights: Weights, **_: object) -> dict[str, Tensor]:
    """|theta| (Han et al. 2015)."""
    return {name: w.abs() for name, w in weights.items()}


def taylor(weights: Weights, *, gradient: Weights | None, **_: object) -> dict[str, Tensor]:
    """First-order saliency |g theta| (Molchanov et al. 2017, eq. 7)."""
    if gradient is None:
        raise InputError("saliency 'taylor' needs the gradient; pass gradient=, or choose magnitude")
    return {name: (gradient[name] * w).abs() for name, w in weights.items()}


def random(weights: Weights, *, generator: torch.Generator | None, **_: object) -> dict[str, Tensor]:
    """Uniform numbers: the baseline that knows nothing."""
    return {name: torch.rand(w.shape, generator=generator).to(w.device) for name, w in weights.items()}


SALIENCIES: dict[str, Callable[..., dict[str, Tensor]]] = {
    "second-order": second_order,
    "magnitude": magnitude,
    "taylor": taylor,
    "random": random,
}


def saliency(
    name: str,
    weights: Weights,
    *,
    curvature: Weights | None = None,
    gradient: Weights | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """A number per weight, larger = to be kept, in the shapes of `weights`.

    Raises:
        InputError: an unknown saliency, or one whose ingredient is missing.
    """
    if name not in SALIENCIES:
        raise InputError(f"unknown saliency {name!r}; choose from {', '.join(SALIENCIES)}")
    return SALIENCIES[name](weights, curvature=curvature, gradient=gradient, generator=generator)


def keep_top(
    saliency: Weights, sparsity: float, allocation: str = "global", units: Sequence[Units] | None = None
) -> Mask:
    """The mask that keeps the most salient weights; its sparsity is never below the one asked for.

    But for `neuron`, which leaves one unit a layer.

    Args:
        saliency: a number per weight.
        sparsity: removed fraction, in [0, 1).
        allocation: `global` ranks all weights together, `uniform` gives every layer the same density, `erk` gives
            a layer a density proportional to the sum of its dimensions over their product (Evci et al. 2020). `2:4`
            keeps two of every four weights, `neuron` removes whole units (`esacl.structure`).
        units: for `neuron`: which rows are units and who reads them (`units.units_of`); None: all rows of all weights.

    Raises:
        InputError: sparsity outside [0, 1), an unknown allocation, or a saliency that is not finite.
    """
    if not 0 <= sparsity < 1:
        raise InputError(f"sparsity {sparsity!r} will not do; choose a number in [0, 1)")
    if allocation not in ALLOCATIONS:
        raise InputError(f"unknown allocation {allocation!r}; choose from {', '.join(ALLOCATIONS)}")
    if not all(bool(torch.isfinite(s).all()) for s in saliency.values()):
        raise InputError("a saliency is not finite; the network has diverged, try a smaller lr")
    return ALLOCATIONS[allocation](saliency, sparsity, units)


def _all_together(saliency: Weights, sparsity: float, units: Sequence[Units] | None = None) -> Mask:
    kept = COUNTS["global"](saliency, sparsity)
    return _split(_top(torch.cat([s.flatten() for s in saliency.values()]), kept[""]), saliency)


def _layer_by_layer(name: str, saliency: Weights, sparsity: float, units: Sequence[Units] | None = None) -> Mask:
    kept = COUNTS[name](saliency, sparsity)
    return Mask({name: _top(s.flatten(), kept[name]).view(s.shape) for name, s in saliency.items()})


def _global(saliency: Weights, sparsity: float) -> dict[str, int]:
    return {"": kept_of(sum(s.numel() for s in saliency.values()), 1 - sparsity)}


def _uniform(saliency: Weights, sparsity: float) -> dict[str, int]:
    return {name: kept_of(s.numel(), 1 - sparsity) for name, s in saliency.items()}


def _erk(saliency: Weights, sparsity: float) -> dict[str, int]:
    """Layers whose share would exceed 1 are kept whole; the others share what is left."""
    size = {name: s.numel() for name, s in saliency.items()}
    raw = {name: sum(s.shape) / s.numel() for name, s in saliency.items()}
    whole: set[str] = set()
    while len(whole) < len(size):  # rounding may make every layer a hair too dense at sparsity 0
        budget = (1 - sparsity) * sum(size.values()) - sum(size[name] for name in whole)
        scale = budget / sum(raw[name] * size[name] for name in size if name not in whole)
        too_dense = {name for name in size if name not in whole and scale * raw[name] > 1}
        if not too_dense:
            break
        whole |= too_dense
    return {name: size[name] if name in whole else kept_of(size[name], scale * raw[name]) for name in size}


COUNTS: dict[str, Callable[[Weights, float], dict[str, int]]] = {
    "global": _global,
    "erk": _erk,
    "uniform": _uniform,
}
"""Allocations that choose weights one by one -> how many stay of each layer, or under "" of all together."""

ALLOCATIONS: dict[str, Callable[[Weights, float, Sequence[Units] | None], Mask]] = {
    "global": _all_together,
    "erk": partial(_layer_by_layer, "erk"),
    "uniform": partial(_layer_by_layer, "uniform"),
    "2:4": two_of_four,
    "neuron": whole_units,
}


def _top(flat: Tensor, kept: int) -> Tensor:
    mask = torch.zeros_like(flat, dtype=torch.bool)
    mask[torch.topk(flat, kept, sorted=False).indices] = True
    return mask


def _split(flat: Tensor, like: Weights) -> Mask:
    pieces = torch.split(flat, [s.numel() for s in like.values()])
    return Mask({name: piece.view(s.shape) for (name, s), piece in zip(like.items(), pieces, strict=True)})
