"""Peak memory of each analysis against one training step on the same batch.

What torch allocates is added up over the profiler's record of every allocation, from the call on; the network and the
data, which lie there already, are added to both sides. A Krylov basis (any block of several whole vectors, as XTrace's
samples are) is told apart by its size, a multiple of the vector's length.
"""

import copy
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from benchmarks.speed_problems import Problem, cut
from benchmarks.speed_race import Record
from esacl.curvature import Hessian, hessian, loss_rise, overlap, spectral_density, top_eigenpairs, trace
from esacl.landscape import pruning_direction, random_direction, slice_2d

BLOCK = 4  # vectors, from which on an allocation is a basis


def memory(problem: Problem, masked: Problem, *, quick: bool) -> Record:
    """Peak bytes of a training step and of every analysis; `ratio` is of the peak without the Krylov basis.

    `own_ratio` is the same without network and data, so of what each allocates itself.
    """
    there = 4 * sum(p.numel() for p in problem.network.parameters())
    there += sum(part.numel() * part.element_size() for part in problem.data)
    step = there + _step_peak(problem)
    moved = 4 * sum(part.numel() for part in pruning_direction(problem.network, cut(problem.network)).values())
    found: dict[str, Record] = {}
    for name, (at, work) in _works(problem, masked, quick=quick).items():
        work()  # what is allocated once and kept (kernels, caches) is nobody's peak
        vector = moved if name == "loss rise" else 4 * _operator(at).shape[0]  # the rise is over what moves only
        whole, apart = (there + most for most in peak(work, vector))
        own = (apart - there) / (step - there)
        found[name] = {"peak": whole, "apart": apart, "ratio": apart / step, "own_ratio": own}
    return {"problem": problem.name, "examples": len(problem.inputs), "step": step, "works": found}


def peak(work: Callable[[], object], vector: int = 0) -> tuple[int, int]:
    """Most bytes alive at once during a call: in all, and without blocks of vectors of `vector` bytes each."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = work()
    del kept
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = np.array([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())], dtype=np.int64)
    block = (changes % vector == 0) & (abs(changes) >= BLOCK * vector) if vector else np.zeros(len(changes), bool)
    return int(changes.cumsum().max(initial=0)), int(np.where(block, 0, changes).cumsum().max(initial=0))


def _works(problem: Problem, masked: Problem, *, quick: bool) -> dict[str, tuple[Problem, Callable[[], object]]]:
    """Every analysis by name: where it looks, and the work."""
    rows, products, steps = (3, 8, 4) if quick else (3, 120, 40)
    network, data = problem.network, problem.data
    displacement = pruning_direction(network, cut(network))
    plane = partial(slice_2d, network, cross_entropy, data, random_direction(network, 1), random_direction(network, 2))
    rise = partial(loss_rise, network, cross_entropy, data, displacement)
    return {
        "product": (problem, partial(_product, problem)),
        "top-5 eigenpairs": (problem, lambda: top_eigenpairs(_operator(problem), 5)),
        "top-5 eigenpairs, 90% masked": (masked, lambda: top_eigenpairs(_operator(masked), 5)),
        f"trace, {products} products": (problem, lambda: trace(_operator(problem), products=products)),
        f"density, 2 probes of {steps}": (
            problem, lambda: spectral_density(_operator(problem), steps=steps, probes=2),
        ),
        "loss rise": (problem, rise),
        "overlap": (problem, partial(_overlap, problem, displacement)),
        f"slice, {rows} rows of 51": (problem, partial(plane, points=(51, rows))),
    }  # fmt: skip


def _operator(problem: Problem) -> Hessian:
    return hessian(problem.network, cross_entropy, problem.data, problem.mask)


def _product(problem: Problem) -> object:
    operator = _operator(problem)
    return operator @ torch.ones(operator.shape[0])


def _overlap(problem: Problem, displacement: Mapping[str, Tensor]) -> object:
    operator = _operator(problem)
    return overlap(operator, top_eigenpairs(operator, 5), displacement)


def _step_peak(problem: Problem) -> int:
    """Of forward, backward and a plain SGD update; the gradients are made and freed within."""
    network = copy.deepcopy(problem.network)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-6)

    def step() -> None:
        cross_entropy(network(problem.inputs), problem.targets).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    step()
    return peak(step)[0]
