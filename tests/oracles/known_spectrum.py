"""Operators whose eigenvalues are known."""

import torch


class Symmetric:
    """An operator with a known matrix."""

    def __init__(self, matrix, dtype=torch.float64):
        self.matrix = matrix.to(dtype)
        self.shape, self.dtype, self.device = tuple(matrix.shape), dtype, torch.device("cpu")
        self.products = 0

    def __matmul__(self, vector):
        self.products += 1
        return self.matrix @ vector


def diagonal(*values):
    return Symmetric(torch.diag(torch.tensor(values, dtype=torch.float64)))


def rotated(values, *, seed=0, dtype=torch.float64):
    """A full matrix with these eigenvalues."""
    generator = torch.Generator().manual_seed(seed)
    n = len(values)
    basis, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    return Symmetric(basis @ torch.diag(torch.as_tensor(values, dtype=torch.float64)) @ basis.T, dtype)


def outliers(n, *top):
    """Eigenvalues as a network's Hessian has them: a bulk around zero and a few far above it."""
    bulk = torch.linspace(-0.1, 0.3, n - len(top), dtype=torch.float64)
    return torch.cat([bulk, torch.tensor(top, dtype=torch.float64)])
