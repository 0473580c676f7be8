"""Lanczos: the top eigenpairs of a symmetric operator from few products."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from esacl.errors import InputError, RunFailure
from esacl.seeds import torch_generator


class SymmetricOperator(Protocol):
    """What Lanczos needs: `operator @ vector` for vectors (n,)."""

    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device

    def __matmul__(self, vector: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Eigenpairs:
    """The k algebraically largest eigenvalues found, with what is known about their error.

    A symmetric operator has an eigenvalue within `residuals[i]` of `values[i]` (Parlett 1998, theorem 4.5.1).
    """

    values: Tensor  # (k,) float64 on the CPU, descending
    vectors: Tensor  # (n, k) orthonormal, of the operator's dtype and device
    residuals: Tensor  # (k,) float64 on the CPU, |H v - value v|
    products: int  # operator-vector products spent
    converged: bool  # all residuals at most tol times the largest |Ritz value|


def top_eigenpairs(
    operator: SymmetricOperator, k: int, *, tol: float = 1e-3, seed: int = 0, max_products: int | None = None
) -> Eigenpairs:
    """The k algebraically largest eigenpairs by Lanczos with full reorthogonalisation and thick restart.

    Stops when every residual of the k pairs is at most `tol` times the largest |Ritz value|, or after `max_products`
    products (default: 100 + 20 k), and says which. An eigenvalue error is about the residual squared over the gap, so
    far smaller than `tol` where the eigenvalue is isolated. As in every Krylov method from one start vector, exact
    copies of a multiple eigenvalue may be missed.

    Source: Parlett, The Symmetric Eigenvalue Problem (1998), ch. 13; thick restart: Wu & Simon (2000).

    Raises:
        InputError: k, tol or max_products out of range.
        RunFailure: a product that is not finite.
    """
    n = operator.shape[0]
    limit = 100 + 20 * k if max_products is None else max_products
    if not 1 <= k <= n:
        raise InputError(f"k = {k} eigenpairs of an operator of size {n}; choose 1 to {n}")
    if not 0 < tol < 1:
        raise InputError(f"tol {tol} is out of range; choose a number between 0 and 1, for example 1e-3")
    if limit < k:
        raise InputError(f"max_products {limit} is less than k = {k}; allow one product an eigenpair")
    size = min(n, max(2 * k + 20, 60))
    krylov = Krylov(operator, size, seed)
    while True:
        krylov.extend()
        values, coordinates, residuals = krylov.ritz()
        enough = len(values) >= k and bool((residuals[:k] <= tol * values.abs().max()).all())
        converged = enough and krylov.complement_is_below(float(values[k - 1]), tol)
        if converged or krylov.products >= limit or krylov.filled == n:
            break
        if krylov.filled == size:
            krylov.restart(k + (size - k) // 3)
    vectors = krylov.lift(coordinates[:, :k])
    return Eigenpairs(values[:k], vectors, residuals[:k], krylov.products, converged)


class Krylov:
    """An orthonormal basis Q (m, n) grown by products, and the projection T = Q H Q' (m, m) in float64.

    T is filled from the inner products of each new H q with the whole basis, so the same code serves the plain
    recurrence, a fresh start after the space closed (residual zero) and a thick restart.
    """

    def __init__(self, operator: SymmetricOperator, size: int, seed: int) -> None:
        self._operator = operator
        self._generator = torch_generator(seed, "lanczos")
        self._basis = torch.empty(size + 1, operator.shape[0], dtype=operator.dtype, device=operator.device)
        self.projected = torch.zeros(size, size, dtype=torch.float64)
        self.filled = 0
        self.products = 0
        self._beta = 0.0
        self._block = 0  # where the last fresh start began
        self._closed_top: float | None = None  # top eigenvalue of the last closed block after the first
        self._fresh()

    @property
    def closed(self) -> bool:
        """Whether the Krylov space of the start vector ended, so that a fresh vector had to be taken."""
        return self._block > 0

    def extend(self) -> None:
        """One product: takes the waiting vector into the basis and prepares the next.

        Raises:
            RunFailure: a product that is not finite.
        """
        m = self.filled + 1
        basis = self._basis[:m]
        product = self._operator @ basis[-1]
        self.products += 1
        overlaps = basis @ product
        rest = product - basis.T @ overlaps
        again = basis @ rest  # twice is enough (Parlett 1998, section 6.9)
        rest -= basis.T @ again
        column = (overlaps + again).double().cpu()
        self._beta = float(rest.norm())
        if not (bool(column.isfinite().all()) and self._beta < float("inf")):
            raise RunFailure("a Hessian-vector product is not finite; the loss overflows at these weights")
        self.projected[:m, m - 1] = column
        self.projected[m - 1, :m] = column
        self.filled = m
        if self._beta > self._floor():
            self._basis[m] = rest / self._beta
        elif m < self._operator.shape[0]:
            self._beta = 0.0
            if self._block:
                block = self.projected[self._block : m, self._block : m]
                self._closed_top = float(torch.linalg.eigvalsh(block)[-1])
            self._fresh()
            self._block = m

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ritz values (m,) descending, their coordinates (m, m) in the basis, and residual norms (m,)."""
        values, coordinates = torch.linalg.eigh(self.projected[: self.filled, : self.filled])
        residuals = (self._beta * coordinates[-1].abs()).clamp_min(self._floor())
        return values.flip(0), coordinates.flip(1), residuals.flip(0)

    def lift(self, coordinates: Tensor) -> Tensor:
        """Vectors (n, j) of coordinates (m, j)."""
        basis = self._basis[: self.filled]
        return basis.T @ coordinates.to(basis)

    def complement_is_below(self, value: float, tol: float) -> bool:
        """After a fresh start: whether nothing above `value` can be left; True where there was none.

        A closed Krylov space holds exact eigenvectors, but not necessarily all the top ones (a start vector without a
        component, copies of an eigenvalue). What is left has no eigenvalue above the top one of the second or a later
        closed block, as almost every start vector has a component along each eigenspace.
        """
        if self._block == 0 or self.filled == self._operator.shape[0]:
            return True
        tops = [] if self._closed_top is None else [self._closed_top]
        block = self.projected[self._block : self.filled, self._block : self.filled]
        if len(block) > 1:
            values, coordinates = torch.linalg.eigh(block)
            tops.append(float(values[-1]) + self._beta * float(coordinates[-1, -1].abs()))
        slack = tol * float(self.projected.abs().max())
        return bool(tops) and min(tops) <= value + slack

    def restart(self, keep: int) -> None:
        """Keep the `keep` top Ritz vectors and the waiting vector; the couplings return with its product."""
        values, coordinates, _ = self.ritz()
        kept = self.lift(coordinates[:, :keep]).T.clone()
        waiting = self._basis[self.filled].clone()
        self._basis[:keep], self._basis[keep] = kept, waiting
        self.projected.zero_()
        self.projected[:keep, :keep] = torch.diag(values[:keep])
        self.filled = keep
        self._block = 0  # the blocks are mixed from here on

    def _floor(self) -> float:
        """What rounding alone leaves of a residual: below it a residual says nothing."""
        scale = float(self.projected.abs().max())
        return 10 * torch.finfo(self._operator.dtype).eps * scale

    def _fresh(self) -> None:
        vector = torch.randn(self._operator.shape[0], generator=self._generator, dtype=torch.float64)
        vector = vector.to(self._operator.dtype).to(self._operator.device)
        basis = self._basis[: self.filled]
        for _ in range(2):
            vector = vector - basis.T @ (basis @ vector)
        self._basis[self.filled] = vector / vector.norm()
