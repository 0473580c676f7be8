"""Plane: the loss and the accuracy of a network at theta + a x + b y, for many (a, b)."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from esacl.curvature.objective import Batch, Data, Loss, Objective, check_like
from esacl.errors import InputError
from esacl.landscape.affine import Affine
from esacl.landscape.entrance import Entrance, Given, Layer, entrances, holders, narrow, products, put
from esacl.landscape.statistics import Recomputed, used, variances
from esacl.machine import keep_freed_memory

Correct = Callable[[Tensor, Tensor], Tensor]

# Examples at a time: only a forward pass's activations are alive.
CHUNK = 2048
TRIAL = (0.37, -0.61)  # coordinates at which the shortcut is compared with the whole network


class Plane:
    """The mean loss at theta + sum_i a_i direction_i, over one set of data.

    The network at a point is written into a copy, which is kept from point to point: to build it anew for each costs
    more than a small network's forward pass. The network itself is only read, once.

    A linear layer that sees the data itself (through operations without parameters, like flatten) is affine in the
    coordinates: its output is X W' + sum_i a_i X D_i'. These products are computed once, which saves most of the work
    of an MLP with wide inputs.

    Args:
        network: any module; only read.
        loss: a mean over the examples, as for `curvature.hessian`.
        data: a tuple of tensors or an iterable of batches.
        directions: {parameter or floating-point buffer name: tensor} each.
        correct: `correct(outputs, targets)`, a bool an example.
        chunk: examples at a time.
        statistics: which of BatchNorm's, one of `statistics.STATISTICS`.

    Attributes:
        statistics: those used, "none" without BatchNorm.
        device: where it is computed.

    Raises:
        InputError: a direction that does not fit the network, an unknown choice of statistics, statistics to be
            recomputed from data in several chunks, and whatever `hessian` refuses.
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
        statistics: str = "moved",
    ) -> None:
        every = [name for name, _ in network.named_parameters()]
        buffers = {name: b.detach().clone() for name, b in network.named_buffers() if b.is_floating_point()}
        self.statistics = used(network, statistics, any(name in buffers for d in directions for name in d))
        if chunk is None and self.statistics != "recomputed":
            chunk = CHUNK
        self._objective = Objective(network, loss, data, names=every, chunk=chunk or 2**62)
        self._objective.refuse_chance()
        self.device = self._objective.device
        self._batches = self._objective.batches
        if self.statistics == "recomputed" and len(self._batches) > 1:
            raise InputError(
                f"statistics are recomputed over all examples at once, but the data comes in {len(self._batches)} "
                "chunks; pass one tuple of tensors and leave `chunk` out"
            )
        self._correct = correct
        if correct is not None and len(self._batches[0]) < 2:
            raise InputError("an accuracy needs targets; pass (inputs, targets) or leave `correct` out")
        self._total = sum(float(batch[2].sum()) if len(batch) > 2 else len(batch[0]) for batch in self._batches)
        start = {**self._objective.parameters, **buffers}
        self._directions = [_moving(start, d, fixed=buffers if statistics == "kept" else {}) for d in directions]
        self._inside = self._affine(start)
        self._entrances: list[Affine] = [Affine({}, self._directions) for _ in self._batches]
        self._weights: dict[int, str] = {}  # id of an entrance's weight -> its name; of living tensors only
        self._given: dict[str, Given] = {}  # what stands for the entrances in the copy, by the weight's name
        layers = self._shortcut(start) if self.statistics in ("none", "kept") else []
        self._copy = _copied(network, self._objective.parameters)
        if self._copy is None:
            return
        state = dict(self._copy.named_parameters()) | dict(self._copy.named_buffers())
        for name in self._inside.moved:
            state[name].data = torch.empty_like(state[name])
        self._inside = self._affine(start, [name for pair in layers for name in pair], state)
        self._give(self._copy, layers)
        self._overwrite(self._copy, layers)
        keep_freed_memory()

    def cell(self, *at: float) -> tuple[float, float | None]:
        """(loss, accuracy) at the coordinates: NaN where the loss is not finite, None if not asked for."""
        losses, accuracies = self.read(self.measured(at)[None])
        return float(losses[0]), None if accuracies is None else float(accuracies[0])

    @torch.no_grad()
    def measured(self, at: Sequence[float]) -> Tensor:
        """(chunks, 2): loss and, where asked for, number of right answers; on the device, nothing waits for it."""
        if self._copy is None:
            return self.mapped(torch.tensor(at, dtype=torch.float64))
        self._inside.write(at)
        found = []
        for batch, entrance in zip(self._batches, self._entrances):
            found.append(self._judged(self._copied_outputs(self._copy, batch, entrance.write(at)), batch))
        return torch.stack(found)

    def mapped(self, coordinates: Tensor) -> Tensor:
        """`measured` at coordinates (d,) as a function that `torch.vmap` can map over many of them."""
        values = self._inside.at(coordinates)
        found = []
        for batch, entrance in zip(self._batches, self._entrances):
            outputs = self._outputs(values, batch, entrance.at(coordinates))
            found.append(self._judged(outputs, batch))
        return torch.stack(found)

    def read(self, measured: Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        """Losses (m,) and accuracies (m,) of what was measured (m, chunks, 2): NaN where the loss is not finite."""
        values = measured.cpu().double().numpy()
        losses = values[:, :, 0] @ np.array([self._objective.share(batch) for batch in self._batches])
        holes = ~np.isfinite(losses)
        losses[holes] = np.nan
        if self._correct is None:
            return losses, None
        accuracies = values[:, :, 1].sum(axis=1) / self._total
        accuracies[holes] = np.nan
        return losses, accuracies

    def _judged(self, outputs: Tensor, batch: Batch) -> Tensor:
        """(2,) of a batch; without `correct` (1,), the loss only."""
        loss = self._objective.loss_of(outputs, batch)
        wide = torch.promote_types(loss.dtype, torch.float32)  # a half could not count far
        if self._correct is None:
            return loss.to(wide)[None]
        counts = self._correct(outputs, batch[1]).to(wide)
        right = (counts * batch[2].to(wide) if len(batch) > 2 else counts).sum()
        return torch.stack([loss.to(wide), right])

    def _outputs(self, values: Mapping[str, Tensor], batch: Batch, entrance: Mapping[str, Tensor]) -> Tensor:
        """The network's outputs at these values, and these outputs of the layers at the entrance."""
        with self._replacing(batch, entrance):
            return self._objective.outputs(values, batch[0])

    def _copied_outputs(self, network: nn.Module, batch: Batch, entrance: Mapping[str, Tensor]) -> Tensor:
        """The outputs of the copy as it stands."""
        for name, given in self._given.items():
            given.output = entrance[name]
        with contextlib.nullcontext() if self._given else self._replacing(batch, entrance):
            outputs: Tensor = network(batch[0])
            return outputs

    def _replacing(self, batch: Batch, outputs: Mapping[str, Tensor]) -> contextlib.AbstractContextManager[object]:
        if self.statistics == "recomputed":
            return Recomputed(batch[2] if len(batch) > 2 else None)
        if not outputs:
            return contextlib.nullcontext()
        return Entrance({number: outputs[name] for number, name in self._weights.items()})

    def _affine(
        self, start: Mapping[str, Tensor], without: Iterable[str] = (), out: Mapping[str, Tensor] | None = None
    ) -> Affine:
        moved = {name for direction in self._directions for name in direction} - set(without)
        inside = {name: tensor for name, tensor in start.items() if name in moved}
        return Affine(inside, self._directions, out, variances(inside))

    @torch.no_grad()
    def _shortcut(self, start: Mapping[str, Tensor]) -> list[Layer]:
        """Use the products at the entrance where they give what the network gives; the layers they stand for."""
        layers = entrances(self._objective)
        if not layers:
            return []
        self._weights = {id(self._objective.parameters[weight]): weight for weight, _ in layers}
        # A weight may be used a second time out of sight (tied, transposed): trust the shortcut where it agrees.
        few, at = self._few(), torch.tensor(TRIAL[: len(self._directions)], dtype=torch.float64)
        inside = self._affine(start, [name for pair in layers for name in pair])
        short = products(self._objective, few, layers, self._directions)
        if not _agree(self._outputs(inside.at(at), few, short.at(at)), self._outputs(self._inside.at(at), few, {})):
            return []
        self._inside = inside
        self._entrances = [products(self._objective, batch, layers, self._directions) for batch in self._batches]
        return layers

    @torch.no_grad()
    def _give(self, network: nn.Module, layers: Sequence[Layer]) -> None:
        """Let modules that are given the products stand in the copy for the layers, where that too agrees."""
        weights = [weight for weight, _ in layers]
        paths = holders(network, weights)
        if paths:
            few, at = self._few(), TRIAL[: len(self._directions)]
            self._inside.write(at)
            short = products(self._objective, few, layers, self._directions).write(at)
            direct = self._outputs(self._inside.at(torch.tensor(at, dtype=torch.float64)), few, short)
            self._given = {weight: Given() for weight in paths}
            replaced = {path: put(network, path, self._given[weight]) for weight, path in paths.items()}
            try:
                agrees = _agree(self._copied_outputs(network, few, short), direct)
            except AttributeError:  # the network asks the layer for its weight
                agrees = False
            if not agrees:
                self._given = {}
                for path, layer in replaced.items():
                    put(network, path, layer)
        if not self._given:
            self._weights |= {id(p): name for name, p in network.named_parameters() if name in weights}

    @torch.no_grad()
    def _overwrite(self, network: nn.Module, layers: Sequence[Layer]) -> None:
        """Let every ReLU of the copy write over its input, where that changes neither the outputs nor the data.

        What an elementwise operation costs here is the memory it touches first.
        """
        at = TRIAL[: len(self._directions)]
        seen = tuple(part.clone() for part in self._few())

        def outputs() -> Tensor:
            self._inside.write(at)
            entrance = products(self._objective, seen, layers, self._directions).write(at)
            return self._copied_outputs(network, seen, entrance)

        relus = [module for module in network.modules() if type(module) is nn.ReLU and not module.inplace]
        before = outputs().clone()
        for module in relus:
            module.inplace = True
        same = torch.equal(outputs(), before) and all(map(torch.equal, seen, self._few()))
        for module in relus:
            module.inplace = same

    def _few(self) -> Batch:
        """Some examples, for a trial."""
        return tuple(part[:32] for part in self._batches[0])


def _moving(
    start: Mapping[str, Tensor], direction: Mapping[str, Tensor], fixed: Mapping[str, object]
) -> dict[str, Tensor]:
    for name, tensor in direction.items():
        check_like(name, tensor, dict(start))
    moved = {name: tensor.detach().to(start[name]) for name, tensor in direction.items() if name not in fixed}
    return {name: tensor for name, tensor in moved.items() if bool(tensor.any())}


def _agree(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def _copied(network: nn.Module, parameters: Mapping[str, Tensor]) -> nn.Module | None:
    """A copy to write points into, which shares the tensors of `parameters`.

    None where a network cannot be copied (it holds results of its own weights).
    """
    shared: dict[int, Any] = {
        id(p): nn.Parameter(parameters[name], requires_grad=False) for name, p in network.named_parameters()
    }
    try:
        copied = copy.deepcopy(network, shared)
    except (RuntimeError, TypeError):
        return None
    narrow(copied)
    return copied
