"""How much the loss rises along a displacement d (what pruning adds to the weights), five ways.

    L(theta + d) - L(theta) = g'd + d'Hd / 2 + O(|d|^3) <= g'd + sup lambda_max(H on the segment) |d|^2 / 2

The expansion and the bound are theorems for twice-differentiable activations. With ReLU the Hessian misses the kinks;
the path integral does not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from esacl.curvature.lanczos import top_steps
from esacl.curvature.objective import Data, Loss, Objective
from esacl.curvature.operator import Hessian
from esacl.errors import InputError, RunFailure
from esacl.stepwise import Step, Steps, finish, mapped

# Gauss-Legendre on [0, 1] with 4 nodes: exact where the gradient along d is a polynomial of degree 7.
_NODES = ((0.0694318442029737, 0.1739274225687269), (0.3300094782075719, 0.3260725774312731))
QUADRATURE = (*_NODES, *((1 - node, weight) for node, weight in reversed(_NODES)))
_PRODUCTS_A_NODE = 120


@dataclass(frozen=True)
class LossRise:
    """The rise of the mean loss from theta to theta + d, in the loss's units."""

    actual: float  # L(theta + d) - L(theta)
    taylor: float  # gradient_term + curvature_term
    path_integral: float  # integral over a in [0, 1] of grad L(theta + a d)'d
    lambda_bound: float | None  # g'd + max over the nodes of lambda_max |d|^2 / 2; None: no nodes
    lambda_max_at_nodes: tuple[float, ...]  # of H(theta + a d), a = linspace(0, 1, lambda_nodes)
    gradient_term: float  # g'd
    curvature_term: float  # d'Hd / 2
    displacement_norm: float  # |d|
    products: int  # Hessian-vector products spent
    converged: bool  # whether Lanczos met its tolerance at every node


def loss_rise(
    network: nn.Module,
    loss: Loss,
    data: Data,
    displacement: Mapping[str, Tensor],
    *,
    lambda_nodes: int = 5,
    seed: int = 0,
    chunk: int | None = None,
    dtype: torch.dtype | None = None,
) -> LossRise:
    """The loss rise of a displacement: actual, second-order Taylor, path integral, and the lambda_max bound.

    The gradient and the Hessian are over the displaced parameters only: the others do not move. The bound takes
    Lanczos' value plus its residual, so that an unfinished eigenvalue does not make it too small; it looks at
    `lambda_nodes` points of the segment, so between them it is an estimate of the supremum. `network`, `loss`, `data`,
    `chunk` and `dtype` are as for `hessian`; the network is left untouched.

    Args:
        network: any module.
        loss: a mean over the examples.
        data: a tuple of tensors or an iterable of batches.
        displacement: {parameter name: tensor}, what is added to the weights.
        lambda_nodes: points of the segment at which lambda_max is measured; 0 = no bound.
        seed: of Lanczos' start vectors.
        chunk: examples at a time.
        dtype: compute in this dtype.

    Raises:
        InputError: a displacement that does not fit the network, a negative number of nodes, a loss that changes from
            one evaluation to the next.
        RunFailure: a product that is not finite.
    """
    return finish(
        rise_steps(network, loss, data, displacement, lambda_nodes=lambda_nodes, seed=seed, chunk=chunk, dtype=dtype)
    )


def rise_steps(
    network: nn.Module,
    loss: Loss,
    data: Data,
    displacement: Mapping[str, Tensor],
    *,
    lambda_nodes: int = 5,
    seed: int = 0,
    chunk: int | None = None,
    dtype: torch.dtype | None = None,
) -> Steps[LossRise]:
    """`loss_rise` by steps of one product or gradient.

    Raises:
        InputError: a displacement that does not fit the network, a negative number of nodes, a loss that changes from
            one evaluation to the next.
        RunFailure: a product that is not finite.
    """
    if lambda_nodes < 0:
        raise InputError(f"lambda_nodes {lambda_nodes} is negative; choose 0 (no bound) or more")
    objective = Objective(network, loss, data, names=displacement, chunk=chunk, dtype=dtype)
    objective.displaced(displacement)  # refuses what does not fit, before anything is computed
    objective.refuse_chance()
    return _rise(objective, displacement, lambda_nodes, seed)


def _rise(objective: Objective, displacement: Mapping[str, Tensor], lambda_nodes: int, seed: int) -> Steps[LossRise]:
    total = 2 + lambda_nodes * _PRODUCTS_A_NODE + len(QUADRATURE)
    operator = Hessian(objective)
    d = operator.flatten(displacement)
    curvature_term = _dot(d, operator @ d) / 2
    gradient_term = _dot(operator.gradient(), d)
    if not (math.isfinite(curvature_term) and math.isfinite(gradient_term)):
        raise RunFailure("a Hessian-vector product is not finite; the loss overflows at these weights")
    yield Step(1, total)
    squared = _dot(d, d)
    del d  # as large as the network
    tops = [(yield from _top(operator, seed, operator.products, total))] if lambda_nodes else []
    spent = operator.products
    operator.release()
    for node in range(1, lambda_nodes):
        if squared == 0:  # the same point again
            tops.append(tops[0])
            continue
        there = Hessian(objective, at=objective.displaced(displacement, node / (lambda_nodes - 1)))
        tops.append((yield from _top(there, seed, spent, total)))
        spent += there.products
        del there
    sharpest = max((top.value + top.residual for top in tops), default=None)
    actual = objective.value(objective.displaced(displacement)) - objective.value()
    yield Step(spent + 1, total)
    path_integral = 0.0
    for number, (place, weight) in enumerate(QUADRATURE, start=1):
        gradient = objective.gradient(objective.displaced(displacement, place))
        path_integral += weight * sum(
            _dot(part.reshape(-1), displacement[name].to(part).reshape(-1)) for name, part in gradient.items()
        )
        del gradient
        yield Step(spent + 1 + number, total)
    return LossRise(
        actual=actual,
        taylor=gradient_term + curvature_term,
        path_integral=path_integral,
        lambda_bound=None if sharpest is None else gradient_term + sharpest * squared / 2,
        lambda_max_at_nodes=tuple(top.value for top in tops),
        gradient_term=gradient_term,
        curvature_term=curvature_term,
        displacement_norm=squared**0.5,
        products=spent,
        converged=all(top.converged for top in tops),
    )


@dataclass(frozen=True)
class _Top:
    """lambda_max at a node; the eigenvector is not kept: each is as large as the network."""

    value: float
    residual: float
    converged: bool


def _top(operator: Hessian, seed: int, spent: int, total: int) -> Steps[_Top]:
    found = top_steps(operator, 1, tol=1e-4, seed=seed, max_products=_PRODUCTS_A_NODE)
    pairs = yield from mapped(found, lambda step: (Step(spent + step.done, total),))
    return _Top(float(pairs.values[0]), float(pairs.residuals[0]), pairs.converged)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a @ b)
