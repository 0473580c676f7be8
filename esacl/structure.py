"""Structured masks: what is removed leaves a pattern that hardware skips, or a network that is smaller.

Both give a mask for every sparsity, and the masks of one saliency are nested. A saliency below 0 marks a weight that is
out already and stays out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from esacl.mask import Mask, kept_of
from esacl.units import Units

Weights = Mapping[str, Tensor]
GROUP = 4


def two_of_four(saliency: Weights, sparsity: float, units: Sequence[Units] | None = None) -> Mask:
    """Of every four consecutive weights of a row the two most salient stay (Mishra et al. 2021).

    A row is what one output unit reads: (in,); of a convolution what it reads at one pixel of its kernel, four input
    channels after the other, which is what sparse tensor cores skip. Where the channels do not come in fours, as in a
    first layer, a row is the whole kernel flattened, (in x k x k), which none of them skips. Where a row ends with
    fewer than four, at most half of the rest stays: the pattern holds once the row is filled up with zeros, and no
    layer is denser than asked for. Sparsity is 0.5 where every fan-in is a multiple of four, and a little more
    elsewhere. Below 0.5 the mask is on the way there: of the weights that the pattern removes the most salient are
    still kept. Above it is within the pattern: of the weights that it keeps the least salient are gone too.
    """
    weaker = {name: _weaker_half(s) for name, s in saliency.items()}
    flat, first = _flat(saliency), _flat(weaker)
    removed, by_pattern = len(flat) - kept_of(len(flat), 1 - sparsity), int(first.sum())
    if sparsity >= 0.5:
        removed = max(removed, by_pattern)
    if removed == by_pattern:
        return Mask({name: ~one for name, one in weaker.items()})
    order = torch.where(first, flat, torch.inf).argsort(stable=True)[:by_pattern]
    if removed > by_pattern:
        order = torch.cat([order, torch.where(first, torch.inf, flat).argsort(stable=True)])
    kept = torch.ones_like(first)
    kept[order[:removed]] = False
    pieces = kept.split([s.numel() for s in saliency.values()])
    return Mask({name: piece.view(s.shape) for (name, s), piece in zip(saliency.items(), pieces, strict=True)})


def whole_units(saliency: Weights, sparsity: float, units: Sequence[Units] | None = None) -> Mask:
    """Whole units go, the least salient first, until no more weights are kept than asked for.

    A unit takes its row with it and the columns that read it, where these are prunable. It counts as much as the mean
    saliency of its row over the mean of its layer: layers differ in scale by orders of magnitude, and ranked as they
    are the smallest would go first, whole. One unit a layer stays, even where that is denser than asked for
    (`most_sparsity`).

    Args:
        saliency: a number per weight.
        sparsity: removed fraction of all weights.
        units: which rows are units, and who reads them; None: the rows of every weight, which nothing reads.
    """
    units = _prunable(saliency, units)
    scores = [_unit_scores(saliency[one.weight].flatten(1)) for one in units]
    owner = np.repeat(np.arange(len(units)), [len(s) for s in scores])
    order = _order(scores)
    kept = _kept_after(saliency, units, [np.cumsum(owner[order] == i) for i in range(len(units))])
    budget = kept_of(sum(s.numel() for s in saliency.values()), 1 - sparsity)
    enough = np.flatnonzero(kept <= budget)
    out = sum(int((s < 0).sum()) for s in scores)
    gone = order[: max(int(enough[0]) if len(enough) else len(order), out)]
    places = np.split(np.isin(np.arange(len(owner)), gone, invert=True), np.cumsum([len(s) for s in scores])[:-1])
    return _mask_of(saliency, units, places)


def most_sparsity(weights: Weights, units: Sequence[Units] | None = None) -> float:
    """The sparsity of one unit a layer."""
    units = _prunable(weights, units)
    all_gone = [np.array([len(weights[one.weight]) - 1]) for one in units]
    return 1 - int(_kept_after(weights, units, all_gone)[-1]) / sum(w.numel() for w in weights.values())


def _weaker_half(weights: Tensor) -> Tensor:
    """What the pattern removes of weights (out, in) or (out, in, k, k): bool of the same shape."""
    if weights.dim() > 2 and weights.shape[1] % GROUP == 0:
        by_pixel = weights.movedim(1, -1)  # (out, k, k, in)
        return _weaker_of_rows(by_pixel.flatten(0, -2)).view(by_pixel.shape).movedim(-1, 1)
    return _weaker_of_rows(weights.flatten(1)).view(weights.shape)


def _weaker_of_rows(rows: Tensor) -> Tensor:
    groups = rows.shape[1] // GROUP
    parts = rows[:, : groups * GROUP].reshape(len(rows), groups, GROUP), rows[:, None, groups * GROUP :]
    return torch.cat([_weaker(part).flatten(1) for part in parts], dim=1)


def _weaker(groups: Tensor) -> Tensor:
    """All but the larger half, rounded down, of groups (n, g, size); of equals the first stays."""
    size = groups.shape[-1]
    this, other = groups[..., :, None], groups[..., None, :]
    earlier = torch.ones(size, size, dtype=torch.bool).tril(-1).to(groups.device)
    before = (other > this) | ((other == this) & earlier)
    return before.sum(-1) >= size // 2


def _prunable(saliency: Weights, units: Sequence[Units] | None) -> list[Units]:
    return [Units(name) for name in saliency] if units is None else [one for one in units if one.weight in saliency]


def _unit_scores(rows: Tensor) -> np.ndarray:
    """A number a row of (units, width), of mean about 1; -1 where all of it is out already."""
    alive = rows >= 0
    total, count = (part.cpu().double() for part in (torch.where(alive, rows, 0).sum(1), alive.sum(1)))
    mean = total / count.clamp(min=1)
    typical = mean.sum() / (count > 0).sum().clamp(min=1)
    scores: np.ndarray = torch.where(count > 0, mean / typical if typical > 0 else mean, -1.0).numpy()
    return scores


def _order(scores: Sequence[np.ndarray]) -> np.ndarray:
    """All units in the order in which they go, but for the best of each layer, which stays."""
    guarded = [s.copy() for s in scores]
    for one in guarded:
        one[one.argmax()] = np.inf
    return np.argsort(np.concatenate(guarded), kind="stable")[: -len(scores)]


def _kept_after(weights: Weights, units: Sequence[Units], gone: Sequence[np.ndarray]) -> np.ndarray:
    """How many weights are kept once 0, 1, ... units are gone, of which `gone[i][n]` in the layer of `units[i]`."""
    alive = [len(weights[one.weight]) - np.concatenate([[0], more]) for one, more in zip(units, gone, strict=True)]
    total = np.zeros(len(alive[0]) if alive else 1, dtype=np.int64)
    for name, w in weights.items():
        rows = next((a for one, a in zip(units, alive) if one.weight == name), np.array(w.shape[0]))
        read = next(((one, a) for one, a in zip(units, alive) if one.reader == name), None)
        columns = np.array(w.shape[1]) if read is None else read[1] * _columns(w, weights[read[0].weight])
        total += rows * columns * int(np.prod(w.shape[2:], dtype=np.int64))
    return total


def _columns(reader: Tensor, weight: Tensor) -> int:
    """How many columns of its reader a unit has."""
    return reader.shape[1] // weight.shape[0]


def _mask_of(saliency: Weights, units: Sequence[Units], alive: Sequence[np.ndarray]) -> Mask:
    kept = {name: torch.ones_like(s, dtype=torch.bool) for name, s in saliency.items()}
    for one, places in zip(units, alive, strict=True):
        stays = torch.from_numpy(places).to(kept[one.weight].device)
        kept[one.weight][~stays] = False
        if one.reader in kept:
            columns = stays.repeat_interleave(_columns(kept[one.reader], kept[one.weight]))
            kept[one.reader][:, ~columns] = False
    return Mask(kept)


def _flat(tensors: Weights) -> Tensor:
    return torch.cat([t.flatten() for t in tensors.values()])
