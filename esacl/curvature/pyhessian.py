"""PyHessian's eigenvalues: power iteration by another hand, the cross-check of Lanczos.

Source: Yao et al. 2020, PyHessian: Neural Networks Through the Lens of the Hessian. Its release 0.1
accumulates gradients between objects, leaks the graph, switches the model to eval mode, assumes CUDA, draws from the
global random numbers, and sees the full Hessian where zeros are baked into the weights. So it never gets the network:
it gets a module whose one parameter is the vector of entries in question, and which puts them into the network for
each pass.
"""

import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping

import torch
from pyhessian import hessian as PyHessian
from torch import Tensor, nn

from esacl.curvature.lanczos import Eigenpairs
from esacl.curvature.objective import Data, Loss, Objective
from esacl.curvature.operator import Hessian
from esacl.errors import InputError, RunFailure
from esacl.stepwise import Step, Steps, finish


def pyhessian_eigenvalues(
    network: nn.Module,
    loss: Loss,
    data: Data,
    k: int,
    *,
    mask: Mapping[str, Tensor] | None = None,
    names: Iterable[str] | None = None,
    tol: float = 1e-4,
    max_iterations: int = 100,
    seed: int = 0,
    chunk: int | None = None,
) -> Eigenpairs:
    """The k eigenvalues largest in magnitude by PyHessian, in descending order, each with a residual of our own.

    `tol` is PyHessian's: the relative change between two iterates, not the error; 1e-4 keeps the error of isolated
    eigenvalues near 1e-3. So `converged` does not repeat PyHessian's word: it says whether each residual, from one
    more product by our operator, is at most sqrt(tol) times the largest |value| (the error of an isolated eigenvalue
    goes with the square of its residual). Power iteration finds the largest magnitudes, which are the top eigenvalues
    only where no negative one is larger. It draws its vectors in float32, so everything is computed in float32.

    The arguments are those of `hessian`; the network, its gradients and its training flags, and the global random
    numbers are left untouched.

    Args:
        network: any module.
        loss: a mean over the examples.
        data: a tuple of tensors or an iterable of batches.
        k: how many eigenvalues.
        mask: restricts the Hessian to the survivors, so that PyHessian itself iterates on the restricted problem.
        names: which parameters.
        tol: relative change at which PyHessian stops.
        max_iterations: of PyHessian, an eigenvalue.
        seed: of its start vectors.
        chunk: examples at a time.

    Raises:
        InputError: k, tol or max_iterations out of range, a loss without curvature, and what `hessian` refuses.
        RunFailure: a product that is not finite.
    """
    return finish(
        pyhessian_steps(
            network, loss, data, k,
            mask=mask, names=names, tol=tol, max_iterations=max_iterations, seed=seed, chunk=chunk,
        )
    )  # fmt: skip


def pyhessian_steps(
    network: nn.Module,
    loss: Loss,
    data: Data,
    k: int,
    *,
    mask: Mapping[str, Tensor] | None = None,
    names: Iterable[str] | None = None,
    tol: float = 1e-4,
    max_iterations: int = 100,
    seed: int = 0,
    chunk: int | None = None,
) -> Steps[Eigenpairs]:
    """`pyhessian_eigenvalues` in steps of a tenth of a second; where it is left, PyHessian stops after its product.

    Raises:
        InputError: as `pyhessian_eigenvalues`, at the call.
        RunFailure: a product that is not finite.
    """
    objective = Objective(network, loss, data, names=names, chunk=chunk, dtype=torch.float32)
    objective.refuse_chance()
    operator = Hessian(objective, mask)
    n = operator.shape[0]
    if not 1 <= k <= n:
        raise InputError(f"k = {k} eigenvalues of an operator of size {n}; choose 1 to {n}")
    if not 0 < tol < 1 or max_iterations < 2:
        raise InputError(f"tol {tol}, max_iterations {max_iterations}: choose 0 < tol < 1 and at least 2 iterations")
    return _judged(objective, operator, k, tol, max_iterations, seed)


def _judged(
    objective: Objective, operator: Hessian, k: int, tol: float, max_iterations: int, seed: int
) -> Steps[Eigenpairs]:
    values, vectors, spent = yield from _aside(objective, operator, k, tol, max_iterations, seed)
    products = torch.stack([operator @ vector for vector in vectors.T], dim=1)
    residuals = (products - values.to(products) * vectors).norm(dim=0).cpu().double()
    if not bool(residuals.isfinite().all()):
        raise RunFailure("a Hessian-vector product is not finite; the loss overflows at these weights")
    order = values.argsort(descending=True)
    converged = bool((residuals <= tol**0.5 * values.abs().max()).all())
    return Eigenpairs(values[order], vectors[:, order], residuals[order], spent + k, converged)


Iterated = tuple[Tensor, Tensor, int]


def _aside(
    objective: Objective, operator: Hessian, k: int, tol: float, max_iterations: int, seed: int
) -> Steps[Iterated]:
    """PyHessian in a thread of its own: it has no place to yield from, and must be left within a second."""
    batches, threads = _Batches(objective), torch.get_num_threads()
    outcome: list[Iterated | Exception] = []

    def work() -> None:
        torch.set_num_threads(threads)  # a new thread has a setting of its own
        try:
            outcome.append(_power_iteration(objective, operator, batches, k, tol, max_iterations, seed))
        except Exception as error:  # raised again where somebody waits for it
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
            yield Step(min(batches.passes, k * max_iterations), k * max_iterations)
    finally:
        batches.stopped = True
        thread.join()
    (found,) = outcome
    if isinstance(found, Exception):
        raise found
    return found


def _power_iteration(
    objective: Objective, operator: Hessian, batches: "_Batches", k: int, tol: float, max_iterations: int, seed: int
) -> Iterated:
    """PyHessian's values (k,), its vectors (n, k), and the products it spent."""
    network = _Entries(objective, operator)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.enable_grad():
        _refuse_linear(objective, network)
        # The cycle that torch warns of is PyHessian's way; it is cut below.
        warnings.filterwarnings("ignore", message=".*backward.* with create_graph=True")
        torch.random.default_generator.manual_seed(seed)
        engine = PyHessian(network, batches.loss, dataloader=batches, cuda=False)
        engine.device = objective.device
        try:
            values, vectors = engine.eigenvalues(maxIter=max_iterations, tol=tol, top_n=k)
        finally:
            network.zero_grad(set_to_none=True)
    columns = torch.stack([vector[0].detach() for vector in vectors], dim=1)
    return torch.tensor(values, dtype=torch.float64), columns, batches.passes


def _refuse_linear(objective: Objective, network: "_Entries") -> None:
    one = tuple(part[:1] for part in objective.batches[0])
    value = objective.loss_of(network(one[0]), one)
    (gradient,) = torch.autograd.grad(value, network.entries, create_graph=True)
    if not gradient.requires_grad:  # autograd would refuse the product with a riddle
        raise InputError("the loss is linear in these parameters, so its Hessian is zero")


class _Entries(nn.Module):
    """The network as a function of the operator's n entries only; its one parameter is that vector."""

    def __init__(self, objective: Objective, operator: Hessian) -> None:
        super().__init__()
        here = {name: objective.parameters[name] for name in objective.names}
        start = operator.flatten(here)
        self._objective, self._operator = objective, operator
        self._rest = {name: here[name] - part for name, part in operator.unflatten(start).items()}
        self.entries = nn.Parameter(start.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        entries = self._operator.scatter(self.entries)
        return self._objective.outputs({name: self._rest[name] + entries[name] for name in entries}, inputs)


class _Batches:
    """The chunks as PyHessian's data loader: (inputs, number of the chunk); counts the passes, one a product."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.passes = 0
        self.stopped = False

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.stopped:
            raise RunFailure("PyHessian was stopped")
        self.passes += 1
        for number, batch in enumerate(self._objective.batches):
            yield batch[0], torch.tensor(number)

    def loss(self, outputs: Tensor, number: Tensor) -> Tensor:
        """The loss of that chunk: its targets, and weights if any, never pass through PyHessian."""
        return self._objective.loss_of(outputs, self._objective.batches[int(number)])
