"""What `speed.py` compares: each contender does the same job, and its Hessian-vector products are counted.

PyHessian and scipy are EsaCL's own dependencies. curvlinops and loss-landscapes are wanted by this benchmark only
(`requirements-speed.txt`); one that is not installed is left out by name. Every contender gets its fastest way:
PyHessian one batch, so that it keeps the gradient's graph; curvlinops no check of determinism. On a masked problem the
peers see the network with its weights parametrised as mask times weight, whose Hessian has the eigenvalues of the
restricted one, and zeros.
"""

import contextlib
import copy
import importlib
import importlib.metadata
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize

from benchmarks.speed_problems import Problem
from esacl.curvature import hessian, spectral_density, top_eigenpairs, trace
from esacl.landscape import Direction, slice_2d

PEERS = {  # import name -> distribution
    "pyhessian": "pyhessian",
    "scipy": "scipy",
    "curvlinops": "curvlinops-for-pytorch",
    "loss_landscapes": "loss-landscapes",
}
OURS = "EsaCL"
BY_DEFAULT = "EsaCL at its default tolerance"
PYHESSIAN = "PyHessian"
DEFAULT = 1e-3  # tolerance of `top_eigenpairs`
MOST = 2000  # iterations an eigenvalue that PyHessian may take: its default of 100 ends before it converges


@dataclass(frozen=True)
class Found:
    """Eigenvalues (k,) descending, and the Hessian-vector products spent on them."""

    values: np.ndarray
    products: int


@dataclass(frozen=True)
class Solver:
    """A way to the top k eigenvalues. `rungs`: its tolerances, loosest first, each in the solver's own meaning."""

    name: str
    solve: Callable[[Problem, int, float, int], Found]
    rungs: tuple[float, ...]


def installed() -> dict[str, str | None]:
    """The version of each peer; None where it cannot be imported."""
    found: dict[str, str | None] = {}
    for module, distribution in PEERS.items():
        try:
            importlib.import_module(module)
            found[distribution] = importlib.metadata.version(distribution)
        except ImportError:
            found[distribution] = None
    return found


def solvers() -> list[Solver]:
    """All that are installed; EsaCL first."""
    ladder = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
    chosen = [
        Solver(OURS, ours_top, ladder),
        Solver(BY_DEFAULT, ours_top, (DEFAULT,)),
        Solver(PYHESSIAN, pyhessian_top, ladder),
        Solver("eigsh over EsaCL's product", eigsh_over_ours, ladder),
    ]
    if installed()[PEERS["curvlinops"]]:
        chosen.append(Solver("eigsh over curvlinops' product", eigsh_over_curvlinops, ladder))
    return chosen


def ours_top(problem: Problem, k: int, tol: float, seed: int) -> Found:
    """Lanczos with a Ritz-residual stop; the operator is built anew, as for every contender."""
    operator = hessian(problem.network, cross_entropy, problem.data, problem.mask)
    pairs = top_eigenpairs(operator, k, tol=tol, seed=seed)
    return Found(pairs.values.numpy(), operator.products)


def pyhessian_top(problem: Problem, k: int, tol: float, seed: int) -> Found:
    """Power iteration with deflation, by the package itself."""
    with _pyhessian(problem, seed) as (engine, count):
        values, _ = engine.eigenvalues(maxIter=MOST, tol=tol, top_n=k)
        return Found(np.sort(values)[::-1], count())


def eigsh_over_ours(problem: Problem, k: int, tol: float, seed: int) -> Found:
    """ARPACK with its default number of vectors."""
    operator = hessian(problem.network, cross_entropy, problem.data, problem.mask)

    def product(vector: np.ndarray) -> np.ndarray:
        return (operator @ torch.from_numpy(vector.astype(np.float32).reshape(-1))).numpy()

    return _arpack(LinearOperator(operator.shape, matvec=product, dtype=np.float32), k, tol, seed)


def eigsh_over_curvlinops(problem: Problem, k: int, tol: float, seed: int) -> Found:
    """The same over curvlinops' HessianLinearOperator, the way its documentation goes."""
    curvlinops = importlib.import_module("curvlinops")
    network = parametrised(problem)
    operator = curvlinops.HessianLinearOperator(
        network, nn.CrossEntropyLoss(), list(network.parameters()), [problem.data], check_deterministic=False
    ).to_scipy(dtype=np.float32)
    return _arpack(operator, k, tol, seed)


def pyhessian_trace(problem: Problem, products: int, seed: int, tol: float = 0.0) -> tuple[float, int]:
    """Hutchinson's mean, and the products spent; tol 0 keeps its stopping rule out."""
    with _pyhessian(problem, seed) as (engine, count):
        return float(np.mean(engine.trace(maxIter=products, tol=tol))), count()


def ours_trace(problem: Problem, products: int, seed: int) -> tuple[float, int]:
    """Exact Gauss-Newton part and probes of the rest, and what was spent: each backward pass counts as a product."""
    operator = hessian(problem.network, cross_entropy, problem.data, problem.mask)
    found = trace(operator, products=products, seed=seed)
    return found.value, found.products


def pyhessian_density(problem: Problem, steps: int, probes: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Nodes and weights of the quadrature, and the products; needs the removed `torch.eig` for the call."""
    with _pyhessian(problem, seed) as (engine, count), mock.patch.object(torch, "eig", _eig, create=True):
        nodes, weights = engine.density(iter=steps, n_v=probes)
        return np.concatenate(nodes), np.concatenate(weights) / probes, count()


def ours_density(problem: Problem, steps: int, probes: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Nodes and weights of the quadrature, and the products."""
    operator = hessian(problem.network, cross_entropy, problem.data, problem.mask)
    found = spectral_density(operator, steps=steps, probes=probes, seed=seed)
    known = np.isfinite(found.nodes)
    return found.nodes[known], found.weights[known] / probes, operator.products


def ours_plane(problem: Problem, x: Direction, y: Direction, points: int) -> np.ndarray:
    """The loss (points, points) on [-1, 1]^2, every cell computed."""
    return slice_2d(problem.network, cross_entropy, problem.data, x, y, points=points).loss


def loop_plane(problem: Problem, x: Direction, y: Direction, points: int) -> np.ndarray:
    """The same, cell by cell, weights written out: the reference for the values."""
    network = copy.deepcopy(problem.network)
    start = {name: p.detach().clone() for name, p in network.named_parameters()}
    steps = np.linspace(-1, 1, points)
    found = np.empty((points, points))
    with torch.no_grad():
        for row, b in enumerate(steps):
            for column, a in enumerate(steps):
                for name, p in network.named_parameters():
                    p.copy_(start[name] + float(a) * x[name] + float(b) * y[name])
                found[row, column] = float(cross_entropy(network(problem.inputs), problem.targets))
    return found


def loss_landscapes_plane(problem: Problem, x: Direction, y: Direction, points: int) -> np.ndarray:
    """`planar_interpolation` over the same plane: its row i, column j is a = x_i, b = y_j, in even rows.

    It steps before it evaluates, so the start lies one step of y below the corner; its odd rows are shifted by a cell
    all the same. Its ends are `points` steps away.
    """
    package, metrics = (importlib.import_module(name) for name in ("loss_landscapes", "loss_landscapes.metrics"))
    step = 2 / (points - 1)
    corners = [(-1.0, -1.0 - step), (-1.0 + points * step, -1.0 - step), (-1.0, -1.0 - step + points * step)]
    start, one, two = (_moved(problem.network, x, y, *corner) for corner in corners)
    metric = metrics.Loss(nn.CrossEntropyLoss(), problem.inputs, problem.targets)
    return np.asarray(package.planar_interpolation(start, one, two, metric, steps=points))


def parametrised(problem: Problem) -> nn.Module:
    """A copy of the network that a peer may change; on a masked problem its weights are mask times parameter."""
    network = copy.deepcopy(problem.network)
    for name, entry in (problem.mask or {}).items():
        owner, _, attribute = name.rpartition(".")
        parametrize.register_parametrization(network.get_submodule(owner), attribute, _Masked(entry))
    return network


class _Masked(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = nn.Buffer(mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


@contextlib.contextmanager
def _pyhessian(problem: Problem, seed: int) -> Iterator[tuple[Any, Callable[[], int]]]:
    """PyHessian's object, and how many products it has spent; its leak is cut afterwards."""
    from pyhessian import hessian as engine_of

    module: Any = sys.modules[engine_of.__module__]
    original, calls = module.hessian_vector_product, [0]

    def counted(*arguments: Any) -> Any:
        calls[0] += 1
        return original(*arguments)

    network = parametrised(problem)
    try:
        with (
            warnings.catch_warnings(),
            torch.random.fork_rng(devices=[]),
            mock.patch.object(module, "hessian_vector_product", counted),
        ):
            warnings.filterwarnings("ignore", message=".*backward.* with create_graph=True")
            torch.random.default_generator.manual_seed(seed)
            yield engine_of(network, nn.CrossEntropyLoss(), data=problem.data, cuda=False), lambda: calls[0]
    finally:
        network.zero_grad(set_to_none=True)


def _eig(matrix: Tensor, eigenvectors: bool = False) -> tuple[Tensor, Tensor]:
    """`torch.eig` as it was, for symmetric matrices."""
    values, vectors = torch.linalg.eigh(matrix)
    return torch.stack([values, torch.zeros_like(values)], dim=1), vectors


def _arpack(operator: LinearOperator, k: int, tol: float, seed: int) -> Found:
    calls = [0]

    def counted(vector: np.ndarray) -> np.ndarray:
        calls[0] += 1
        return operator.matvec(vector)

    wrapped = LinearOperator(operator.shape, matvec=counted, dtype=np.float32)
    start = np.random.default_rng(seed).standard_normal(operator.shape[0]).astype(np.float32)
    try:
        values = eigsh(wrapped, k, which="LA", tol=tol, v0=start, return_eigenvectors=False)
    except ArpackError as error:
        raise RuntimeError(f"ARPACK: {error}") from None
    return Found(np.sort(values)[::-1], calls[0])


def _moved(network: nn.Module, x: Direction, y: Direction, a: float, b: float) -> nn.Module:
    moved = copy.deepcopy(network)
    with torch.no_grad():
        for name, p in moved.named_parameters():
            p.add_(x[name], alpha=a).add_(y[name], alpha=b)
    return moved
