"""A Krylov space of a symmetric operator: the one core of eigenpairs and densities."""

from typing import Protocol

import torch
from torch import Tensor

from esacl.errors import RunFailure
from esacl.seeds import torch_generator


class SymmetricOperator(Protocol):
    """What Lanczos needs: `operator @ vector` for vectors (n,)."""

    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device

    def __matmul__(self, vector: Tensor) -> Tensor: ...


class Krylov:
    """An orthonormal basis Q (m, n) grown by products, and the projection T = Q H Q' (m, m) in float64.

    T is filled from the inner products of each new H q with the whole basis, so the same code serves the plain
    recurrence, a fresh start after the space closed (residual zero) and a thick restart. What lies in the span of
    `beside` (n, k), orthonormal eigenvectors that are known already, is kept out; `scale` is the largest of their
    |eigenvalues|, whose rounding cannot be kept out.
    """

    def __init__(
        self, operator: SymmetricOperator, size: int, seed: int, beside: Tensor | None = None, scale: float = 0.0
    ) -> None:
        self._operator = operator
        self._beside, self._scale = beside, scale
        self._room = operator.shape[0] - (0 if beside is None else beside.shape[1])
        self._generator = torch_generator(seed, "lanczos")
        self._basis = torch.empty(size + 1, operator.shape[0], dtype=operator.dtype, device=operator.device)
        self.projected = torch.zeros(size, size, dtype=torch.float64)
        self.filled = 0
        self.products = 0
        self._beta = 0.0
        self._block = 0  # where the last fresh start began
        self._closed_ends: tuple[float, float] | None = None  # of the last closed block after the first
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
        rest = torch.addmv(product, basis.T, overlaps, alpha=-1)
        del product  # as large as the network
        again = basis @ rest  # twice is enough (Parlett 1998, section 6.9)
        rest = self._without_known(rest.addmv_(basis.T, again, alpha=-1))
        column = (overlaps + again).cpu().double()
        self._beta = float(rest.norm())
        if not (bool(column.isfinite().all()) and self._beta < float("inf")):
            raise RunFailure("a Hessian-vector product is not finite; the loss overflows at these weights")
        self.projected[:m, m - 1] = column
        self.projected[m - 1, :m] = column
        self.filled = m
        if self._beta > self.floor:
            torch.div(rest, self._beta, out=self._basis[m])
        elif m < self._room:
            self._beta = 0.0
            if self._block:
                block = torch.linalg.eigvalsh(self.projected[self._block : m, self._block : m])
                self._closed_ends = float(block[0]), float(block[-1])
            self._fresh()
            self._block = m

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ritz values (m,) descending, their coordinates (m, m) in the basis, and residual norms (m,)."""
        values, coordinates = torch.linalg.eigh(self.projected[: self.filled, : self.filled])
        residuals = (self._beta * coordinates[-1].abs()).clamp_min(self.floor)
        return values.flip(0), coordinates.flip(1), residuals.flip(0)

    def lift(self, coordinates: Tensor) -> Tensor:
        """Vectors (n, j) of coordinates (m, j)."""
        basis = self._basis[: self.filled]
        return basis.T @ coordinates.to(basis)

    def complement_is_within(self, low: float, high: float, slack: float) -> bool:
        """After a fresh start: whether nothing outside [low, high] can be left; True where there was none.

        A closed Krylov space holds exact eigenvectors, but not necessarily all the extreme ones (a start vector without
        a component, copies of an eigenvalue). What is left has no eigenvalue outside those of the second or a later
        closed block, as almost every start vector has a component along each eigenspace.
        """
        if self._block == 0 or self.filled == self._room:
            return True
        ends = [] if self._closed_ends is None else [self._closed_ends]
        block = self.projected[self._block : self.filled, self._block : self.filled]
        if len(block) > 1:
            values, coordinates = torch.linalg.eigh(block)
            unsure = self._beta * coordinates[-1].abs()
            ends.append((float(values[0] - unsure[0]), float(values[-1] + unsure[-1])))
        lows, highs = zip(*ends) if ends else ((float("-inf"),), (float("inf"),))
        return max(lows) >= low - slack and min(highs) <= high + slack

    def restart(self, top: int, bottom: int) -> None:
        """Keep so many Ritz vectors of each end and the waiting vector; the couplings return with its product."""
        values, coordinates, _ = self.ritz()
        keep = top + bottom
        chosen = [*range(top), *range(self.filled - bottom, self.filled)]
        kept = self.lift(coordinates[:, chosen]).T.clone()
        waiting = self._basis[self.filled].clone()
        self._basis[:keep], self._basis[keep] = kept, waiting
        self.projected.zero_()
        self.projected[:keep, :keep] = torch.diag(values[chosen])
        self.filled = keep
        self._block = 0  # the blocks are mixed from here on

    @property
    def floor(self) -> float:
        """What rounding alone leaves of a residual: below it a residual says nothing."""
        eps = torch.finfo(self._operator.dtype).eps
        return eps * max(10 * float(self.projected.abs().max()), 100 * self._scale)

    def _fresh(self) -> None:
        vector = torch.randn(self._operator.shape[0], generator=self._generator, dtype=torch.float64)
        vector = vector.to(self._operator.dtype).to(self._operator.device)
        basis = self._basis[: self.filled]
        for _ in range(2):
            vector = self._without_known(vector - basis.T @ (basis @ vector))
        self._basis[self.filled] = vector / vector.norm()

    def _without_known(self, vector: Tensor) -> Tensor:
        return vector if self._beside is None else vector - self._beside @ (self._beside.T @ vector)
