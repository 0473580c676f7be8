"""Curvature of the loss: the Hessian as an operator, its top eigenpairs, the loss rise of a displacement."""

from esacl.curvature.lanczos import Eigenpairs, top_eigenpairs
from esacl.curvature.operator import Hessian, hessian
from esacl.curvature.pyhessian import pyhessian_eigenvalues
from esacl.curvature.rise import LossRise, loss_rise

__all__ = [
    "Eigenpairs",
    "Hessian",
    "LossRise",
    "hessian",
    "loss_rise",
    "pyhessian_eigenvalues",
    "top_eigenpairs",
]
