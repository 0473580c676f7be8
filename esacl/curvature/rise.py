"""How much the loss rises along a displacement d (what pruning adds to the weights), four ways.

    L(theta + d) - L(theta) = g'd + d'Hd / 2 + O(|d|^3) <= g'd + sup lambda_max(H on the segment) |d|^2 / 2

The expansion and the bound are theorems for twice-differentiable activations. With ReLU the Hessian misses the kinks;
the path integral does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from esacl.curvature.lanczos import Eigenpairs, top_eigenpairs
from esacl.curvature.objective import Data, Loss, Objective
from esacl.curvature.operator import Hessian
from esacl.errors import InputError

# Gauss-Legendre on [0, 1] with 4 nodes: exact where the gradient along d is a polynomial of degree 7.
_NODES = ((0.0694318442029737, 0.1739274225687269), (0.3300094782075719, 0.3260725774312731))
QUADRATURE = (*_NODES, *((1 - node, weight) for node, weight in reversed(_NODES)))


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
        InputError: a displacement that does not fit the network, a negative number of nodes.
        RunFailure: a product that is not finite.
    """
    if lambda_nodes < 0:
        raise InputError(f"lambda_nodes {lambda_nodes} is negative; choose 0 (no bound) or more")
    objective = Objective(network, loss, data, names=displacement, chunk=chunk, dtype=dtype)
    end = objective.displaced(displacement)  # refuses what does not fit, before anything is computed
    operator = Hessian(objective)
    d = operator.flatten(displacement)
    curvature_term = _dot(d, operator @ d) / 2
    gradient_term = _dot(operator.gradient(), d)  # after the product, whose graph holds it
    squared = _dot(d, d)
    tops = [_top(operator, seed)] if lambda_nodes else []
    spent = operator.products
    for node in range(1, lambda_nodes):
        if squared == 0:  # the same point again
            tops.append(tops[0])
            continue
        there = Hessian(objective, at=objective.displaced(displacement, node / (lambda_nodes - 1)))
        tops.append(_top(there, seed))
        spent += there.products
    sharpest = max((float(top.values[0] + top.residuals[0]) for top in tops), default=None)
    return LossRise(
        actual=objective.value(end) - objective.value(),
        taylor=gradient_term + curvature_term,
        path_integral=sum(
            weight * _dot(operator.flatten(objective.gradient(objective.displaced(displacement, node))), d)
            for node, weight in QUADRATURE
        ),
        lambda_bound=None if sharpest is None else gradient_term + sharpest * squared / 2,
        lambda_max_at_nodes=tuple(float(top.values[0]) for top in tops),
        gradient_term=gradient_term,
        curvature_term=curvature_term,
        displacement_norm=squared**0.5,
        products=spent,
        converged=all(top.converged for top in tops),
    )


def _top(operator: Hessian, seed: int) -> Eigenpairs:
    return top_eigenpairs(operator, 1, tol=1e-2, seed=seed)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a @ b)
