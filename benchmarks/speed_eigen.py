"""The top eigenvalues by every solver, at the loosest tolerance at which its true error is small enough."""

import numpy as np

from benchmarks.speed_peers import Solver
from benchmarks.speed_problems import Problem, Reference
from benchmarks.speed_race import Record, race

ERROR = 1e-3  # allowed: the largest |value / truth - 1| of the k


def top(problem: Problem, k: int, solvers: list[Solver], rounds: int) -> Record:
    """Products, errors and seconds of each solver; round r starts every solver from seed r."""
    truth = Reference(problem).top(k)
    tolerances = {solver.name: _loosest(solver, problem, truth, rounds) for solver in solvers}
    contenders = {
        solver.name: lambda seed, solver=solver: solver.solve(problem, k, tolerances[solver.name], seed)
        for solver in solvers
    }
    found = race(contenders, rounds)
    for name, one in found.items():
        results = one.pop("results")
        one["tolerance"] = tolerances[name]
        one["products"] = [result.products for result in results]
        one["error"] = [error_of(result.values, truth) for result in results]
    return {
        "problem": problem.name, "masked": problem.mask is not None, "k": k, "truth": truth.tolist(),
        "examples": len(problem.inputs), "entries": Reference(problem).n, "solvers": found,
    }  # fmt: skip


def error_of(values: np.ndarray, truth: np.ndarray) -> float:
    """The largest relative error of the eigenvalues, each by its rank."""
    return float(np.abs(values / truth - 1).max())


def _loosest(solver: Solver, problem: Problem, truth: np.ndarray, rounds: int) -> float:
    """The loosest tolerance whose error is allowed from every seed; the tightest where none is."""
    for tolerance in solver.rungs:
        found = (solver.solve(problem, len(truth), tolerance, seed) for seed in range(rounds))
        if all(error_of(one.values, truth) <= ERROR for one in found):  # stops at the first that is not
            return tolerance
    return solver.rungs[-1]
