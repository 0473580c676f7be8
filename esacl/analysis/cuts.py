"""What a cut at each level takes, weight by weight, and the way that leads there: what a picture follows.

One number a weight holds its masks at all levels: masks of one ranking are nested, so that it is enough to know how
many levels a weight survives.
"""

from collections.abc import Generator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from esacl import landscape
from esacl.analysis.axes import Axis, axis, plane_axes
from esacl.analysis.driving import driven
from esacl.analysis.points import Found
from esacl.analysis.scene import Scene, as_numpy
from esacl.devices import as_double
from esacl.events import ArrayRecorded, Event
from esacl.pruning import COUNTS, Weights, keep_top
from esacl.units import Units, units_of

WAY = 9  # points of the way to each cut, both ends among them


def cuts(
    scene: Scene, levels: Sequence[float], edges: np.ndarray, found: Mapping[str, Found]
) -> Generator[Event, None, None]:
    """Which weights each level takes, how they are spread, the loss on the way, and the place on the plane of the cut.

    Args:
        scene: the task.
        levels: ascending sparsities.
        edges: of the bins of the histogram.
        found: eigenvectors by the name of the point, as the slices take them.
    """
    survived = survivals(scene.saliency, levels, scene.config.pruning.allocation, units_of(scene.network))
    arrays = {"levels": np.array(levels), "edges": edges}
    arrays |= {f"survived/{name}": as_numpy(counts) for name, counts in survived.items()}
    parameters = dict(scene.network.named_parameters())
    values = np.concatenate([as_numpy(parameters[name]).ravel() for name in survived])
    counts = np.concatenate([as_numpy(counts).ravel() for counts in survived.values()])
    arrays["kept"] = kept_by_value(values, counts, edges, len(levels))
    arrays |= _places(scene, levels, found)
    arrays |= yield from _ways(scene, levels)
    yield ArrayRecorded(name=f"cuts-t{scene.task}", arrays=arrays)


def survivals(
    saliency: Weights, levels: Sequence[float], allocation: str, units: Sequence[Units] | None = None
) -> dict[str, Tensor]:
    """How many of the ascending levels each weight survives: it is in the mask of `levels[i]` iff that is above `i`.

    These are the masks of `keep_top`. Where saliencies are equal at the border of a level, and only there, the
    choice may be another one: here the first in the network's order stays, at every level alike.

    Returns:
        uint8 in the shapes of `saliency`; there are at most 255 levels.
    """
    if allocation not in COUNTS:  # weights are not chosen one by one, and the masks alone say which go together
        masks = [keep_top(saliency, level, allocation, units) for level in levels]
        return {n: torch.stack([mask[n] for mask in masks]).sum(0).to(torch.uint8) for n in saliency}
    kept = [COUNTS[allocation](saliency, level) for level in levels]
    if allocation != "global":
        return {n: _counts(s.flatten(), [k[n] for k in kept]).view(s.shape) for n, s in saliency.items()}
    flat = _counts(torch.cat([s.flatten() for s in saliency.values()]), [k[""] for k in kept])
    pieces = torch.split(flat, [s.numel() for s in saliency.values()])
    return {name: piece.view(s.shape) for (name, s), piece in zip(saliency.items(), pieces, strict=True)}


def _counts(flat: Tensor, kept: list[int]) -> Tensor:
    order = flat.argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    # Rank r survives the levels that keep more than r; what is kept falls from level to level.
    ascending = torch.tensor(kept[::-1], device=order.device)
    return (len(kept) - torch.searchsorted(ascending, rank, right=True)).to(torch.uint8)


def kept_by_value(values: np.ndarray, survived: np.ndarray, edges: np.ndarray, levels: int) -> np.ndarray:
    """How many weights of each bin every level keeps, (levels, bins); the last bin holds its right edge too."""
    bins = len(edges) - 1
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    table = np.bincount(places * (levels + 1) + survived, minlength=bins * (levels + 1)).reshape(bins, levels + 1)
    return np.cumsum(table[:, ::-1], axis=1)[:, -2::-1].T.astype(np.int32)


def _ways(scene: Scene, levels: Sequence[float]) -> Generator[Event, None, dict[str, np.ndarray]]:
    """The loss over the chosen instances on the straight way from the dense point to each cut, (levels, WAY)."""
    shares, rows = np.linspace(0, 1, WAY), []
    for level in levels:
        d = scene.displacement(scene.cut_to(level))
        steps = landscape.line_steps(scene.network, scene.criterion, scene.sample, d, extent=(0.0, 1.0), points=WAY)
        line = yield from driven(steps)
        scene.ledger.analysis(forward_examples=line.evaluations * len(scene.chosen))
        rows.append(as_numpy(line.loss).astype(np.float64))
    return {"way": shares, "way_loss": np.stack(rows)}


def _places(scene: Scene, levels: Sequence[float], found: Mapping[str, Found]) -> dict[str, np.ndarray]:
    """Where each cut lies on the plane along the run's own cut: its coordinates, and how far off the plane it is."""
    if scene.mask is None or scene.config.curvature.grid == 0:
        return {}
    names = "pruning", "eigen1" if "dense" in found else "random2"
    x, y = plane_axes(*(axis(scene, name, at="dense", found=found) for name in names))
    longest = _inner(x.direction, x.direction)
    if longest == 0:
        return {}
    rows = []
    for level in levels:
        d = scene.displacement(scene.cut_to(level))
        at_x, at_y = (_inner(d, one.direction) / (_inner(one.direction, one.direction) or 1.0) for one in (x, y))
        rows.append((at_x, at_y, _off(d, at_x, x, at_y, y)))
    arrays = dict(zip(("place_x", "place_y", "place_off"), np.array(rows).T, strict=True))
    return {**arrays, "place_of_y": np.array(y.name)}


def _off(d: Mapping[str, Tensor], at_x: float, x: Axis, at_y: float, y: Axis) -> float:
    along = ((as_double(part), as_double(x.direction[n]), as_double(y.direction[n])) for n, part in d.items())
    rest = (part - at_x * by_x - at_y * by_y for part, by_x, by_y in along)
    return sum(float(part.square().sum()) for part in rest) ** 0.5


def _inner(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return sum(float((as_double(a[name]) * as_double(b[name])).sum()) for name in a if name in b)
