"""The Gauss-Newton part of a Hessian: its trace exactly, by one backward pass an output and no probe.

With outputs f and loss L(f), the Hessian by the parameters is H = G + R: G = J' (d^2 L / df^2) J, and R the second
derivatives of the outputs weighted by dL/df (`Objective.tangent`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from esacl.curvature.objective import Batch, Objective
from esacl.curvature.operator import Hessian

BLOCK_BYTES = 1 << 23  # gradients of single examples that are alive at once
MOST_OUTPUTS = 1024  # beyond it the second derivatives by the outputs take more than the network
AGREES = 1e-3  # relative: layers that are further from plain autograd than this are not trusted


@dataclass(frozen=True)
class _Call:
    """One use of a layer's parameters."""

    kind: str  # linear, conv or norm
    names: tuple[str, str]  # of the weight and the bias, "" without one
    inputs: Tensor
    outputs: Tensor
    shape: torch.Size  # of the weight
    options: tuple[Any, ...]  # conv: stride, padding, dilation; norm: mean, variance, eps


class _Calls(TorchFunctionMode):
    """Notes every use of a parameter by a layer whose gradients of single examples are known."""

    def __init__(self, leaves: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._names = {id(leaf): name for name, leaf in leaves.items()}
        self.calls: list[_Call] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in _KINDS:
            seen = dict(zip(_KINDS[func][1], args)) | (kwargs or {})
            names = tuple(self._names.get(id(seen.get(key)), "") for key in ("weight", "bias"))
            if any(names) and (call := _call(_KINDS[func][0], names, seen, found)):
                self.calls.append(call)
        return found


_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_NORM = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
_KINDS: dict[Any, tuple[str, tuple[str, ...]]] = {
    functional.linear: ("linear", ("input", "weight", "bias")),
    functional.conv2d: ("conv", _CONV),
    functional.batch_norm: ("norm", _NORM),
}


def passes(operator: Hessian) -> int | None:
    """How many backward passes the trace takes; None where the network has layers that are not known here."""
    objective = operator.objective
    batch = tuple(part[:2] for part in objective.batches[0])
    leaves = operator.leaves
    outputs, calls = _forward(operator, batch)
    wide = outputs[0].numel()
    covered = sorted(name for call in calls for name in call.names if name in leaves)
    if covered != sorted(leaves) or wide > MOST_OUTPUTS or not outputs.requires_grad:
        return None
    seeds = torch.linspace(1, 2, outputs.numel(), dtype=outputs.dtype, device=outputs.device).view_as(outputs)
    kept = operator.survivors()
    short = _squares(calls, _slopes(calls, outputs, seeds), torch.ones(len(outputs)).to(outputs), kept)
    plain = 0.0
    for one, seed in zip(outputs, seeds):
        parts = torch.autograd.grad(one, tuple(leaves.values()), seed, retain_graph=True, materialize_grads=True)
        plain += sum(float((p.square() * kept[n] if n in kept else p.square()).sum()) for n, p in zip(leaves, parts))
    return wide * len(objective.batches) if abs(short - plain) <= AGREES * plain else None


def trace_parts(operator: Hessian) -> Iterator[float]:
    """What the trace of G is the sum of: one number a backward pass, `passes(operator)` of them.

    With d^2 L / df^2 of an example as sum_k lambda_k u_k u_k', its share is sum_k lambda_k |J'u_k|^2. The gradient of
    one example by a layer's weight is the product of what enters the layer and what comes back to it, so that squared
    norms need no gradient of a single example where the layer is linear.

    Source: Dangel, Kunstner & Hennig, BackPACK (2020) (exact diagonal of the Gauss-Newton matrix).
    """
    objective, kept = operator.objective, operator.survivors()
    for batch in objective.batches:
        outputs, calls = _forward(operator, batch)
        values, vectors = torch.linalg.eigh(_second_derivatives(objective, outputs.detach(), batch))
        share, nothing = objective.share(batch), 10 * torch.finfo(values.dtype).eps * values.abs().max()
        for k in range(values.shape[1]):
            weights = values[:, k]
            if bool((weights.abs() <= nothing).all()):
                yield 0.0
                continue
            slopes = _slopes(calls, outputs, vectors[:, :, k].view_as(outputs))
            yield share * _squares(calls, slopes, weights, kept)


def _call(kind: str, names: tuple[str, ...], seen: Mapping[str, Any], outputs: Tensor) -> _Call | None:
    if kind == "conv" and (seen.get("groups", 1) != 1 or isinstance(seen.get("padding", 0), str)):
        return None
    if kind == "norm" and (seen.get("training") or seen["running_mean"] is None):
        return None
    options: tuple[Any, ...] = ()
    if kind == "conv":
        options = (seen.get("stride", 1), seen.get("padding", 0), seen.get("dilation", 1))
    if kind == "norm":
        options = (seen["running_mean"], seen["running_var"], seen.get("eps", 1e-5))
    shape = seen["weight"].shape if seen.get("weight") is not None else torch.Size()
    return _Call(kind, (names[0], names[1]), seen["input"].detach(), outputs, shape, options)


def _forward(operator: Hessian, batch: Batch) -> tuple[Tensor, list[_Call]]:
    with torch.enable_grad(), _Calls(operator.leaves) as seen:
        outputs = operator.objective.outputs(operator.point, batch[0])
    return outputs, seen.calls


def _slopes(calls: list[_Call], outputs: Tensor, seeds: Tensor) -> tuple[Tensor, ...]:
    """What comes back to each layer from these weights of the outputs."""
    return torch.autograd.grad(
        outputs, [call.outputs for call in calls], seeds, retain_graph=True, materialize_grads=True
    )


def _second_derivatives(objective: Objective, outputs: Tensor, batch: Batch) -> Tensor:
    """(n, c, c): of the batch's loss by the outputs of each example."""
    with torch.enable_grad():
        leaf = outputs.requires_grad_()
        value = objective.loss_of(leaf, batch)
        (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
        flat = slope.flatten(1)
        if not flat.requires_grad:  # a loss that is linear in the outputs
            return flat.new_zeros(len(flat), flat.shape[1], flat.shape[1])
        rows = [
            torch.autograd.grad(column.sum(), leaf, retain_graph=True, materialize_grads=True)[0].flatten(1)
            for column in flat.unbind(1)
        ]
    blocks = torch.stack(rows, dim=1)
    return (blocks + blocks.transpose(1, 2)) / 2


@torch.no_grad()
def _squares(calls: list[_Call], slopes: tuple[Tensor, ...], weights: Tensor, kept: Mapping[str, Tensor]) -> float:
    """Sum over examples of weight times the squared norm of the gradient by all surviving parameters."""
    total = 0.0
    for call, slope in zip(calls, slopes):
        weight, bias = call.names
        if bias:
            gradient = _summed(slope) if call.kind == "linear" else _channels(slope).sum(2)
            total += float(_masked(weights @ gradient.square(), kept.get(bias)).sum())
        if not weight:
            continue
        if call.kind == "linear" and call.inputs.dim() == 2:
            sums = (slope.square() * weights[:, None]).T @ call.inputs.square()
            total += float(_masked(sums, kept.get(weight)).sum())
            continue
        for gradients, rows in _gradients(call, slope):  # (b, entries) of a few examples at a time
            mask = None if weight not in kept else kept[weight].reshape(-1)
            total += float(_masked(weights[rows] @ gradients.square(), mask).sum())
    return total


def _gradients(call: _Call, slope: Tensor) -> Iterator[tuple[Tensor, slice]]:
    """Gradients of single examples by the layer's weight, and which examples."""
    if call.kind == "norm":
        mean, variance, eps = call.options
        normal = (_channels(call.inputs) - mean[:, None]) / (variance[:, None] + eps).sqrt()
        yield (_channels(slope) * normal).sum(2), slice(0, len(slope))
        return
    # The input of an example as rows of what each unit sees at one place, and what comes back to the units there.
    places = slope[0].numel() // call.shape[0]
    entries = max(call.shape.numel(), call.shape[1:].numel() * places)
    size = max(1, BLOCK_BYTES // (entries * slope.element_size()))
    for start in range(0, len(slope), size):
        rows = slice(start, start + size)
        back, inputs = slope[rows], call.inputs[rows]
        if call.kind == "linear":
            back, columns = back.flatten(1, -2).transpose(1, 2), inputs.flatten(1, -2)
        else:
            stride, padding, dilation = call.options
            columns = functional.unfold(inputs, call.shape[2:], dilation, padding, stride).transpose(1, 2)
            back = back.flatten(2)
        yield torch.bmm(back, columns).flatten(1), rows


def _channels(values: Tensor) -> Tensor:
    """(n, c, ...) -> (n, c, places)."""
    return values.view(*values.shape[:2], -1) if values.dim() == 2 else values.flatten(2)


def _summed(slope: Tensor) -> Tensor:
    return slope if slope.dim() == 2 else slope.flatten(1, -2).sum(1)


def _masked(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values * mask
