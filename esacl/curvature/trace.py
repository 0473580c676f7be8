"""The trace of a symmetric operator from few products."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from esacl.curvature.krylov import SymmetricOperator
from esacl.errors import InputError, RunFailure
from esacl.seeds import torch_generator
from esacl.stepwise import Step, Steps, finish


@dataclass(frozen=True)
class Trace:
    """An unbiased estimate of the trace."""

    value: float
    standard_error: float  # from the spread of the averaged estimates, which are not quite independent
    residuals: Tensor  # (m,) float64 on the CPU: those estimates minus `value`; none where the trace is exact
    products: int  # operator-vector products spent
    converged: bool  # the standard error is at most tol times |value|


def trace(operator: SymmetricOperator, *, products: int = 120, seed: int = 0, tol: float = 1e-2) -> Trace:
    """The trace by XTrace: half of the products find the range, the other half its exact part; the rest is sampled.

    Each of the m = products / 2 random vectors takes its turn as the sample that the others' range is tested with, so
    that

        t_i = tr(Q_i' A Q_i) + (n - m + 1) u_i' A u_i / |u_i|^2,   u_i = (I - Q_i Q_i') w_i,

    and the estimate is the mean of the t_i. Q_i, an orthonormal basis of all A w_j but the i-th, is never
    formed: it spans what is orthogonal to s_i in Q, s_i the normalised i-th column of R^-T of the
    factorisation A W = Q R.

    `products` are spent whatever `tol` is; it only says which standard error, relative to the value, is called
    converged.

    Source: Epperly, Tropp & Webber, XTrace: Making the Most of Every Sample in Stochastic Trace Estimation (2024).

    Raises:
        InputError: fewer than four products, tol out of range.
        RunFailure: a product that is not finite.
    """
    return finish(trace_steps(operator, products=products, seed=seed, tol=tol))


def trace_steps(operator: SymmetricOperator, *, products: int = 120, seed: int = 0, tol: float = 1e-2) -> Steps[Trace]:
    """`trace` by steps of one product.

    Raises:
        InputError: fewer than four products, tol out of range.
        RunFailure: a product that is not finite.
    """
    if products < 4:
        raise InputError(f"products {products} are too few for an error estimate; choose 4 or more")
    if not 0 < tol < 1:
        raise InputError(f"tol {tol} is out of range; choose a number between 0 and 1, for example 1e-2")
    return _exact(operator) if products >= operator.shape[0] else _sampled(operator, products // 2, seed, tol)


def _exact(operator: SymmetricOperator) -> Steps[Trace]:
    n, total = operator.shape[0], 0.0
    for place in range(n):
        unit = torch.zeros(n, dtype=operator.dtype, device=operator.device)
        unit[place] = 1
        total += float(_apply(operator, unit)[place])
        yield Step(place + 1, n)
    return Trace(total, 0.0, torch.zeros(0, dtype=torch.float64), n, True)


def _sampled(operator: SymmetricOperator, m: int, seed: int, tol: float) -> Steps[Trace]:
    n = operator.shape[0]
    images = torch.empty(n, m, dtype=operator.dtype, device=operator.device)
    forms, squares = (torch.empty(m, dtype=torch.float64) for _ in range(2))  # w'Aw, w'w
    samples = _samples(operator, seed)
    for i in range(m):
        sample = next(samples)
        images[:, i] = _apply(operator, sample)
        forms[i], squares[i] = float(sample @ images[:, i]), float(sample @ sample)
        del sample  # as large as the network
        yield Step(i + 1, 2 * m)
    q, r = torch.linalg.qr(images)
    del images
    r = r.double().cpu()
    scale = float(r.abs().max())
    if scale == 0:  # random vectors are sent to zero only by the zero operator
        return Trace(0.0, 0.0, torch.zeros(m, dtype=torch.float64), m, True)
    inner, inside = (torch.empty(m, m, dtype=torch.float64) for _ in range(2))  # Q'AQ, Q'W
    # The samples are drawn a second time: to hold them would take as much memory as Q.
    samples = _samples(operator, seed)
    for i in range(m):
        inner[:, i] = q.T @ _apply(operator, q[:, i])
        inside[:, i] = q.T @ next(samples)
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
    estimates = found + (n - m + 1) * sampled / lengths
    value, error = float(estimates.mean()), float(estimates.std() / m**0.5)
    return Trace(value, error, estimates - value, 2 * m, error <= tol * abs(value))


def _samples(operator: SymmetricOperator, seed: int) -> Iterator[Tensor]:
    generator = torch_generator(seed, "trace")
    while True:
        yield torch.randn(operator.shape[0], generator=generator, dtype=operator.dtype).to(operator.device)


def _apply(operator: SymmetricOperator, vector: Tensor) -> Tensor:
    image = operator @ vector
    if not bool(image.isfinite().all()):
        raise RunFailure("a Hessian-vector product is not finite; the loss overflows at these weights")
    return image
