"""The loss rise along a displacement, bounded from derivatives at theta alone: by way of the outputs.

On the way theta + a d, a in [0, 1], example i has the outputs z_i(a). Let U_i be what their Taylor polynomial of degree
4 at a = 0 adds up to at a = 1, and rho_i the range, over the columns that compete, of what it leaves out. A shift of
range rho multiplies the odds against the label by e^rho at most, so with q_i the softmax of z_i(0) + U_i at the label

    L(theta + d) <= mean_i [ CE(z_i(0) + U_i) + log(1 + (1 - q_i)(e^rho_i - 1)) ].

The cross-entropy is taken as it is: what is expanded is the outputs, which bend far less along a cut than the loss. Of
an example that the network is sure of, 1 - q_i is small, and what is left out hardly counts.

The inequality is a theorem for the true rho_i, which is 1/120 of a fifth derivative somewhere on the way. So that no
weight other than theta is visited, rho_i is taken to be the range of the third or of the fourth term at theta,
whichever is larger: the fourth alone is short where it happens to be small. That is an assumption: a unit that is far
from being active at theta and that the cut wakes has next to no derivatives there, and with ReLU it has none. How
often it holds, and how near it is: `python -m benchmarks.bounds`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from esacl.criterion import CLOSED
from esacl.curvature.jets import NoRule, coefficients, line
from esacl.curvature.objective import check_like, refuse_stochastic
from esacl.errors import InputError, RunFailure
from esacl.stepwise import Step, Steps, finish

Path = Callable[[Tensor], tuple[Tensor, ...]]  # a -> outputs, and their derivatives by a

ORDER = 4
FACTORIAL = (1, 1, 2, 6, 24)
CHUNK = 256
FORWARD_PASSES = 9  # that the coefficients of degree 0 to 4 cost: one product with the weights, and one with their step


@dataclass(frozen=True)
class OutputBound:
    """The rise of the mean cross-entropy from theta to theta + d, in nats."""

    bound: float  # expanded plus what is left out of the outputs at its worst
    expanded: float  # at the outputs' Taylor polynomial of degree 4
    largest_remainder: float  # rho of the example with the most


def output_bound(
    network: nn.Module,
    data: tuple[Tensor, ...],
    displacement: Mapping[str, Tensor],
    *,
    columns: Tensor | None = None,
    chunk: int = CHUNK,
) -> OutputBound:
    """The bound of this module's head, with rho as taken there. The network is left untouched.

    Args:
        network: outputs (n, c); evaluated as it stands.
        data: inputs (n, ...), labels (n,) int64, and weights (n,) of the examples where there are any.
        displacement: {parameter name: tensor}, what is added to the weights.
        columns: (n, c) bool, which outputs compete; None: all.
        chunk: examples at a time.

    Raises:
        InputError: a displacement that does not fit the network, a layer that depends on chance.
        RunFailure: a number that is not finite.
    """
    return finish(bound_steps(network, data, displacement, columns=columns, chunk=chunk))


def bound_steps(
    network: nn.Module,
    data: tuple[Tensor, ...],
    displacement: Mapping[str, Tensor],
    *,
    columns: Tensor | None = None,
    chunk: int = CHUNK,
) -> Steps[OutputBound]:
    """`output_bound` by steps of one chunk; refuses at once what does not fit.

    Raises:
        InputError: a displacement that does not fit the network, a layer that depends on chance.
        RunFailure: a number that is not finite.
    """
    refuse_stochastic(network)
    fixed = {name: p.detach() for name, p in network.named_parameters()} | dict(network.named_buffers())
    for name, step in displacement.items():
        check_like(name, step, fixed)
    if chunk < 1:
        raise InputError(f"chunk {chunk} is not a number of examples; choose 1 or more")
    return _by_chunks(network, data, fixed, displacement, columns, chunk)


def _by_chunks(
    network: nn.Module,
    data: tuple[Tensor, ...],
    fixed: Mapping[str, Tensor],
    displacement: Mapping[str, Tensor],
    columns: Tensor | None,
    chunk: int,
) -> Steps[OutputBound]:
    device = next(iter(fixed.values())).device
    inputs, labels, *rest = data
    weights = rest[0] if rest else torch.ones(len(labels))
    bound = expanded = largest = 0.0
    for start in range(0, len(labels), chunk):
        part = slice(start, start + chunk)
        outputs = _derivatives(network, fixed, displacement, inputs[part].to(device))
        open_ = None if columns is None else columns[part].cpu()
        rise, slack, rho = _of_examples(outputs, labels[part].cpu(), open_)
        share = weights[part].cpu().double() / len(labels)
        expanded += float((share * rise).sum())
        bound += float((share * (rise + slack)).sum())
        largest = max(largest, float(rho.max()))
        yield Step(min(len(labels), start + chunk), len(labels))
    if not torch.isfinite(torch.tensor([bound, expanded, largest])).all():
        raise RunFailure("a derivative of the outputs is not finite; the network overflows at these weights")
    return OutputBound(bound, expanded, largest)


def _derivatives(
    network: nn.Module, fixed: Mapping[str, Tensor], displacement: Mapping[str, Tensor], inputs: Tensor
) -> list[Tensor]:
    """The outputs (n, c) at theta and their four derivatives along the displacement, in float64 on the CPU."""
    steps = {name: step.detach().to(fixed[name]) for name, step in displacement.items()}
    found: Sequence[Tensor]
    with torch.no_grad():
        try:
            found = _by_jets(network, fixed, steps, inputs)
        except NoRule:
            found = _by_nesting(network, fixed, steps, inputs)
        return [value.detach().cpu().double() for value in found]


def _by_jets(
    network: nn.Module, fixed: Mapping[str, Tensor], steps: Mapping[str, Tensor], inputs: Tensor
) -> list[Tensor]:
    moved = {name: line(fixed[name], step, ORDER) for name, step in steps.items()}
    outputs = functional_call(network, {**fixed, **moved}, (inputs,), strict=True)
    return [f * part for f, part in zip(FACTORIAL, coefficients(outputs, ORDER), strict=True)]


def _by_nesting(
    network: nn.Module, fixed: Mapping[str, Tensor], steps: Mapping[str, Tensor], inputs: Tensor
) -> tuple[Tensor, ...]:
    """The same by one directional derivative of another, for any layer, at 3 products for each that a layer has."""

    def along(a: Tensor) -> tuple[Tensor, ...]:
        moved = {name: fixed[name] + a * step for name, step in steps.items()}
        return (functional_call(network, {**fixed, **moved}, (inputs,), strict=True),)

    one = torch.ones((), dtype=inputs.dtype, device=inputs.device)
    found: Path = along
    for _ in range(ORDER):
        found = _with_derivative(found, one)
    return found(torch.zeros_like(one))


def _with_derivative(path: Path, one: Tensor) -> Path:
    def more(a: Tensor) -> tuple[Tensor, ...]:
        values, slopes = jvp(path, (a,), (one,))[:2]
        return (*values, slopes[-1])

    return more


def _of_examples(outputs: list[Tensor], labels: Tensor, columns: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Of each example (n,): the rise at the expanded outputs, what the remainder may add, and the remainder's range."""
    closed = torch.zeros_like(outputs[0], dtype=torch.bool) if columns is None else ~columns
    terms = [output / factorial for output, factorial in zip(outputs, FACTORIAL, strict=True)]
    expanded = torch.stack(terms).sum(0)
    before, after = (_cross_entropy(z.masked_fill(closed, CLOSED), labels) for z in (outputs[0], expanded))
    rho = torch.maximum(_range(terms[3], closed), _range(terms[4], closed))
    wrong = -torch.expm1(-after)  # 1 - q
    slack = torch.logaddexp(-after, wrong.log() + rho)  # log(q + (1 - q) e^rho), without overflow
    return after - before, slack.clamp(min=0), rho


def _range(values: Tensor, closed: Tensor) -> Tensor:
    """Largest minus smallest of the open columns; (n,)."""
    return values.masked_fill(closed, -torch.inf).amax(1) - values.masked_fill(closed, torch.inf).amin(1)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, labels, reduction="none")
