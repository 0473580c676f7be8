"""XTrace: the trace of a symmetric operator from products with random vectors, each of which serves twice."""

from collections.abc import Iterator

import torch
from torch import Tensor

from esacl.curvature.krylov import SymmetricOperator
from esacl.errors import RunFailure
from esacl.seeds import torch_generator
from esacl.stepwise import Step, Steps


def xtrace_steps(operator: SymmetricOperator, m: int, seed: int) -> Steps[Tensor]:
    """Estimates (m,) of the trace from 2 m products, whose mean is XTrace's; by steps of one product.

    Half of the products find the range, the other half its exact part; the rest is sampled. Each of the m random
    vectors takes its turn as the sample that the others' range is tested with, so that

        t_i = tr(Q_i' A Q_i) + (n - m + 1) u_i' A u_i / |u_i|^2,   u_i = (I - Q_i Q_i') w_i.

    Q_i, an orthonormal basis of all A w_j but the i-th, is never formed: it spans what is orthogonal to s_i in Q, s_i
    the normalised i-th column of R^-T of the factorisation A W = Q R.

    Source: Epperly, Tropp & Webber, XTrace: Making the Most of Every Sample in Stochastic Trace Estimation (2024).

    Raises:
        RunFailure: a product that is not finite.
    """
    n = operator.shape[0]
    images = torch.empty(n, m, dtype=operator.dtype, device=operator.device)
    forms, squares = (torch.empty(m, dtype=torch.float64) for _ in range(2))  # w'Aw, w'w
    samples = _samples(operator, seed)
    for i in range(m):
        sample = next(samples)
        images[:, i] = finite_product(operator, sample)
        forms[i], squares[i] = float(sample @ images[:, i]), float(sample @ sample)
        del sample  # as large as the network
        yield Step(i + 1, 2 * m)
    q, r = torch.linalg.qr(images)
    del images
    r = r.cpu().double()
    scale = float(r.abs().max())
    if scale == 0:  # random vectors are sent to zero only by the zero operator
        return torch.zeros(m, dtype=torch.float64)
    inner, inside = (torch.empty(m, m, dtype=torch.float64) for _ in range(2))  # Q'AQ, Q'W
    # The samples are drawn a second time: to hold them would take as much memory as Q.
    samples = _samples(operator, seed)
    for i in range(m):
        inner[:, i] = (q.T @ finite_product(operator, q[:, i])).cpu()
        inside[:, i] = (q.T @ next(samples)).cpu()
        yield Step(m + i + 1, 2 * m)
    # Of an operator of low rank R is singular: its last columns are rounding, and any direction serves for them.
    rounding = 10 * torch.finfo(operator.dtype).eps * scale
    steady = r + torch.diag(torch.where(r.diagonal().abs() < rounding, rounding, 0.0))
    left_out = torch.linalg.inv(steady).T  # column i is orthogonal to every column of R but the i-th
    left_out = left_out / left_out.norm(dim=0)
    inside = inside - left_out * (left_out * inside).sum(0)  # coordinates of Q_i Q_i' w_i
    found = inner.trace() - (left_out * (inner @ left_out)).sum(0)
    sampled = forms - 2 * (inside * r).sum(0) + (inside * (inner @ inside)).sum(0)
    lengths = squares - inside.square().sum(0)
    return found + (n - m + 1) * sampled / lengths


def _samples(operator: SymmetricOperator, seed: int) -> Iterator[Tensor]:
    generator = torch_generator(seed, "trace")
    while True:
        yield torch.randn(operator.shape[0], generator=generator, dtype=operator.dtype).to(operator.device)


def finite_product(operator: SymmetricOperator, vector: Tensor) -> Tensor:
    """A v (n,).

    Raises:
        RunFailure: it is not finite.
    """
    image = operator @ vector
    if not bool(image.isfinite().all()):
        raise RunFailure("a Hessian-vector product is not finite; the loss overflows at these weights")
    return image
