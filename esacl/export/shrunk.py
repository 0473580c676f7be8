"""A network without the units that say nothing: a smaller dense network with the same outputs.

A unit can be left out where nothing reads it, or where it is the same number for every input. Of the second kind is a
unit without incoming weights: it puts out its activation of its bias (and softplus of 0 is not 0), which a linear layer
that reads it can take into its own bias. A convolution cannot: at the border its zero padding is no such number.
"""

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from esacl.units import norm_of, units_of


@dataclass(frozen=True, eq=False)
class Shrunk:
    """A smaller network, and how many units each layer had and has: name of the layer -> (before, after)."""

    network: nn.Module
    widths: dict[str, tuple[int, int]]

    @property
    def left_out(self) -> int:
        """Units that are gone."""
        return sum(before - after for before, after in self.widths.values())


@torch.no_grad()
def shrunk(network: nn.Module) -> Shrunk:
    """A copy of the network on the CPU without the units that can be left out; parameters keep their names."""
    small = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    activation = next(m for m in small.modules() if isinstance(m, (nn.ReLU, nn.Softplus)))
    widths = {}
    for one in units_of(small):
        name, reader = one.weight.removesuffix(".weight"), (one.reader or "").removesuffix(".weight")
        writes, reads = small.get_submodule(name), small.get_submodule(reader)
        columns = cast(Tensor, reads.weight).unflatten(1, (len(cast(Tensor, writes.weight)), -1))
        stays = _needed(writes, reads, columns)
        widths[name] = (len(stays), int(stays.sum()))
        if bool(stays.all()):
            continue
        if isinstance(reads, nn.Linear) and isinstance(writes.bias, Tensor):
            reads.bias.add_(columns[:, ~stays].sum(2) @ activation(writes.bias[~stays]))
        reads.weight = nn.Parameter(columns[:, stays].flatten(1, 2), requires_grad=False)
        _keep_rows(writes, stays)
        if (norm := norm_of(small, one)) is not None:
            _keep_rows(norm, stays)
        _tell_sizes(writes, reads)
    return Shrunk(small, widths)


def _needed(writes: nn.Module, reads: nn.Module, columns: Tensor) -> Tensor:
    """Which units stay, bool (units,); one at least, for a layer without units is none."""
    stays = columns.movedim(1, 0).flatten(1).any(1)
    if isinstance(reads, nn.Linear) and isinstance(writes.bias, Tensor):
        stays &= cast(Tensor, writes.weight).flatten(1).any(1)
    if not bool(stays.any()):
        stays[0] = True
    return stays


def _keep_rows(layer: nn.Module, stays: Tensor) -> None:
    """The layer with these of its outputs."""
    for name, parameter in list(layer.named_parameters(recurse=False)):
        setattr(layer, name, nn.Parameter(parameter[stays], requires_grad=False))
    for name, buffer in list(layer.named_buffers(recurse=False)):
        if buffer.shape == stays.shape:
            setattr(layer, name, buffer[stays])


def _tell_sizes(*layers: nn.Module) -> None:
    """What the layers say of themselves, after their weights."""
    for layer in layers:
        weight = cast(Tensor, layer.weight)
        if isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = weight.shape
        elif isinstance(layer, nn.Conv2d):
            layer.out_channels, layer.in_channels = weight.shape[:2]
