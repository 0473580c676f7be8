"""The truth over a whole pool of instances, and estimates of it from some: the compute half of `ids.py`.

The loss rise, d'Hd and the Fisher trace are means over instances: their value for each instance is computed once, and
every estimate is a weighted mean of those. lambda_max is no mean: every estimate of it is a Lanczos run.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from esacl import networks
from esacl.config import RunConfig
from esacl.criterion import Criterion
from esacl.curvature import hessian, top_eigenpairs
from esacl.errors import InputError
from esacl.events import ArrayRecorded
from esacl.landscape import pruning_direction
from esacl.mask import Mask
from esacl.pipeline import run
from esacl.pruning import keep_top, saliency
from esacl.seeds import torch_generator
from esacl.selection import score, select
from esacl.stages import stage_of
from esacl.tasks import Examples, task_stream

TOLERANCE = 1e-2  # of Lanczos: an eigenvalue's error goes with the square


@dataclass(frozen=True)
class Trained:
    """A network at the dense point of a task's end, its cut, and the pool."""

    config: RunConfig
    network: networks.Network
    criterion: Criterion
    mask: Mask
    curvature: dict[str, Tensor]
    pool: Examples


@dataclass(frozen=True)
class View:
    """One point, what the whole pool says there, and what each instance contributes to the means."""

    point: str
    network: networks.Network
    criterion: Criterion
    mask: Mask | None  # restricts the Hessian
    pool: Examples
    truth: dict[str, float]
    contributions: dict[str, Tensor]  # quantity -> (n,)


def train(config: RunConfig, task: int, pool: int, data: Path | None) -> Trained:
    """Learn the stream up to the end of `task`, and draw the pool from its training images.

    Raises:
        InputError: a data set that is missing, a task that the stream does not have.
    """
    if not 0 <= task < config.tasks:
        raise InputError(f"task {task} is not in {config.benchmark}; choose 0 to {config.tasks - 1}")
    events = run(config, data=data)
    name = f"weights-t{task}"
    kept = next(event.arrays for event in events if isinstance(event, ArrayRecorded) and event.name == name)
    events.close()
    stream = task_stream(config, data)
    network = networks.build(config, stream)
    groups: dict[str, dict[str, Tensor]] = {"dense": {}, "mask": {}, "curvature": {}}
    for key, array in kept.items():
        group, parameter = key.split("/", 1)
        groups[group][parameter] = torch.from_numpy(array.copy())
    network.load_state_dict(groups["dense"])
    stage = stage_of(config, stream, task, torch.device("cpu"), joint=False)
    order = torch.randperm(len(stage.examples), generator=torch_generator(config.seed, "pool", task))
    drawn = stage.examples.take(order[:pool].sort().values)
    return Trained(config, network, stage.criterion, Mask(groups["mask"]), groups["curvature"], drawn)


def views(trained: Trained, deeper: float) -> Iterator[View]:
    """The dense point with the run's own cut and a deeper one, then the pruned point."""
    network, pool, loss = trained.network, trained.pool, trained.criterion
    weights = {name: p.detach() for name, p in network.named_parameters() if name in trained.mask}
    scores = saliency(trained.config.pruning.saliency, weights, curvature=trained.curvature)
    deep = keep_top(scores, deeper, trained.config.pruning.allocation)
    contributions = {"Fisher trace": fisher_traces(network, loss, pool)}
    for label, mask in ((f"{1 - trained.mask.density:.0%}", trained.mask), (f"{deeper:.0%}", deep)):
        d = pruning_direction(network, mask)
        contributions[f"d'Hd, cut at {label}"] = second_derivatives(network, loss, pool, d)
        contributions[f"loss rise, cut at {label}"] = rises(network, loss, pool, d)
    yield _view("dense", network, loss, None, pool, contributions)
    pruned = copy.deepcopy(network)
    trained.mask.apply(pruned)
    yield _view("pruned", pruned, loss, trained.mask, pool, {"Fisher trace": fisher_traces(pruned, loss, pool)})


def estimates(view: View, rule: str, fraction: float, draws: int, *, best: bool) -> Iterator[tuple[str, float]]:
    """Every quantity from `draws` choices of a fraction of the pool; `best` takes the highest scores, unweighted."""
    with torch.no_grad():
        seen = networks.features(view.network, view.pool.inputs)
        logits = view.criterion.logits(view.network.head(seen), view.pool.targets)
        scores = score(rule, logits, view.pool.targets, seen)
    kept = max(1, round(fraction * len(view.pool)))
    for draw in range(draws):
        if best:
            rows, weights = scores.topk(kept).indices, torch.ones(kept)
        else:
            rows, weights = select(scores, fraction, draw)
        part = view.pool.take(rows)
        yield "lambda_max", _lambda_max(view, (part.inputs, part.targets, weights))
        for quantity, values in view.contributions.items():
            yield quantity, float((weights.double() * values[rows]).mean())


def fisher_traces(network: nn.Module, loss: Criterion, pool: Examples) -> Tensor:
    """Trace of each instance's Fisher matrix, sum_c p_c |grad log p_c|^2 over the open columns; (n,) float64."""
    weights = list(network.parameters())
    columns = loss.open[pool.targets[0]].nonzero()[:, 0]  # the pool is one task's: the same columns are open
    traces = []
    for image in pool.inputs.split(1):
        log_p = network(image)[0, columns].log_softmax(0)
        squares = [_squared(torch.autograd.grad(one, weights, retain_graph=True)) for one in log_p]
        traces.append((log_p.detach().double().exp() * torch.stack(squares)).sum())
    return torch.stack(traces)


def second_derivatives(network: nn.Module, loss: Criterion, pool: Examples, d: Mapping[str, Tensor]) -> Tensor:
    """d'H_i d of each instance, in float64; (n,).

    All at once: the derivative by c of the second derivative by a of sum_i c_i L_i(theta + a d).
    """
    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    shares = torch.ones(len(pool), dtype=torch.float64, requires_grad=True)
    values = {
        name: p.detach().double() + (step * d[name].detach().double() if name in d else 0)
        for name, p in network.named_parameters()
    }
    losses = loss.per_example(functional_call(network, values, (pool.inputs.double(),)), pool.targets)
    (slope,) = torch.autograd.grad((shares * losses).sum(), step, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, step, create_graph=True)
    return torch.autograd.grad(curvature, shares)[0]


def _squared(tensors: Iterable[Tensor]) -> Tensor:
    return torch.stack([tensor.double().square().sum() for tensor in tensors]).sum()


@torch.no_grad()
def rises(network: nn.Module, loss: Criterion, pool: Examples, d: Mapping[str, Tensor]) -> Tensor:
    """Loss at theta + d minus loss at theta of each instance, in float64; (n,)."""
    weights = {name: p.double() for name, p in network.named_parameters()}
    moved = {name: w + d[name].double() if name in d else w for name, w in weights.items()}
    after, before = (functional_call(network, values, (pool.inputs.double(),)) for values in (moved, weights))
    return loss.per_example(after, pool.targets) - loss.per_example(before, pool.targets)


def _view(
    point: str,
    network: networks.Network,
    loss: Criterion,
    mask: Mask | None,
    pool: Examples,
    contributions: dict[str, Tensor],
) -> View:
    view = View(point, network, loss, mask, pool, {}, contributions)
    view.truth["lambda_max"] = _lambda_max(view, (pool.inputs, pool.targets))
    view.truth.update({quantity: float(values.mean()) for quantity, values in contributions.items()})
    return view


def _lambda_max(view: View, data: tuple[Tensor, ...]) -> float:
    operator = hessian(view.network, view.criterion, data, view.mask)
    return float(top_eigenpairs(operator, 1, tol=TOLERANCE).values[0])
