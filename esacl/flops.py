"""FLOPs counted on one real dense step, layer by layer.

A FLOP is half a multiply-accumulate. `torch.utils.flop_counter.FlopCounterMode` counts matrix products and
convolutions exactly and is blind to masks; what it does not count (activations, biases, BatchNorm, pooling, the
update) is linear in the number of activations and weights, and left out here as it is in published tables.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from esacl.attribution import backward_flops
from esacl.batchnorm import by_running

Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LayerFlops:
    """FLOPs of one layer for one example: 2 x multiply-accumulates each."""

    forward: int
    input_gradient: int  # 0 in the first layer: nothing needs the gradient of the data
    weight_gradient: int


def count_layers(network: nn.Module, inputs: Tensor, loss: Loss | None = None) -> dict[str, LayerFlops]:
    """The dense FLOPs of each layer by the name of its weight, from real steps on `inputs` (b, ...).

    `loss` maps the outputs (b, outputs) to a scalar; which one it is does not change the count. Three steps
    tell the two gradients of a layer apart: the usual one, one that also asks for the gradient of the inputs,
    and one that asks for nothing else. The network's weights, gradients and buffers are left as they were.
    """
    usual = _count_step(network, inputs, loss, of_inputs=False)
    whole = _count_step(network, inputs, loss, of_inputs=True)
    inputs_only = _count_step(network, inputs, loss, of_weights=False, of_inputs=True)
    forward = _count_forward(network, inputs)
    layers = {}
    for name, module in _weighted_modules(network).items():
        of_weight = whole[module] - inputs_only[module]
        of_input = usual[module] - of_weight
        layers[name] = LayerFlops(*(n // len(inputs) for n in (forward[module], of_input, of_weight)))
    return layers


def count_product(network: nn.Module, inputs: Tensor, loss: Loss | None = None) -> int:
    """The FLOPs for one example of one Hessian-vector product by double backward, its gradient included.

    Pearlmutter, "Fast exact multiplication by the Hessian", 1994.
    """
    weights = _detached(network, requires_grad=True)
    with by_running(network), FlopCounterMode(display=False) as counter:
        value = (loss or _some_loss)(functional_call(network, weights, (inputs,)))
        gradient = torch.autograd.grad(value, list(weights.values()), create_graph=True)
        torch.autograd.grad(gradient, list(weights.values()), [w.detach() for w in weights.values()])
    return counter.get_total_flops() // len(inputs)


def _count_step(
    network: nn.Module, inputs: Tensor, loss: Loss | None, *, of_weights: bool = True, of_inputs: bool
) -> dict[str, int]:
    """The FLOPs of the backward pass by module that owns a weight."""
    weights = _detached(network, requires_grad=of_weights)
    inputs = inputs.detach().clone().requires_grad_(of_inputs)
    owners = list(_weighted_modules(network).values())
    counter = FlopCounterMode(display=False)
    with by_running(network), counter, backward_flops(network, owners, counter) as found:
        value = (loss or _some_loss)(functional_call(network, weights, (inputs,)))
        value.backward()
    return found


def _count_forward(network: nn.Module, inputs: Tensor) -> dict[str, int]:
    with torch.no_grad(), by_running(network), FlopCounterMode(display=False) as counter:
        network(inputs)
    return _by_module(network, counter)


def _by_module(network: nn.Module, counter: FlopCounterMode) -> dict[str, int]:
    root = type(network).__name__
    counts = counter.get_flop_counts()
    names = [name for name, _ in network.named_modules()]
    return {name: sum(counts.get(f"{root}.{name}" if name else root, {}).values()) for name in names}


def _weighted_modules(network: nn.Module) -> dict[str, str]:
    """Name of a weight with two or more dimensions -> name of the module that owns it."""
    return {name: name.rpartition(".")[0] for name, p in network.named_parameters() if p.ndim >= 2}


def _detached(network: nn.Module, *, requires_grad: bool) -> dict[str, Tensor]:
    return {name: p.detach().clone().requires_grad_(requires_grad) for name, p in network.named_parameters()}


def _some_loss(outputs: Tensor) -> Tensor:
    return outputs.logsumexp(dim=1).mean()
