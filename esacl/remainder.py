"""Passes through what a mask leaves of a chain of layers: a smaller dense network with the outputs of the whole one.

A unit that nothing feeds puts out its activation of its bias, whatever the example. A linear layer that reads it takes
that into its own bias; a convolution cannot, since its zero padding is no such number, so that there only a channel
goes which nothing reads either. Every survivor is in what is left. Sums leave out nothing but zeros, yet run in another
order, so that last digits may differ.

`export.shrunk` leaves out units that nothing reads as well, whose survivors would have no place here to be trained in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from esacl.networks import Network

_LAYERS = (nn.Linear, nn.Conv2d)
_ACTIVATIONS = (nn.ReLU, nn.Softplus)
_BETWEEN = (*_ACTIVATIONS, nn.Flatten, nn.MaxPool2d)


def chain_of(network: nn.Module) -> list[nn.Module] | None:
    """The modules of a network that is a chain of known ones, its head the last; None where it is none."""
    if not isinstance(network, Network):
        return None
    modules = [*network.body, network.head]
    return modules if all(isinstance(module, _LAYERS + _BETWEEN) for module in modules) else None


@dataclass(frozen=True, eq=False)
class Block:
    """A rectangle of a weight as a smaller weight.

    Attributes:
        whole: the weight it is of.
        weight: (rows, columns, ...), what passes multiply by; a leaf.
        inside: where its survivors lie in its own memory, (n,).
        places: where they lie in that of the whole weight, (n,).
    """

    whole: Tensor
    weight: Tensor
    inside: Tensor
    places: Tensor


def memory(tensor: Tensor) -> Tensor:
    """A dense tensor as a vector, in the order in which it lies in memory; a view."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))


def laid_as(like: Tensor, tensor: Tensor) -> Tensor:
    """The tensor, or a copy of it, that lies in memory as another of its shape."""
    if tensor.stride() == like.stride():
        return tensor
    return torch.empty_like(like, dtype=tensor.dtype, requires_grad=False).copy_(tensor)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer's pass.

    Attributes:
        module: the whole layer.
        weight: what multiplies that which comes in.
        fixed: what multiplies that which is the same for every example; None where the layer reads no such units.
        read: what it reads of that which comes in; None: all.
        rows: the units that are computed; None: all.
        constant: the others.
    """

    module: nn.Linear | nn.Conv2d
    weight: Callable[[], Tensor]
    fixed: Callable[[], Tensor] | None
    read: Tensor | None
    rows: Tensor | None
    constant: Tensor

    def __call__(self, inputs: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
        whole = cast(Tensor, self.module.bias)
        bias = whole if self.rows is None else whole.index_select(0, self.rows)
        if self.fixed is not None:
            bias = bias + self.fixed() @ constants
        seen = inputs if self.read is None else inputs.index_select(1, self.read)
        if isinstance(self.module, nn.Conv2d):
            padding = cast(tuple[int, int], self.module.padding)
            outputs = functional.conv2d(seen, self.weight(), bias, self.module.stride, padding)
        else:
            outputs = functional.linear(seen, self.weight(), bias)
        return outputs, whole.index_select(0, self.constant)


@dataclass(frozen=True, eq=False)
class Remainder:
    """Inputs (n, ...) -> outputs (n, c) of a network at its mask.

    Attributes:
        parts: layers, and what is between them.
        blocks: name of each weight that the mask is about -> the rectangles that hold its survivors.
    """

    parts: list[_Layer | nn.Module]
    blocks: Mapping[str, list[Block]]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs, with gradients for biases, weights outside of the mask, and the blocks' weights."""
        seen, constants = inputs, inputs.new_zeros(0)
        for part in self.parts:
            if isinstance(part, _Layer):
                seen, constants = part(seen, constants)
            else:
                seen = part(seen)
                constants = part(constants) if isinstance(part, _ACTIVATIONS) else constants
        return seen


@torch.no_grad()
def remainder_of(network: nn.Module, chain: list[nn.Module], mask: Mapping[str, Tensor]) -> Remainder:
    """The passes of a network that stands at its mask.

    Args:
        network: whose parameters, on a CPU, are used where the mask is not about them.
        chain: its modules (`chain_of`).
        mask: of its prunable weights.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    layers = [module for module in chain if isinstance(module, _LAYERS)]
    kept = [mask.get(names[id(layer.weight)]) for layer in layers]
    read: Tensor | None = None
    constant, made, blocks = _NONE, {}, {}
    for i, (layer, survivors) in enumerate(zip(layers, kept, strict=True)):
        live = _read_inputs(survivors) if i == 0 and isinstance(layer, nn.Linear) else read
        width = len(layers[i - 1].weight) if i else layer.weight.shape[1]
        rows, still = _units(layer, survivors, kept[i + 1]) if i + 1 < len(layers) else (None, _NONE)
        weights = _Weights(layer.weight, survivors, rows, width)
        fixed = weights.of(constant) if len(constant) else None
        made[layer] = _Layer(layer, weights.of(live), fixed, live if i == 0 else None, rows, still)
        if survivors is not None:
            blocks[names[id(layer.weight)]] = weights.blocks
        read, constant = rows, still
    return Remainder([made[module] if isinstance(module, _LAYERS) else module for module in chain], blocks)


_NONE = torch.zeros(0, dtype=torch.long)


def _read_inputs(kept: Tensor | None) -> Tensor | None:
    """The inputs that a linear layer (units, inputs) reads; None: all."""
    return None if kept is None else _some(kept.any(0))


def _units(layer: nn.Module, kept: Tensor | None, read_by: Tensor | None) -> tuple[Tensor | None, Tensor]:
    """The units of a layer that are computed (None: all), and those that are the same for every example and read.

    Args:
        layer: with the units.
        kept: of its weight (units, ...).
        read_by: of the weight (n, units x columns, ...) that reads them; None where it is not masked.
    """
    if kept is None:
        return None, _NONE
    fed = kept.flatten(1).any(1)
    read = torch.ones_like(fed)
    if read_by is not None:
        read = read_by.unflatten(1, (len(fed), -1)).movedim(1, 0).flatten(1).any(1)
    computed = fed if isinstance(layer, nn.Linear) else fed | read
    computed[0] |= not bool(computed.any())  # a layer without units is none
    return _some(computed), (read & ~computed).nonzero()[:, 0]


def _some(which: Tensor) -> Tensor | None:
    """Where, and None for everywhere."""
    return None if bool(which.all()) else which.nonzero()[:, 0]


class _Weights:
    """Where the parts of a layer's weight come from, and the blocks among them."""

    def __init__(self, whole: Tensor, kept: Tensor | None, rows: Tensor | None, width: int) -> None:
        self.whole, self.kept, self.rows, self.columns_each = whole, kept, rows, whole.shape[1] // width
        self.blocks: list[Block] = []

    def of(self, units: Tensor | None) -> Callable[[], Tensor]:
        """What multiplies these units of those that come in; None: all of them."""
        columns = units
        if units is not None and self.columns_each > 1:
            columns = (units[:, None] * self.columns_each + torch.arange(self.columns_each)).flatten()
        if self.kept is None:
            return partial(_of_columns, self.whole, columns)
        block = _block(self.whole, self.kept, self.rows, columns)
        self.blocks.append(block)
        return partial(getattr, block, "weight")


def _of_columns(whole: Tensor, columns: Tensor | None) -> Tensor:
    return whole if columns is None else whole.index_select(1, columns)


def _block(whole: Tensor, kept: Tensor, rows: Tensor | None, columns: Tensor | None) -> Block:
    def part(of: Tensor) -> Tensor:
        of = of if rows is None else of.index_select(0, rows)
        return of if columns is None else of.index_select(1, columns)

    last = whole.dim() == 4 and whole.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    small = part(whole.detach()).clone(memory_format=layout)
    addresses = torch.arange(whole.numel()).as_strided(whole.shape, whole.stride())
    inside = memory(laid_as(small, part(kept))).nonzero()[:, 0]
    places = memory(laid_as(small, part(addresses)))[inside]
    return Block(whole, small.requires_grad_(), inside, places)
