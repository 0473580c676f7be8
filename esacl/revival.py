"""Dead units, and how a new task gets them back.

A cut leaves units that no weight leads to, or that no weight reads. A ReLU that is never active has no gradient, so
that weights which may grow again do not come back there, and a network that is cut after every task has less and less
left to learn with. Where such a unit gets new weights that lead to it, and none that read it, the function is what it
was, and the unit has a gradient again.

Dormant units in deep reinforcement learning are treated so by Sokar et al. 2023 (ReDo): incoming weights as at the
beginning, outgoing weights zero.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from esacl.networks import RECTIFIED, draw
from esacl.units import Units, norm_of, units_of


@torch.no_grad()
def revive(
    network: nn.Module,
    importance: Mapping[str, Tensor],
    solution: Mapping[str, Tensor],
    past: Tensor | None,
    generator: torch.Generator,
) -> None:
    """Give dead units new weights that lead to them, and nobody who reads them; outputs of the past stay as they are.

    The new weights are those of a new network (He et al. 2015, equation 10), and no anchor holds them: no task so far
    has used them.

    Args:
        network: with ReLU; in place.
        importance: the anchors' Omega, by name of a parameter; in place.
        solution: the anchors' theta*; in place. What read a dead unit is 0 there too: pulled back to where it was, it
            would let the outputs of the past read what the unit learns.
        past: the rows of the head that are private to earlier tasks; None where the head is shared. Rows of tasks to
            come stay as they are.
        generator: of the new weights.
    """
    for units in units_of(network):
        dead = dead_units(network, units)
        weight = network.get_parameter(units.weight)
        drawn = torch.empty(weight.shape)
        draw(drawn, RECTIFIED, generator)
        weight[dead] = drawn.to(weight)[dead]
        _begin_anew(network, units, dead, importance)
        reader = cast(str, units.reader)
        for reads in (network.get_parameter(reader), *([solution[reader]] if reader in solution else [])):
            _unread(reads, dead, past if reader == "head.weight" else None)


@torch.no_grad()
def dead_units(network: nn.Module, units: Units) -> Tensor:
    """Which units (n,) of a layer a cut has left without a gradient: they are always 0, or nobody reads them.

    A unit that has weights but is never active is not among them: other inputs may wake it.
    """
    incoming, columns = network.get_parameter(units.weight), _columns(network, units)
    unfed = ~incoming.flatten(1).any(1) & (_of_nothing(network, units) <= 0)
    unread = ~columns.transpose(0, 1).flatten(1).any(1)
    return unfed | unread


def _columns(network: nn.Module, units: Units) -> Tensor:
    """What reads each unit, a view: (rows of the reader, units, columns a unit, ...)."""
    weight, reader = network.get_parameter(units.weight), network.get_parameter(cast(str, units.reader))
    return reader.detach().unflatten(1, (len(weight), -1))


def _unread(reader: Tensor, dead: Tensor, rows: Tensor | None) -> None:
    """These rows, or all, of a weight read the dead units no more."""
    columns = reader.detach().unflatten(1, (len(dead), -1))
    whose = torch.ones(len(columns), dtype=torch.bool, device=dead.device)
    if rows is not None:
        whose = torch.zeros_like(whose).index_fill_(0, rows, True)
    columns.masked_fill_((whose[:, None] & dead).view(*columns.shape[:2], *[1] * (columns.dim() - 2)), 0)


def _of_nothing(network: nn.Module, units: Units) -> Tensor:
    """What reaches the activation (n,) where no weight leads: the most of it, by a batch or by running statistics."""
    if (norm := norm_of(network, units)) is None:
        return network.get_parameter(_bias(units))
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    return torch.maximum(norm.bias, norm.bias - norm.weight * mean / (variance + norm.eps).sqrt())


def _bias(units: Units) -> str:
    return units.weight.removesuffix("weight") + "bias"


def _begin_anew(network: nn.Module, units: Units, dead: Tensor, importance: Mapping[str, Tensor]) -> None:
    """What belongs to the units beside their weights, as in a new network; and no anchor holds any of it."""
    own = {units.weight: network.get_parameter(units.weight)}
    if (norm := norm_of(network, units)) is None:
        own[_bias(units)] = network.get_parameter(_bias(units))
        own[_bias(units)][dead] = 0
    else:
        name = next(n for n, module in network.named_modules() if module is norm)
        own |= {f"{name}.weight": norm.weight, f"{name}.bias": norm.bias}
        fresh = ((norm.weight, 1.0), (norm.bias, 0.0), (norm.running_mean, 0.0), (norm.running_var, 1.0))
        for tensor, value in fresh:
            cast(Tensor, tensor)[dead] = value
    for key in own.keys() & importance.keys():
        importance[key][dead] = 0
