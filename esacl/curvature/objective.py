"""The mean loss of a network as a function of its parameters: what every curvature and landscape is of.

The network is only read: each evaluation goes through `torch.func.functional_call` with `strict=True`, because a
misnamed parameter would be ignored silently otherwise.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from esacl.errors import InputError

Batch = tuple[Tensor, ...]
Loss = Callable[..., Tensor]
Data = Sequence[Tensor] | Iterable[Sequence[Tensor]]

# A graph of the gradient (what a retained HVP keeps) may take this much memory; beyond it the data is cut in chunks.
GRAPH_BYTES = 1 << 30
EXAMPLES_CHECKED = 64
"""How many examples a determinism check looks at: chance shows in few."""


class Objective:
    """L(theta) = mean over examples of the loss, for any values of the network's parameters.

    `data` is one tuple `(inputs, *rest)` of tensors with the examples along the first axis, or an iterable of such
    batches; `loss(outputs, *rest)` is a mean over examples, so batches add up weighted by their size. Batches of one
    shape are joined and cut again into chunks of `chunk` examples; by default the largest whose gradient graph stays
    under `GRAPH_BYTES`.

    Attributes:
        parameters: name -> detached tensor of every parameter, in `dtype`.
        names: the parameters the function is differentiated by, in the network's order.
        batches: the chunks.
        examples: how many examples there are.

    Raises:
        InputError: no data, unequal lengths, a name that is no parameter, a layer whose output depends on chance or on
            the other examples (dropout, BatchNorm in training mode), a loss that is no scalar.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        data: Data,
        *,
        names: Iterable[str] | None = None,
        chunk: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        refuse_stochastic(network)
        self._network, self._loss = network, loss
        self.parameters = {name: _copy(p, dtype) for name, p in network.named_parameters()}
        self.names = _chosen(network, names)
        kinds = {(self.parameters[name].dtype, self.parameters[name].device) for name in self.names}
        if len(kinds) > 1:
            raise InputError("the parameters are of several dtypes or on several devices; bring them to one")
        ((self.dtype, self.device),) = kinds
        self._buffers = {name: _copy(b, dtype) for name, b in network.named_buffers()}
        joined = _joined([_moved(batch, self.device, dtype) for batch in _as_batches(data)])
        self.examples = sum(len(batch[0]) for batch in joined)
        if chunk is not None and chunk < 1:
            raise InputError(f"chunk {chunk} is not a number of examples; choose 1 or more, or leave it out")
        size = chunk or self._fitting_chunk(joined[0])
        self.batches = [tuple(parts) for b in joined for parts in zip(*(t.split(size) for t in b))]

    def of(self, rows: Tensor) -> "Objective":
        """The mean over some of the examples only, by their numbers (m,); the parameters are shared.

        Raises:
            InputError: examples of several shapes, which have no common numbering.
        """
        if len({tuple((part.shape[1:], part.dtype) for part in batch) for batch in self.batches}) > 1:
            raise InputError("the examples are of several shapes and cannot be divided; pass one tuple of tensors")
        part = copy.copy(self)
        size = len(self.batches[0][0])
        chosen = [torch.cat(parts)[rows.to(self.device)].split(size) for parts in zip(*self.batches)]
        part.batches, part.examples = list(zip(*chosen)), len(rows)
        return part

    def outputs(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """The network's outputs (n, ...) at these parameters; those left out keep the network's values."""
        values = {**self.parameters, **self._buffers, **parameters}
        result: Tensor = functional_call(self._network, values, (inputs,), strict=True)
        return result

    def batch_loss(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The loss () of one batch, differentiable by `parameters`."""
        return self.loss_of(self.outputs(parameters, batch[0]), batch)

    def loss_of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss () of a batch whose outputs are known.

        Raises:
            InputError: the loss is no scalar.
        """
        value = self._loss(outputs, *batch[1:])
        if not isinstance(value, Tensor) or value.dim() != 0:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"the loss returned {shape}, not a scalar; return the mean over the examples")
        return value

    def share(self, batch: Batch) -> float:
        """The weight of a batch in the mean."""
        return len(batch[0]) / self.examples

    @torch.no_grad()
    def value(self, parameters: Mapping[str, Tensor] | None = None) -> float:
        """L at these parameters, added up in float64."""
        return sum(self.share(b) * float(self.batch_loss(parameters or {}, b)) for b in self.batches)

    @torch.no_grad()
    def refuse_chance(self) -> None:
        """Evaluate the loss of the first examples twice: the Hessian is of one function only if both agree.

        The global random numbers are put back, so that looking costs none of them.

        Raises:
            InputError: they differ beyond rounding.
        """
        batch = tuple(part[:EXAMPLES_CHECKED] for part in self.batches[0])
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            first, second = (float(self.batch_loss({}, batch)) for _ in range(2))
        apart = abs(first - second)
        if apart > 1000 * torch.finfo(self.dtype).eps * max(abs(first), abs(second)):
            raise InputError(
                f"the loss differs between two evaluations by {apart:.2g}; take out what draws random numbers "
                "(functional dropout, augmentation, noise) or keeps state"
            )

    def displaced(self, along: Mapping[str, Tensor], step: float = 1.0) -> dict[str, Tensor]:
        """Values of the parameters at theta + step * along, for the parameters that `along` names.

        Raises:
            InputError: a name that is no parameter, or another shape.
        """
        for name, direction in along.items():
            check_like(name, direction, self.parameters)
        return {
            name: self.parameters[name] + step * direction.detach().to(self.parameters[name])
            for name, direction in along.items()
        }

    def tangent(self, parameters: Mapping[str, Tensor]) -> "Objective":
        """The same with the loss replaced by its tangent <dL/df, f> at the outputs f that these parameters give."""
        part = copy.copy(self)
        part._loss = _inner
        part.batches = []
        for batch in self.batches:
            with torch.no_grad():
                outputs = self.outputs(parameters, batch[0])
            with torch.enable_grad():
                (slope,) = torch.autograd.grad(self.loss_of(outputs.requires_grad_(), batch), outputs)
            part.batches.append((batch[0], slope))
        return part

    def leaves(self, parameters: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Fresh leaves of the chosen parameters; no copy, so never change them in place."""
        values = {**self.parameters, **(parameters or {})}
        return {name: values[name].detach().requires_grad_() for name in self.names}

    def gradient(self, parameters: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The gradient of L by the chosen parameters, at these parameters."""
        leaves = self.leaves(parameters)
        fixed = {**(parameters or {}), **leaves}
        total = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
        for batch in self.batches:
            for name, part in zip(self.names, self.graph(fixed, leaves, batch, differentiable=False)):
                total[name] += self.share(batch) * part
        return total

    def graph(
        self, parameters: Mapping[str, Tensor], leaves: Mapping[str, Tensor], batch: Batch, *, differentiable: bool
    ) -> tuple[Tensor, ...]:
        """The gradient of one batch's loss by the leaves; zeros where the loss does not depend on a leaf."""
        with torch.enable_grad():
            value = self.batch_loss(parameters, batch)
            if not value.requires_grad:
                raise InputError("the loss does not depend on the parameters; does it detach the outputs?")
            return torch.autograd.grad(
                value, tuple(leaves.values()), create_graph=differentiable, materialize_grads=True
            )

    def _fitting_chunk(self, batch: Batch) -> int:
        examples = len(batch[0])
        if examples < 3:
            return examples
        one, two = (self._graph_bytes(tuple(part[:count] for part in batch)) for count in (1, 2))
        return max(1, min(self.examples, GRAPH_BYTES // max(two - one, 1)))

    def _graph_bytes(self, batch: Batch) -> int:
        sizes: dict[int, int] = {}
        boxes: list[list[Tensor]] = []

        def seen(tensor: Tensor) -> list[Tensor]:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            boxes.append([tensor])
            return boxes[-1]

        leaves = self.leaves()
        with torch.autograd.graph.saved_tensors_hooks(seen, lambda box: box[0]):
            self.graph(leaves, leaves, batch, differentiable=True)
        for box in boxes:
            box.clear()  # what a step made and saved would hold the step that holds it, for ever
        return sum(sizes.values())


def refuse_stochastic(network: nn.Module) -> None:
    """Refuse layers under which the loss is no mean over examples of a function of the parameters.

    Raises:
        InputError: dropout or BatchNorm in training mode, or BatchNorm without running statistics.
    """
    for name, module in network.named_modules():
        what = f"layer {name or 'network'!r} ({type(module).__name__})"
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.running_mean is None:
                raise InputError(f"{what} keeps no running statistics: examples depend on each other")
            if module.training:
                raise InputError(f"{what} is in training mode: examples depend on each other; call .eval()")
        dropout = isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
        if module.training and (dropout or (isinstance(module, nn.RNNBase) and module.dropout > 0)):
            raise InputError(f"{what} is in training mode: the loss depends on chance; call .eval()")


def check_like(name: str, value: Tensor, parameters: Mapping[str, Tensor]) -> None:
    """Refuse a tensor that does not stand for the parameter of that name.

    Raises:
        InputError: no such parameter, or another shape.
    """
    if name not in parameters:
        raise InputError(f"{name!r} is no parameter of the network; choose from {', '.join(parameters)}")
    if value.shape != parameters[name].shape:
        raise InputError(
            f"{name!r} has shape {tuple(value.shape)}, but the parameter has {tuple(parameters[name].shape)}"
        )


def _inner(outputs: Tensor, slope: Tensor) -> Tensor:
    return (outputs * slope).sum()


def _chosen(network: nn.Module, names: Iterable[str] | None) -> tuple[str, ...]:
    known = dict(network.named_parameters())
    wanted = {name for name, p in known.items() if p.requires_grad} if names is None else set(names)
    if unknown := sorted(wanted - known.keys()):
        raise InputError(f"{unknown[0]!r} is no parameter of the network; choose from {', '.join(known)}")
    if not wanted:
        raise InputError("no parameter to differentiate by; all are frozen or `names` is empty")
    return tuple(name for name in known if name in wanted)


def _as_batches(data: Data) -> list[Batch]:
    """The batches of what the user passed: one tuple of tensors, or an iterable of them.

    Raises:
        InputError: nothing in it, something else than tensors, tensors of unequal lengths.
    """
    items: list[Any] = list(data)
    batches = [tuple(items)] if items and isinstance(items[0], Tensor) else [tuple(item) for item in items]
    for batch in batches:
        if not batch or not all(isinstance(part, Tensor) and part.dim() for part in batch):
            raise InputError("a batch must be a tuple (inputs, targets[, weights]) of tensors")
        if len({len(part) for part in batch}) > 1:
            raise InputError(f"a batch has unequal lengths {[len(part) for part in batch]}; they must agree")
    batches = [batch for batch in batches if len(batch[0])]
    if not batches:
        raise InputError("there are no examples in the data; pass at least one")
    return batches


def _joined(batches: list[Batch]) -> list[Batch]:
    shapes = {tuple((part.shape[1:], part.dtype) for part in batch) for batch in batches}
    if len(batches) == 1 or len(shapes) > 1:
        return batches
    return [tuple(torch.cat(parts) for parts in zip(*batches))]


def _moved(batch: Batch, device: torch.device, dtype: torch.dtype | None) -> Batch:
    return tuple(_cast(part.detach().to(device), dtype) for part in batch)


def _copy(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A snapshot: training may go on between two rows of a slice, and must not move it."""
    return _cast(tensor.detach(), dtype).clone()


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
