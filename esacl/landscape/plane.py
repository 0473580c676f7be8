"""Plane: the loss and the accuracy of a network at theta + a x + b y, for many (a, b)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from esacl.curvature.objective import Batch, Data, Loss, Objective, check_like
from esacl.errors import InputError

Correct = Callable[[Tensor, Tensor], Tensor]

# Examples at a time: only a forward pass's activations are alive.
CHUNK = 2048

# id of a weight tensor -> the layer's output (n, o) at theta, then what each direction adds to it.
Products = dict[int, list[Tensor]]


class Plane:
    """The mean loss at theta + sum_i a_i direction_i, over one set of data.

    A linear layer that sees the data itself (through operations without parameters, like flatten) is affine in the
    coordinates: its output is X W' + sum_i a_i X D_i'. These products are computed once, which saves most of the work
    of an MLP with wide inputs.

    Args:
        network: any module; only read.
        loss: a mean over the examples, as for `curvature.hessian`.
        data: a tuple of tensors or an iterable of batches.
        directions: {parameter name: tensor} each.
        correct: `correct(outputs, targets)`, a bool an example.
        chunk: examples at a time.

    Raises:
        InputError: a direction that does not fit the network, and whatever `hessian` refuses.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        data: Data,
        directions: Sequence[Mapping[str, Tensor]],
        *,
        correct: Correct | None = None,
        chunk: int | None = None,
    ) -> None:
        every = [name for name, _ in network.named_parameters()]
        self._objective = Objective(network, loss, data, names=every, chunk=chunk or CHUNK)
        self._directions = [_without_zeros(self._objective, direction) for direction in directions]
        self._correct = correct
        if correct is not None and len(self._objective.batches[0]) < 2:
            raise InputError("an accuracy needs targets; pass (inputs, targets) or leave `correct` out")
        self._moving = {name for direction in self._directions for name in direction}
        self._products: list[Products] = [{} for _ in self._objective.batches]
        self._precompute()

    @torch.no_grad()
    def cell(self, *at: float) -> tuple[float, float | None]:
        """(loss, accuracy) at the coordinates: NaN where the loss is not finite, None if not asked for."""
        values = self._values(at)
        loss, right, weight = 0.0, 0.0, 0.0
        for batch, products in zip(self._objective.batches, self._products):
            outputs = self._outputs(values, batch[0], products, at)
            loss += self._objective.share(batch) * float(self._objective.loss_of(outputs, batch))
            if self._correct is not None:
                counts = batch[2] if len(batch) > 2 else torch.ones(len(batch[0]), device=outputs.device)
                right += float((self._correct(outputs, batch[1]) * counts).sum())
                weight += float(counts.sum())
        if not math.isfinite(loss):
            return math.nan, None if self._correct is None else math.nan
        return loss, None if self._correct is None else right / weight

    def _outputs(self, values: Mapping[str, Tensor], inputs: Tensor, products: Products, at: Sequence[float]) -> Tensor:
        if not products:
            return self._objective.outputs(values, inputs)
        with _Entrance(products, at):
            return self._objective.outputs(values, inputs)

    @torch.no_grad()
    def _precompute(self) -> None:
        layers = _entrances(self._objective)
        if not layers:
            return
        products = [_products(self._objective, b, layers, self._directions) for b in self._objective.batches]
        # A weight may be used a second time out of sight (tied, transposed): trust the shortcut where it agrees.
        inputs, at = self._objective.batches[0][0], (0.37, -0.61)
        values = self._values(at)
        inner = self._moving - {name for pair in layers for name in pair}
        direct = self._outputs(values, inputs, {}, at)
        short = self._outputs({name: values[name] for name in inner}, inputs, products[0], at)
        if torch.allclose(short, direct, rtol=1e-3, atol=1e-4):
            self._products, self._moving = products, inner

    def _values(self, at: Sequence[float]) -> dict[str, Tensor]:
        values = {}
        for name in self._moving:
            value = self._objective.parameters[name]
            for step, direction in zip(at, self._directions):
                if step and name in direction:
                    value = value.add(direction[name], alpha=step)
            values[name] = value
        return values


class _Entrance(TorchFunctionMode):
    """Replaces each linear layer that sees the data by its products, recognised by its weight tensor."""

    def __init__(self, products: Mapping[int, Sequence[Tensor]], at: Sequence[float]) -> None:
        super().__init__()
        self._products, self._at = products, at

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is linear and len(args) > 1 and id(args[1]) in self._products:
            start, *steps = self._products[id(args[1])]
            for step, product in zip(self._at, steps):
                start = start.add(product, alpha=step)
            return start
        return func(*args, **(kwargs or {}))


class _Calls(TorchFunctionMode):
    """Notes every linear layer's input, weight and bias."""

    def __init__(self) -> None:
        super().__init__()
        self.linear: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is linear and len(args) > 1:
            bias = args[2] if len(args) > 2 else (kwargs or {}).get("bias")
            self.linear.append((args[0], args[1], bias))
        return func(*args, **(kwargs or {}))


def _without_zeros(objective: Objective, direction: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in direction.items():
        check_like(name, tensor, objective.parameters)
    moved = {name: tensor.detach().to(objective.parameters[name]) for name, tensor in direction.items()}
    return {name: tensor for name, tensor in moved.items() if bool(tensor.any())}


def _entrances(objective: Objective) -> list[tuple[str, str]]:
    """(weight, bias or "") of the linear layers whose input depends on no parameter."""
    leaves = objective.leaves()
    names = {id(leaf): name for name, leaf in leaves.items()}
    with torch.enable_grad(), _Calls() as calls:
        objective.outputs(leaves, objective.batches[0][0][:1])
    return [
        (names[id(weight)], "" if bias is None else names[id(bias)])
        for inputs, weight, bias in calls.linear
        if not inputs.requires_grad and id(weight) in names and (bias is None or id(bias) in names)
    ]


def _products(
    objective: Objective,
    batch: Batch,
    layers: Sequence[tuple[str, str]],
    directions: Sequence[Mapping[str, Tensor]],
) -> Products:
    with _Calls() as calls:
        objective.outputs({}, batch[0])
    inputs = {id(weight): seen for seen, weight, _ in calls.linear}
    products = {}
    for weight_name, bias_name in layers:
        weight = objective.parameters[weight_name]
        seen = inputs[id(weight)]
        bias = objective.parameters[bias_name] if bias_name else None
        steps = [linear(seen, d.get(weight_name, torch.zeros_like(weight)), d.get(bias_name)) for d in directions]
        products[id(weight)] = [linear(seen, weight, bias), *steps]
    return products
