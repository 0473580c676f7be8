"""Costs: the running bill of a run, FLOPs counted once for a dense step (`esacl.flops`) and scaled by densities."""

import math
from collections.abc import Mapping
from typing import Any

from esacl.flops import LayerFlops

_COUNTS = (
    "train_flops_dense_sgd", "train_flops_published_rule", "analysis_flops", "examples_forward", "examples_backward",
)  # fmt: skip
# What training is billed for. Their sum is `train_flops`: nothing is counted that is not on the bill.
ITEMS = ("fresh_forward", "fresh_backward", "replay", "scoring", "fisher", "other")


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

    def similarities(self, name: str, products: int, examples: int, length: int, *, item: str = "other") -> None:
        """Products of the vectors of a batch with each other, (examples, length) by (length, examples).

        They stand among the layers under a name that `beside` was told.
        """
        self._charge(item, 1, {name: 2.0 * products * examples * examples * length})

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
