"""How much of a displacement lies in the top eigenspace: where pruning moves the weights, and what that costs."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from esacl.curvature.lanczos import Eigenpairs
from esacl.curvature.operator import Hessian
from esacl.errors import InputError, RunFailure


@dataclass(frozen=True)
class Overlap:
    """Shares of |d|^2 and of d'Hd that the first i eigenvectors hold; cumulative over i = 1 .. k.

    The curvature is d'Hd = sum_j lambda_j (v_j'd)^2 over all eigenvectors. Where some eigenvalues are negative, the top
    ones may hold more than all of it, so a curvature share may exceed 1.
    """

    norm_share: Tensor  # (k,) float64 on the CPU; NaN where d is zero
    curvature_share: Tensor  # (k,) float64 on the CPU; NaN where d'Hd is not above its rounding
    random_share: Tensor  # (k,) float64 on the CPU: i / n, the norm share expected of a random direction
    norm: float  # |d|
    curvature: float  # d'Hd, twice the second-order loss rise
    products: int  # operator-vector products spent


def overlap(operator: Hessian, pairs: Eigenpairs, displacement: Mapping[str, Tensor]) -> Overlap:
    """The part of a displacement in the span of eigenvectors of the same operator; one product.

    With the Hessian of one layer (`hessian(..., names=(layer,))`), its eigenpairs and that layer's displacement it is
    the overlap within the layer. A masked operator sees only what moves the survivors.

    Args:
        operator: the Hessian that `pairs` belong to.
        pairs: from the top down, as `top_eigenpairs` gives them.
        displacement: {parameter name: tensor}, what is added to the weights.

    Raises:
        InputError: eigenvectors of another size, a displacement that does not fit the operator.
        RunFailure: a product that is not finite.
    """
    n = operator.shape[0]
    if pairs.vectors.shape[0] != n:
        raise InputError(
            f"eigenvectors of size {pairs.vectors.shape[0]} for an operator of size {n}; pass the operator's own"
        )
    d = operator.flatten(displacement)
    spent = operator.products
    curvature = float(d @ (operator @ d))
    if not abs(curvature) < float("inf"):
        raise RunFailure("a Hessian-vector product is not finite; the loss overflows at these weights")
    squared = float(d @ d)
    parts = (pairs.vectors.T @ d).cpu().double().square()
    rounding = 100 * torch.finfo(operator.dtype).eps * float(pairs.values.abs().max()) * squared
    return Overlap(
        norm_share=parts.cumsum(0) / (squared or float("nan")),
        curvature_share=(pairs.values * parts).cumsum(0) / (curvature if curvature > rounding else float("nan")),
        random_share=torch.arange(1, len(parts) + 1, dtype=torch.float64) / n,
        norm=squared**0.5,
        curvature=curvature,
        products=operator.products - spent,
    )
