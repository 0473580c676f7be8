"""Units: the neurons and channels that can be removed as a whole, and who reads what they put out."""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from esacl import batchnorm, resnet


@dataclass(frozen=True)
class Units:
    """The output units of one layer: a unit is a row of its weight, for a convolution a filter.

    Attributes:
        weight: name of the layer's weight, (units, ...).
        reader: name of the one weight, (n, units x columns, ...), that reads these units, each by as many columns; None
            where nothing that can lose columns does.
    """

    weight: str
    reader: str | None = None


def units_of(network: nn.Module) -> tuple[Units, ...]:
    """The units of a network that can go without changing the shape of what it takes and puts out.

    In a chain (mlp, small CNN) these are the units of every layer but the last, whose rows are the logits; what is
    flattened between a convolution and a linear layer is read by as many columns a channel as it has pixels. In a
    residual network they are the channels inside of each block: those that the shortcuts add up must stay as many on
    either side.
    """
    blocks = [name for name, module in network.named_modules() if isinstance(module, resnet.Block)]
    if blocks:
        return tuple(Units(f"{name}.conv1.weight", f"{name}.conv2.weight") for name in blocks)
    layers = [name for name, module in network.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    return tuple(Units(f"{name}.weight", f"{after}.weight") for name, after in pairwise(layers))


def norm_of(network: nn.Module, units: Units) -> nn.BatchNorm2d | None:
    """The BatchNorm that the units pass before their activation: that between the two convolutions of a block."""
    block = network.get_submodule(units.weight.rpartition(".")[0].rpartition(".")[0])
    norm = getattr(block, "norm1", None)
    return norm if norm is not None and norm in batchnorm.layers(network) else None
