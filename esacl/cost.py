"""Costs: FLOPs counted on one real dense step and scaled by densities; bytes measured.

A FLOP is half a multiply-accumulate. `torch.utils.flop_counter.FlopCounterMode` counts matrix products and
convolutions exactly and is blind to masks; what it does not count (activations, biases, BatchNorm, pooling, the
update) is linear in the number of activations and weights, and left out here as it is in published tables.
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from esacl.attribution import backward_flops
from esacl.batchnorm import by_batch, by_running

Loss = Callable[[Tensor], Tensor]

_COUNTS = (
    "train_flops_dense_sgd", "train_flops_published_rule", "analysis_flops", "examples_forward", "examples_backward",
)  # fmt: skip
# What training is billed for. Their sum is `train_flops`: nothing is counted that is not on the bill.
ITEMS = ("fresh_forward", "fresh_backward", "replay", "scoring", "fisher", "other")


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


class Ledger:
    """The running costs of a run; its attributes are the fields of `events.CostCounted`.

    `layers` are the dense FLOPs of `count_layers`, `product` those of `count_product` (None: three gradients'
    worth, which is what double backward costs). `densities` map names of weights to the fraction kept; a
    weight that they do not name is dense. `bill` has an entry for each of `ITEMS`; `by_layer` holds the same
    FLOPs by layer, without those of Hessian-vector products, which are counted as a whole.
    """

    def __init__(self, layers: Mapping[str, LayerFlops], product: int | None = None) -> None:
        self._layers = dict(layers)
        self._beside: set[str] = set()
        self._product = product
        self._uncharged = 0.0  # FLOPs of a checkpoint from before there were bills: no item, no layer is known
        self.bill = dict.fromkeys(ITEMS, 0.0)
        self.by_layer = dict.fromkeys(self._layers, 0.0)
        self.train_flops_dense_sgd = 0.0
        self.train_flops_published_rule = 0.0
        self.analysis_flops = 0.0
        self.examples_forward = 0
        self.examples_backward = 0

    @property
    def train_flops(self) -> float:
        """All that training was billed for."""
        return math.fsum([self._uncharged, *self.bill.values()])

    @property
    def itemised(self) -> bool:
        """Whether the bill tells all: not where a part was counted before there were bills."""
        return self._uncharged == 0

    def uses(self, name: str, weights: int) -> float:
        """How often the forward pass of one example multiplies by a weight of a dense layer that has so many."""
        return self._layers[name].forward / (2 * weights)

    def beside(self, layers: Mapping[str, LayerFlops]) -> None:
        """Layers that are no part of the network: they cost where densities name them, and nothing elsewhere."""
        self._layers |= layers
        self._beside |= layers.keys()
        self.by_layer |= dict.fromkeys(layers, 0.0)

    def forward(self, examples: int, densities: Mapping[str, float] | None = None, *, item: str = "scoring") -> None:
        """A forward pass that training needs beside its steps: the scoring pass of IDS."""
        self._charge(item, examples, self._forward(densities))
        self.examples_forward += examples

    def gradient(
        self,
        examples: int,
        densities: Mapping[str, float] | None = None,
        *,
        item: str = "fisher",
        updated: Mapping[str, float] | None = None,
    ) -> None:
        """A gradient that training needs beside its steps: a Fisher batch, the direction uphill of SAM ("other").

        `updated` are the densities of what the gradient is asked of, where that is not every weight.
        """
        self._charge(item, examples, self._gradient(densities, updated))
        self.examples_forward += examples
        self.examples_backward += examples

    def layer(self, name: str, examples: int, *, item: str = "other") -> None:
        """Steps of one dense layer alone, on inputs that are there already: no example passes the network."""
        flops = self._layers[name]
        self._charge(item, examples, {name: flops.forward + flops.weight_gradient})

    def products(self, examples: int, *, item: str = "other") -> None:
        """A Hessian-vector product that training needs, over `examples`."""
        self.bill[item] += examples * self._product_flops
        self.examples_forward += examples
        self.examples_backward += examples

    def step(
        self,
        forward_examples: int,
        backward_examples: int | None = None,
        densities: Mapping[str, float] | None = None,
        survivors_only: bool = False,
        updated: Mapping[str, float] | None = None,
        replayed: int = 0,
    ) -> None:
        """One training step: forward on some examples, backward on them or on fewer.

        The forward pass and the gradient of the inputs scale with the density of each layer; the gradient of
        the weights does so only where nothing but survivors is updated, or with the densities of what is `updated`,
        where the method says. `replayed` of the forward examples
        come from the rehearsal buffer. They cost what fresh ones do; the rule of published tables bills a
        fresh example 3F and a replayed one F.

        On the bill, an example that the backward pass leaves out was only scored; where some were, replayed
        ones are taken to be among them by their share.
        """
        back = forward_examples if backward_examples is None else backward_examples
        of_weights = updated if updated is not None else densities if survivors_only else None
        forward, backward = self._forward(densities), self._backward(densities, of_weights)
        fresh = (forward_examples - replayed) / forward_examples if forward_examples else 0.0
        fresh_back = fresh * back
        self._charge("fresh_forward", fresh_back, forward)
        self._charge("fresh_backward", fresh_back, backward)
        self._charge("replay", back - fresh_back, forward)
        self._charge("replay", back - fresh_back, backward)
        self._charge("scoring", forward_examples - back, forward)
        self.train_flops_published_rule += sum(forward.values()) * (fresh * (forward_examples + 2 * back) + replayed)
        self.examples_forward += forward_examples
        self.examples_backward += back

    def dense_step(self, examples: int) -> None:
        """What the same step would have cost dense SGD, for reference."""
        self.train_flops_dense_sgd += examples * sum(self._gradient(None).values())

    def analysis(self, forward_examples: int = 0, gradients: int = 0, products: int = 0) -> None:
        """What is computed only to be shown: examples of forward passes, of gradients, of HVPs, all dense."""
        self.analysis_flops += (
            forward_examples * sum(self._forward(None).values())
            + gradients * sum(self._gradient(None).values())
            + products * self._product_flops
        )

    def state(self) -> dict[str, Any]:
        """The counts by name, as JSON can hold them."""
        own = {"train_flops": self.train_flops, "bill": dict(self.bill), "by_layer": dict(self.by_layer)}
        return {**{name: getattr(self, name) for name in _COUNTS}, **own}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from the counts of `state()`; a checkpoint from before there were bills has a sum without items."""
        for name in _COUNTS:
            setattr(self, name, type(getattr(self, name))(state[name]))
        self.bill = {item: float(state.get("bill", {}).get(item, 0.0)) for item in ITEMS}
        self.by_layer = {name: float(state.get("by_layer", {}).get(name, 0.0)) for name in self._layers}
        told = math.fsum(self.bill.values())
        self._uncharged = 0.0 if state["train_flops"] == told else float(state["train_flops"]) - told

    def _charge(self, item: str, examples: float, costs: Mapping[str, float]) -> None:
        self.bill[item] += examples * sum(costs.values())
        for name, flops in costs.items():
            self.by_layer[name] += examples * flops

    @property
    def backward_to_forward(self) -> float:
        """FLOPs of an example's backward pass, in those of its forward pass: 2, or less with a wide first layer."""
        forward = sum(self._forward(None).values())
        return sum(self._backward(None, None).values()) / forward if forward else 2.0

    @property
    def _product_flops(self) -> float:
        return 3 * sum(self._gradient(None).values()) if self._product is None else self._product

    def _forward(self, densities: Mapping[str, float] | None) -> dict[str, float]:
        return {name: self._density(densities, name) * layer.forward for name, layer in self._layers.items()}

    def _backward(self, inputs: Mapping[str, float] | None, weights: Mapping[str, float] | None) -> dict[str, float]:
        return {
            name: self._density(inputs, name) * layer.input_gradient
            + self._density(weights, name) * layer.weight_gradient
            for name, layer in self._layers.items()
        }

    def _density(self, densities: Mapping[str, float] | None, name: str) -> float:
        unnamed = 0.0 if name in self._beside else 1.0
        return unnamed if densities is None else densities.get(name, unnamed)

    def _gradient(
        self, densities: Mapping[str, float] | None, updated: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        back = self._backward(densities, updated)
        return {name: flops + back[name] for name, flops in self._forward(densities).items()}


def peak_bytes(device: torch.device | str) -> int:
    """The most memory the process has held: allocated on a CUDA device, else resident in main memory."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def activation_bytes(network: nn.Module, inputs: Tensor) -> int:
    """The bytes that a training step's forward pass on `inputs` (b, ...) keeps for its backward pass.

    The parameters are not among them. What is kept twice under two shapes counts once.
    """
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, Tensor] = {}  # holding what is kept saves its addresses from being reused

    def note(saved: Tensor) -> None:
        # Nothing is given back: who asks for no gradient needs nothing, and a saved output that came back as itself
        # would hold its own graph, for ever.
        known = kept.get(saved.data_ptr())
        fresh = saved.untyped_storage().data_ptr() not in parameters
        if fresh and (known is None or known.nbytes < saved.nbytes):
            kept[saved.data_ptr()] = saved.detach()

    step = by_batch(network, len(inputs), moving=False)
    with step, torch.autograd.graph.saved_tensors_hooks(note, lambda nothing: nothing):
        network(inputs)
    return sum(tensor.nbytes for tensor in kept.values())


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
