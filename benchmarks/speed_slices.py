"""Slices against loss-landscapes, and refined slices against whole grids."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch.nn.functional import cross_entropy

from benchmarks import speed_peers as peers
from benchmarks.speed_problems import Problem, cut
from benchmarks.speed_race import Record, race
from esacl.curvature import hessian, top_eigenpairs
from esacl.landscape import (
    Direction,
    Slice2D,
    eigen_direction,
    orthogonal_to,
    pruning_direction,
    random_direction,
    slice_2d,
)

SHARE = 0.01  # of the loss range shown: what a refined slice may be off


def planes(problem: Problem, points: int, rounds: int) -> Record:
    """Seconds for a plane of two random filter-normalised directions, and how far the values are from a plain loop's.

    Values are compared as |difference| / (1 + |loss|). Of loss-landscapes' only every other row can be compared, which
    shows that it computed the same plane; the rows between are shifted by a cell (a fault of that package).
    """
    x, y = random_direction(problem.network, 1), random_direction(problem.network, 2)
    contenders: dict[str, Callable[[int], np.ndarray]] = {
        peers.OURS: lambda _: peers.ours_plane(problem, x, y, points)
    }
    if peers.installed()[peers.PEERS["loss_landscapes"]]:
        contenders["loss-landscapes"] = lambda _: peers.loss_landscapes_plane(problem, x, y, points)
    reference = peers.loop_plane(problem, x, y, points)
    found = race(contenders, rounds)
    for name, one in found.items():
        losses = one.pop("results")[0]
        wanted = reference if name == peers.OURS else reference.T[::2]
        one["error"] = _apart(losses if name == peers.OURS else losses[::2], wanted)
        if name != peers.OURS:
            one["error_of_other_rows"] = _apart(losses[1::2], reference.T[1::2])
    return {"problem": problem.name, "examples": len(problem.inputs), "points": points, "solvers": found}


def refined(problem: Problem, points: int) -> list[Record]:
    """Evaluations and true error of refined slices: a random plane, and pruning displacement x top eigenvector.

    The error is the largest over all cells, as a share of the range of the whole grid's losses.
    """
    return [_refined(problem, name, x, y, extent, points) for name, (x, y, extent) in _axes(problem).items()]


def _axes(problem: Problem) -> dict[str, tuple[Direction, Direction, Any]]:
    network = problem.network
    few = problem.of(100)
    operator = hessian(network, cross_entropy, few.data)
    top = top_eigenpairs(operator, 1)
    reach = float(2 / top.values[0]) ** 0.5  # as the app shows it: the parabola rises by one nat
    pruning = pruning_direction(network, cut(network))
    across = orthogonal_to(eigen_direction(operator, top.vectors[:, 0]), pruning)
    return {
        "random x random": (random_direction(network, 1), random_direction(network, 2), (-1.0, 1.0)),
        "pruning x eigenvector": (pruning, across, ((-0.5, 1.5), (-reach, reach))),
    }


def _refined(problem: Problem, name: str, x: Direction, y: Direction, extent: Any, points: int) -> Record:
    def plane(share: float | None) -> Slice2D:
        return slice_2d(problem.network, cross_entropy, problem.data, x, y, extent=extent, points=points, refine=share)

    found = race({"whole": lambda _: plane(None), "refined": lambda _: plane(SHARE)}, 1)
    whole, coarse = found["whole"]["results"][0], found["refined"]["results"][0]
    low, high = float(np.nanmin(whole.loss)), float(np.nanmax(whole.loss))
    return {
        "problem": problem.name,
        "plane": name,
        "examples": len(problem.inputs),
        "points": points,
        "cells": int(whole.evaluations),
        "evaluations": int(coarse.evaluations),
        "error": float(np.nanmax(np.abs(coarse.loss - whole.loss))) / (high - low),
        "estimated": float(coarse.error) / (high - low),
        "range": [low, high],
        "cpu": {key: one["cpu"][0] for key, one in found.items()},
    }


def _apart(found: np.ndarray, wanted: np.ndarray) -> float:
    return float((np.abs(found - wanted) / (1 + np.abs(wanted))).max())
