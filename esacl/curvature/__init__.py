"""Curvature of the loss: the Hessian as an operator, its top eigenpairs, the loss rise of a displacement."""

from esacl.curvature.lanczos import Eigenpairs, top_eigenpairs
from esacl.curvature.operator import Hessian, hessian
from esacl.curvature.pyhessian import pyhessian_eigenvalues
from esacl.curvature.rise import LossRise, loss_rise
from esacl.curvature.spectrum import SpectralDensity, spectral_density
from esacl.curvature.trace import Trace, trace

__all__ = [
    "Eigenpairs",
    "Hessian",
    "LossRise",
    "SpectralDensity",
    "Trace",
    "hessian",
    "loss_rise",
    "pyhessian_eigenvalues",
    "spectral_density",
    "top_eigenpairs",
    "trace",
]
