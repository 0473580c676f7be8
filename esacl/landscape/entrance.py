"""Linear layers that see the data itself: affine in the coordinates, so their products are computed once."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from esacl.curvature.objective import Batch, Objective
from esacl.landscape.affine import Affine

Layer = tuple[str, str]  # names of the weight and the bias, "" without one


class Entrance(TorchFunctionMode):
    """Replaces the output of each layer, which is recognised by its weight tensor.

    Args:
        outputs: id of the weight tensor -> output (n, o).
    """

    def __init__(self, outputs: Mapping[int, Tensor]) -> None:
        super().__init__()
        self._outputs = outputs

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is linear and len(args) > 1 and id(args[1]) in self._outputs:
            return self._outputs[id(args[1])]
        return func(*args, **(kwargs or {}))


class Given(nn.Module):
    """Stands for a linear layer in a copy of the network, and returns what it was given: cheaper than `Entrance`.

    Attributes:
        output: (n, o), to be set before each pass.
    """

    output: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """The output, whatever the inputs."""
        return self.output


class Narrow(nn.Linear):
    """A linear layer with few outputs, as W X': on a CPU X W' takes two to three times as long (500 x 400 x 10)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, i) -> (n, o)."""
        if inputs.dim() != 2 or self.bias is None:
            return super().forward(inputs)
        return torch.addmm(self.bias[:, None], self.weight, inputs.t()).t()


def narrow(network: nn.Module, outputs: int = 16) -> None:
    """Make every plain linear layer of at most so many outputs a `Narrow` one."""
    for module in network.modules():
        if type(module) is nn.Linear and module.out_features <= outputs and module.weight.device.type == "cpu":
            module.__class__ = Narrow


def holders(network: nn.Module, weights: Sequence[str]) -> dict[str, str]:
    """The path of the one plain linear layer that holds each weight; empty if a weight is held otherwise."""
    parameters = dict(network.named_parameters())
    layers = [(path, m) for path, m in network.named_modules(remove_duplicate=False) if type(m) in (nn.Linear, Narrow)]
    found = {weight: [path for path, m in layers if m.weight is parameters[weight]] for weight in weights}
    if not all(len(paths) == 1 and paths[0] for paths in found.values()):
        return {}
    return {weight: path for weight, (path,) in found.items()}


def put(network: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """Put a module in the place of the one at a path, and return that one."""
    above, _, own = path.rpartition(".")
    before = network.get_submodule(path)
    setattr(network.get_submodule(above), own, module)
    return before


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


def entrances(objective: Objective) -> list[Layer]:
    """The linear layers whose input depends on no parameter (through operations without any, like flatten)."""
    leaves = objective.leaves()
    names = {id(leaf): name for name, leaf in leaves.items()}
    with torch.enable_grad(), _Calls() as calls:
        objective.outputs(leaves, objective.batches[0][0][:1])
    return [
        (names[id(weight)], "" if bias is None else names[id(bias)])
        for inputs, weight, bias in calls.linear
        if not inputs.requires_grad and id(weight) in names and (bias is None or id(bias) in names)
    ]


@torch.no_grad()
def products(
    objective: Objective, batch: Batch, layers: Sequence[Layer], directions: Sequence[Mapping[str, Tensor]]
) -> Affine:
    """By weight name, the layers' outputs (n, o) of a batch: X W' + b, and what each direction adds to it."""
    with _Calls() as calls:
        objective.outputs({}, batch[0])
    inputs = {id(weight): seen for seen, weight, _ in calls.linear}
    start: dict[str, Tensor] = {}
    steps: list[dict[str, Tensor]] = [{} for _ in directions]
    for weight_name, bias_name in layers:
        weight = objective.parameters[weight_name]
        seen = inputs[id(weight)]
        start[weight_name] = linear(seen, weight, objective.parameters[bias_name] if bias_name else None)
        for step, direction in zip(steps, directions):
            if weight_name in direction or bias_name in direction:
                along = direction.get(weight_name, torch.zeros_like(weight))
                step[weight_name] = linear(seen, along, direction.get(bias_name))
    return Affine(start, steps)
