"""The trace of a symmetric operator from few products."""

from dataclasses import dataclass

import torch
from torch import Tensor

from esacl.curvature.lanczos import SymmetricOperator
from esacl.errors import InputError, RunFailure
from esacl.seeds import torch_generator


@dataclass(frozen=True)
class Trace:
    """An unbiased estimate of the trace."""

    value: float
    standard_error: float  # from the spread of the averaged estimates, which are not quite independent
    products: int  # operator-vector products spent


def trace(operator: SymmetricOperator, *, products: int = 120, seed: int = 0) -> Trace:
    """The trace by XTrace: half of the products find the range, the other half its exact part; the rest is sampled.

    Each of the m = products / 2 random vectors takes its turn as the sample that the others' range is tested with, so
    that

        t_i = tr(Q_i' A Q_i) + (n - m + 1) u_i' A u_i / |u_i|^2,   u_i = (I - Q_i Q_i') w_i,

    and the estimate is the mean of the t_i. Q_i, an orthonormal basis of all A w_j but the i-th, is never
    formed: it spans what is orthogonal to s_i in Q, s_i the normalised i-th column of R^-T of the
    factorisation A W = Q R.

    Source: Epperly, Tropp & Webber, XTrace: Making the Most of Every Sample in Stochastic Trace Estimation (2024).

    Raises:
        InputError: fewer than four products.
        RunFailure: a product that is not finite.
    """
    n = operator.shape[0]
    if products < 4:
        raise InputError(f"products {products} are too few for an error estimate; choose 4 or more")
    if products >= n:
        return _exact(operator)
    m = products // 2
    samples = torch.randn(n, m, generator=torch_generator(seed, "trace"), dtype=torch.float64)
    samples = samples.to(operator.dtype).to(operator.device)
    images = _apply(operator, samples)
    q, r = torch.linalg.qr(images)
    scale = float(r.abs().max())
    if scale == 0:  # random vectors are sent to zero only by the zero operator
        return Trace(0.0, 0.0, m)
    inner = q.T @ _apply(operator, q)
    # Of an operator of low rank R is singular: its last columns are rounding, and any direction serves for them.
    rounding = 10 * torch.finfo(r.dtype).eps * scale
    steady = r + torch.diag(torch.where(r.diagonal().abs() < rounding, rounding, 0.0))
    left_out = torch.linalg.inv(steady).T  # column i is orthogonal to every column of R but the i-th
    left_out = left_out / left_out.norm(dim=0)
    inside = q.T @ samples
    inside = inside - left_out * (left_out * inside).sum(0)  # coordinates of Q_i Q_i' w_i
    found = inner.trace() - (left_out * (inner @ left_out)).sum(0)
    sampled = (samples * images).sum(0) - 2 * (inside * r).sum(0) + (inside * (inner @ inside)).sum(0)
    lengths = samples.square().sum(0) - inside.square().sum(0)
    estimates = (found + (n - m + 1) * sampled / lengths).double().cpu()
    return Trace(float(estimates.mean()), float(estimates.std() / m**0.5), 2 * m)


def _exact(operator: SymmetricOperator) -> Trace:
    n = operator.shape[0]
    columns = torch.eye(n, dtype=operator.dtype, device=operator.device)
    return Trace(float(_apply(operator, columns).diagonal().double().sum()), 0.0, n)


def _apply(operator: SymmetricOperator, vectors: Tensor) -> Tensor:
    images = torch.stack([operator @ vector for vector in vectors.T], dim=1)
    if not bool(images.isfinite().all()):
        raise RunFailure("a Hessian-vector product is not finite; the loss overflows at these weights")
    return images
