"""Curvature of the loss: the Hessian as an operator, its spectrum, and what a displacement meets of it.

Every long computation has a twin that goes by steps (`stepwise`): `top_steps`, `density_steps` and so on.
"""

from esacl.curvature.interval import EigenvalueInterval, eigenvalue_interval, interval_steps
from esacl.curvature.lanczos import (
    Eigenpairs,
    Extremes,
    extreme_eigenpairs,
    extreme_steps,
    top_eigenpairs,
    top_steps,
)
from esacl.curvature.operator import Hessian, hessian
from esacl.curvature.outputs import OutputBound, bound_steps, output_bound
from esacl.curvature.overlap import Overlap, overlap
from esacl.curvature.pyhessian import pyhessian_eigenvalues
from esacl.curvature.rise import LossRise, loss_rise, rise_steps
from esacl.curvature.spectrum import SpectralDensity, density_steps, spectral_density
from esacl.curvature.trace import Trace, trace, trace_steps

__all__ = [
    "Eigenpairs",
    "EigenvalueInterval",
    "Extremes",
    "Hessian",
    "LossRise",
    "OutputBound",
    "Overlap",
    "SpectralDensity",
    "Trace",
    "bound_steps",
    "density_steps",
    "eigenvalue_interval",
    "extreme_eigenpairs",
    "extreme_steps",
    "hessian",
    "interval_steps",
    "loss_rise",
    "output_bound",
    "overlap",
    "pyhessian_eigenvalues",
    "rise_steps",
    "spectral_density",
    "top_eigenpairs",
    "top_steps",
    "trace",
    "trace_steps",
]
