"""Checks that a device computes what the CPU computes: `CHECKS`, name -> check(device, quick).

A check raises AssertionError where the two differ by more than rounding explains, and returns what it saw. Trajectories
of training are chaotic: rounding grows with every step, so runs are compared closely at their beginning and loosely at
their end, and everything else at one fixed network.
"""

import contextlib
import gc
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from esacl import batchnorm, graphed, networks
from esacl.config import METHOD_NAMES, NETWORK_NAMES, SDP_FORM_NAMES, RunConfig
from esacl.criterion import Criterion
from esacl.curvature import hessian, loss_rise, pyhessian_eigenvalues, top_eigenpairs
from esacl.distillation import asked
from esacl.events import (
    CheckpointReady,
    CurvatureMeasured,
    Evaluated,
    Event,
    Failed,
    Pruned,
    RunFinished,
    RunStarted,
    Stepped,
    TaskFinished,
)
from esacl.landscape import pruning_direction, random_direction, slice_2d
from esacl.mask import Mask
from esacl.methods import METHODS
from esacl.pipeline import run
from esacl.pruning import ALLOCATIONS, SALIENCIES, keep_top, saliency
from esacl.seeds import torch_generator
from esacl.selection import SCORES, score, select
from esacl.stages import stage_of
from esacl.tasks import Examples, task_stream

Seen = dict[str, Any]
OFF = {"top": 0, "levels": 0, "grid": 0}
POOL = 100


@dataclass(frozen=True)
class Place:
    """A trained network with its cut and a pool, on one device; the same numbers on every device."""

    network: networks.Network
    criterion: Criterion
    pool: Examples
    mask: Mask


def place(device: torch.device, quick: bool, network: str = "mlp") -> Place:
    """The network after a short run on the CPU, moved to `device`."""
    config, weights = _trained(quick, network)
    stream = task_stream(config)
    model = networks.build(config, stream)
    model.load_state_dict(weights)
    names = networks.prunable_in(config, model)
    mask = keep_top({name: p.detach().abs() for name, p in model.named_parameters() if name in names}, 0.9)
    stage = stage_of(config, stream, config.tasks - 1, device, joint=True)
    every = torch.linspace(0, len(stage.examples) - 1, POOL).long()  # the examples are sorted by task
    pool = stage.examples.take(every.to(device))
    return Place(model.to(device), stage.criterion, pool, mask.to(device))


def events_agree(device: torch.device, quick: bool) -> Seen:
    """A run with every analysis on: the same events in the same order, close at first, alike at the end."""
    analyses = {"top": 2, "levels": 5, "grid": 5, "examples": 60}
    config = RunConfig(tasks=2, epochs=2 if quick else 10, curvature=analyses, device="cpu")
    here = list(run(config))
    there = list(run(config.model_copy(update={"device": str(device)})))
    assert [_kind(e) for e in here] == [_kind(e) for e in there], "the runs tell different stories"
    assert _only(there, RunStarted)[0].device.startswith(device.type)
    first = _difference([e.loss for e in _only(here, Stepped)[:3]], [e.loss for e in _only(there, Stepped)[:3]])
    assert first < 1e-3, f"the first losses differ by {first:.1e}"
    ends = [[e.accuracy for e in _only(events, Evaluated)][-2:] for events in (here, there)]
    apart = max(abs(a - b) for a, b in zip(*ends))
    assert apart < 0.08, f"final accuracies differ by {apart:.1%}"
    cuts = [[e.sparsity for e in _only(events, Pruned)] for events in (here, there)]
    assert cuts[0] == cuts[1], "the cuts have other sizes"
    assert all(e.converged for e in _only(there, CurvatureMeasured)), "Lanczos did not converge on this device"
    return {"first_losses": first, "final_accuracy_difference": apart}


def methods_run(device: torch.device, quick: bool) -> Seen:
    """Every method, form of SDP, network and scenario ends a short run there, at its sparsity."""
    small = {"tasks": 2, "epochs": 1, "train_limit": 40, "curvature": OFF, "device": str(device), "sparsity": 0.8}
    variants: list[dict[str, Any]] = [{"method": method} for method in METHOD_NAMES]
    variants += [{"sdp": {"form": form}} for form in SDP_FORM_NAMES]
    variants += [{"network": network, "scenario": "class"} for network in NETWORK_NAMES]
    variants += [{"scenario": "domain", "buffer": {"size": 20}, "ids": {"train_fraction": 0.5}}]
    for variant in variants:
        events = list(run(RunConfig(**{"threads": 1, **small, **variant})))
        assert isinstance(events[-1], RunFinished), f"{variant} did not finish"
        density = max(e.density for e in _only(events, TaskFinished))
        assert density <= 0.2 + 1e-6, f"{variant} keeps {density:.1%}"
    assert set(METHODS) == set(METHOD_NAMES)
    return {"runs": len(variants)}


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


def resume_agrees(device: torch.device, quick: bool) -> Seen:
    """A run goes on from a checkpoint taken there and from one taken on the CPU."""
    config = RunConfig(tasks=2, epochs=2 if quick else 6, curvature=OFF, device=str(device))
    whole = list(run(config))
    seen: Seen = {}
    for source in (str(device), "cpu"):
        state = next(e for e in run(config.model_copy(update={"device": source})) if _in_second_task(e))
        assert isinstance(state, CheckpointReady)
        rest = list(run(config, state))
        assert isinstance(rest[-1], RunFinished)
        ends = [[e.accuracy for e in _only(events, Evaluated)][-2:] for events in (whole, rest)]
        seen[f"from_{torch.device(source).type}"] = apart = max(abs(a - b) for a, b in zip(*ends))
        assert apart < 0.05, f"resumed from {source}, accuracies differ by {apart:.1%}"
    return seen


def memory_returns(device: torch.device, quick: bool) -> Seen:
    """A second run leaves no more memory allocated than the first did (CUDA; elsewhere nothing counts it)."""
    if device.type != "cuda":
        return {"skipped": "only CUDA counts what is allocated"}
    config = RunConfig(tasks=2, epochs=1, train_limit=60, device=str(device))
    left = []
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats(device)
        for _ in run(config):
            pass
        gc.collect()
        left.append(torch.cuda.memory_allocated(device))
    peak = torch.cuda.max_memory_allocated(device)
    assert left[1] <= left[0] + 2**20, f"{left[1] - left[0]} bytes more after the second run"
    assert peak > left[1], "the peak was not counted"
    return {"left_bytes": left[1], "peak_bytes": peak}


def full_card_is_told(device: torch.device, quick: bool) -> Seen:
    """A card that is full: one line with a batch size to try; what was kept is readable, and the run goes on (CUDA)."""
    if device.type != "cuda":
        return {"skipped": "only on CUDA"}
    from esacl.store import RunStore  # brings safetensors, which nothing else here asks for

    config = RunConfig(
        network="resnet18", tasks=2, epochs=2, batch_size=128, train_limit=256, curvature=OFF, device=str(device)
    )
    taken: list[Tensor] = []

    def filled_after_an_epoch() -> Iterator[Event]:
        for event in run(config):
            yield event
            if isinstance(event, CheckpointReady) and event.epoch and not taken:
                taken.extend(_all_of(device))

    with tempfile.TemporaryDirectory(prefix="esacl-full-card-") as folder:
        store = RunStore(Path(folder))
        run_id = store.create(config)
        told = list(store.record(filled_after_an_epoch(), run_id))[-1]
        bytes_taken = sum(piece.numel() for piece in taken)
        taken.clear()
        gc.collect()
        torch.cuda.empty_cache()
        assert isinstance(told, Failed), f"with a full card the run ended with {type(told).__name__}"
        assert "out of memory; take batch_size 64 or" in told.error, f"the run says: {told.error}"
        state = store.checkpoint(run_id)
        assert state is not None, "no checkpoint can be read"
        assert isinstance(list(run(config, state))[-1], RunFinished), "with memory again the run does not go on"
    return {"taken_bytes": bytes_taken, "told": told.error}


def _all_of(device: torch.device) -> list[Tensor]:
    """What is free of the card's memory, in pieces that get smaller."""
    torch.cuda.empty_cache()
    pieces = []
    for size in (2**30, 2**26, 2**21):
        with contextlib.suppress(torch.OutOfMemoryError):
            while True:
                pieces.append(torch.empty(size, dtype=torch.uint8, device=device))
    return pieces


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


@cache
def _trained(quick: bool, network: str) -> tuple[RunConfig, dict[str, Tensor]]:
    # Ten classes and little training: at a loss near zero the gradient in float32 is mostly rounding.
    limits = {"epochs": 1, "train_limit": 100 if quick else None, "curvature": OFF, "device": "cpu", "threads": 1}
    config = RunConfig(method="joint", scenario="class", network=network, **limits)
    state = [event for event in run(config) if isinstance(event, CheckpointReady)][-1]
    whole = ("network/", "statistics/network/")  # parameters, and BatchNorm's buffers
    return config, {
        key.rpartition("/")[2]: torch.tensor(value) for key, value in state.tensors.items() if key.startswith(whole)
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


def _in_second_task(event: Event) -> bool:
    return isinstance(event, CheckpointReady) and event.task == 1 and event.epoch == 1


def _kind(event: Event) -> str:
    return f"{type(event).__name__} {getattr(event, 'name', '')} {getattr(event, 'on', '')}"


def _only(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def _difference(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) / max(abs(y), 1e-12) for x, y in zip(a, b, strict=True))


def _close(found: Tensor, truth: Tensor, tolerance: float, what: str) -> float:
    """Largest difference relative to the largest entry."""
    truth = truth.detach().double().cpu()
    error = float((found.detach().cpu().double() - truth).abs().max() / truth.abs().max())
    assert error <= tolerance, f"{what} differ by {error:.1e}, allowed {tolerance:.0e}"
    return error


def _near(found: float, truth: float, tolerance: float, what: str) -> float:
    return _close(torch.tensor([found]), torch.tensor([truth]), tolerance, what)
