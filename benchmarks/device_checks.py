"""Checks that a device computes what the CPU computes: `CHECKS`, name -> check(device, quick).

A check raises AssertionError where the two differ by more than rounding explains, and returns what it saw. Trajectories
of training are chaotic: rounding grows with every step, so runs are compared closely at their beginning and loosely at
their end (`device_runs`), and everything else at one fixed network, here.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.device_place import POOL, Place, Seen, place
from benchmarks.device_runs import events_agree, full_card_is_told, memory_returns, methods_run, resume_agrees
from esacl import batchnorm, graphed, networks
from esacl.config import NETWORK_NAMES
from esacl.curvature import hessian, loss_rise, pyhessian_eigenvalues, top_eigenpairs
from esacl.distillation import asked
from esacl.landscape import pruning_direction, random_direction, slice_2d
from esacl.pruning import ALLOCATIONS, SALIENCIES, keep_top, saliency
from esacl.seeds import torch_generator
from esacl.selection import SCORES, score, select


def curvature_agrees(device: torch.device, quick: bool) -> Seen:
    """Top eigenvalues, whole and restricted, in float32 there and in float64 on the CPU; both engines."""
    seen: Seen = {}
    for name in NETWORK_NAMES:
        one, other = place(torch.device("cpu"), quick, name), place(device, quick, name)
        count = 3
        if name == "resnet18":  # in float64 on two cores a product of all examples takes seconds
            count = 1
            one, other = (replace(at, pool=at.pool.take(torch.arange(0, POOL, 4))) for at in (one, other))
        for what, masked in (("whole", False), ("restricted", True)):
            exact = _operator(one, masked, torch.float64)
            near = _operator(other, masked, None)
            truth = top_eigenpairs(exact, count, tol=1e-5).values
            found = top_eigenpairs(near, count)
            assert found.converged, f"Lanczos did not converge on {name}, {what}"
            seen[f"{name}_{what}"] = _close(found.values / truth[0], truth / truth[0], 5e-3, f"{name}, {what}")
        engine = pyhessian_eigenvalues(
            other.network, other.criterion, (other.pool.inputs, other.pool.targets), 1, mask=other.mask
        )
        seen[f"{name}_pyhessian"] = _close(engine.values / truth[0], truth[:1] / truth[0], 3e-2, f"{name}, PyHessian")
    return seen


def products_agree(device: torch.device, quick: bool) -> Seen:
    """One Hessian-vector product and one gradient, against float64 on the CPU."""
    one, other = place(torch.device("cpu"), quick), place(device, quick)
    exact, near = _operator(one, False, torch.float64), _operator(other, False, None)
    vector = torch.randn(exact.shape[0], generator=torch_generator(0, "check"), dtype=torch.float64)
    return {
        "product": _close((near @ vector.to(near.device, near.dtype)), exact @ vector, 1e-3, "the products"),
        "gradient": _close(near.gradient(), exact.gradient(), 1e-3, "the gradients"),
    }


def rises_agree(device: torch.device, quick: bool) -> Seen:
    """The loss rise of a cut, four ways."""
    found = []
    for where in (torch.device("cpu"), device):
        at = place(where, quick)
        d = pruning_direction(at.network, at.mask)
        found.append(loss_rise(at.network, at.criterion, (at.pool.inputs, at.pool.targets), d, lambda_nodes=2))
    names = ("actual", "taylor", "path_integral", "lambda_bound")
    return {name: _near(getattr(found[1], name), getattr(found[0], name), 2e-2, name) for name in names}


def slices_agree(device: torch.device, quick: bool) -> Seen:
    """A plane through the cut, point by point."""
    planes = []
    for where in (torch.device("cpu"), device):
        at = place(where, quick)
        x, y = pruning_direction(at.network, at.mask), random_direction(at.network, 1)
        data = (at.pool.inputs, at.pool.targets)
        planes.append(slice_2d(at.network, at.criterion, data, x, y, points=5, correct=at.criterion.correct))
    loss = _close(torch.from_numpy(planes[1].loss), torch.from_numpy(planes[0].loss), 1e-3, "the losses")
    assert planes[0].holes == planes[1].holes == 0
    return {"loss": loss}


def recordings_agree(device: torch.device, quick: bool) -> Seen:
    """Recorded passes beside ordinary ones while weights move: outputs, gradients, statistics, answers (CUDA)."""
    if device.type != "cuda":
        return {"skipped": "only CUDA records"}
    seen: Seen = {}
    for name in NETWORK_NAMES:
        pair = [place(device, True, name).network for _ in range(2)]
        recorded, plain = graphed.Graphed(pair[0]), pair[1]
        solution = {key: p.detach().clone() for key, p in pair[0].named_parameters()}
        answers = graphed.Answers(partial(asked, pair[0], solution))
        generator = torch_generator(0, "recordings")
        shape = (16, *place(device, True, name).pool.inputs.shape[1:])
        worst = dict.fromkeys(("outputs", "gradients", "statistics", "answers"), 0.0)
        for _ in range(graphed.PATIENCE + 4):
            inputs = torch.randn(shape, generator=generator).to(device)
            found = []
            ways: list[tuple[networks.Network, graphed.Pass]] = [(pair[0], recorded), (plain, plain)]
            for network, forward in ways:
                network.zero_grad(set_to_none=True)
                with batchnorm.by_batch(network, len(inputs), moving=True):
                    outputs = forward(inputs)
                outputs.square().mean().backward()
                gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
                statistics = [buffer.double().flatten() for buffer in network.buffers()]
                found.append((outputs.detach(), gradients, torch.cat([*statistics, outputs.new_ones(1)])))
            told = (answers(inputs), asked(pair[1], solution, inputs))
            for what, (ours, truth) in zip(worst, [*zip(*found), told], strict=True):
                worst[what] = max(worst[what], _close(ours, truth, 2e-2, f"{name}, recorded {what}"))
            with torch.no_grad():
                for one, other in zip(*(network.parameters() for network in pair), strict=True):
                    one.mul_(0.98)
                    other.copy_(one)
        assert recorded.recorded, f"{name} was not recorded"
        assert all(way is not pair[0] for way in recorded.recorded.values()), f"recording {name} failed"
        assert answers.recorded, f"answers of {name} were not recorded"
        seen[name] = worst
    return seen


def choices_agree(device: torch.device, quick: bool) -> Seen:
    """Saliencies, masks, scores and chosen instances."""
    one, other = place(torch.device("cpu"), quick), place(device, quick)
    seen: Seen = {}
    for name in SALIENCIES:
        for allocation in ALLOCATIONS:
            masks = [keep_top(_saliency(at, name), 0.9, allocation) for at in (one, other)]
            flips = masks[0].flips(masks[1].to("cpu"))
            assert flips <= 4, f"{name}, {allocation}: {flips} weights are cut on one device only"
    for name in SCORES:
        scores = [_scores(at, name) for at in (one, other)]
        seen[name] = _close(scores[1], scores[0], 1e-3, f"score {name}")
        rows, weights = zip(*(select(s, 0.25, 0) for s in (scores[0], scores[0].to(device))))
        assert torch.equal(rows[0], rows[1].cpu()), f"score {name} chooses other instances"
        assert rows[1].device.type == device.type == weights[1].device.type
    return seen


CHECKS: dict[str, Callable[[torch.device, bool], Seen]] = {
    "events": events_agree,
    "methods": methods_run,
    "products": products_agree,
    "curvature": curvature_agrees,
    "rises": rises_agree,
    "slices": slices_agree,
    "choices": choices_agree,
    "recordings": recordings_agree,
    "resume": resume_agrees,
    "memory": memory_returns,
    "full card": full_card_is_told,
}


def _operator(at: Place, masked: bool, dtype: torch.dtype | None) -> Any:
    data = (at.pool.inputs, at.pool.targets)
    return hessian(at.network, at.criterion, data, at.mask if masked else None, dtype=dtype)


def _saliency(at: Place, name: str) -> dict[str, Tensor]:
    weights = {key: p.detach() for key, p in at.network.named_parameters() if key in at.mask}
    squares = {key: w.square() for key, w in weights.items()}
    return saliency(name, weights, curvature=squares, gradient=squares, generator=torch_generator(0, "check"))


@torch.no_grad()
def _scores(at: Place, name: str) -> Tensor:
    seen = networks.features(at.network, at.pool.inputs)
    return score(name, at.criterion.logits(at.network.head(seen), at.pool.targets), at.pool.targets, seen)


def _close(found: Tensor, truth: Tensor, tolerance: float, what: str) -> float:
    """Largest difference relative to the largest entry."""
    truth = truth.detach().double().cpu()
    error = float((found.detach().cpu().double() - truth).abs().max() / truth.abs().max())
    assert error <= tolerance, f"{what} differ by {error:.1e}, allowed {tolerance:.0e}"
    return error


def _near(found: float, truth: float, tolerance: float, what: str) -> float:
    return _close(torch.tensor([found]), torch.tensor([truth]), tolerance, what)
