"""Checks of whole runs on a device: the CPU's story, to the end, on from a checkpoint, and within its memory."""

import contextlib
import gc
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.device_place import OFF, Seen
from esacl.config import METHOD_NAMES, NETWORK_NAMES, SDP_FORM_NAMES, RunConfig
from esacl.events import (
    CheckpointReady,
    CurvatureMeasured,
    Evaluated,
    Event,
    Failed,
    Pruned,
    Pulse,
    RunFinished,
    RunStarted,
    Stepped,
    TaskFinished,
)
from esacl.methods import METHODS
from esacl.pipeline import run


def events_agree(device: torch.device, quick: bool) -> Seen:
    """A run with every analysis on: the same events in the same order, close at first, alike at the end."""
    analyses = {"top": 2, "levels": 5, "grid": 5, "examples": 60}
    config = RunConfig(tasks=2, epochs=2 if quick else 10, curvature=analyses, device="cpu")
    # A product more or less until it converges is a `Pulse` more or less, and no other story.
    elsewhere = config.model_copy(update={"device": str(device)})
    here, there = ([e for e in run(one) if not isinstance(e, Pulse)] for one in (config, elsewhere))
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


def _in_second_task(event: Event) -> bool:
    return isinstance(event, CheckpointReady) and event.task == 1 and event.epoch == 1


def _kind(event: Event) -> str:
    return f"{type(event).__name__} {getattr(event, 'name', '')} {getattr(event, 'on', '')}"


def _only(events: Sequence[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def _difference(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) / max(abs(y), 1e-12) for x, y in zip(a, b, strict=True))
