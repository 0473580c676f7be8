"""Trace and spectral density at equal products, against a Hessian that is known."""

import numpy as np
from scipy.stats import wasserstein_distance

from benchmarks import speed_peers as peers
from benchmarks.speed_problems import Problem, Reference, exact_trace
from benchmarks.speed_race import Record, race


def traces(problem: Problem, products: int, seeds: int) -> Record:
    """Relative rms error of each estimator over the seeds; PyHessian also as its own rule stops it."""
    truth = exact_trace(problem)
    contenders = {
        peers.OURS: lambda seed: peers.ours_trace(problem, products, seed),
        peers.PYHESSIAN: lambda seed: peers.pyhessian_trace(problem, products, seed),
        f"{peers.PYHESSIAN}, stopping by its rule": lambda seed: peers.pyhessian_trace(problem, products, seed, 1e-3),
    }
    found = race(contenders, seeds)
    for one in found.values():
        values, spent = zip(*one.pop("results"))
        errors = np.array(values) / truth - 1
        one |= {"errors": errors.tolist(), "rms": float(np.sqrt(np.mean(errors**2))), "products": list(spent)}
    return {"problem": problem.name, "examples": len(problem.inputs), "truth": truth, "estimators": found}


def densities(problem: Problem, steps: int, probes: int, seeds: int) -> Record:
    """Wasserstein-1 distance of each estimator's quadrature (nodes, weights) to the exact spectrum.

    In units of the largest eigenvalue. The quadrature is compared, not a smoothed curve: PyHessian returns no other,
    and a smoothing width would be the larger part of the distance.
    """
    spectrum = Reference(problem).spectrum()
    contenders = {
        peers.OURS: lambda seed: peers.ours_density(problem, steps, probes, seed),
        peers.PYHESSIAN: lambda seed: peers.pyhessian_density(problem, steps, probes, seed),
    }
    found = race(contenders, seeds)
    for one in found.values():
        results = one.pop("results")
        distances = [wasserstein_distance(spectrum, nodes, None, weights) for nodes, weights, _ in results]
        one["distance"] = [float(distance / spectrum[-1]) for distance in distances]
        one["products"] = [spent for _, _, spent in results]
    facts = {"examples": len(problem.inputs), "steps": steps, "probes": probes}
    return {"problem": problem.name, "entries": len(spectrum), **facts, "estimators": found}
