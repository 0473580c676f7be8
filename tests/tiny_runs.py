"""Runs of a fraction of a second, and the variants of them that every invariant is shown on.

The variants are read off the literal dicts: a new method, form, saliency, score, allocation, network or benchmark is
tested without being told.
"""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from esacl import run
from esacl.config import BENCHMARKS as FACTS
from esacl.config import SPARCL_BASE_NAMES, RunConfig, read_config
from esacl.defaults import STRUCTURED
from esacl.events import ArrayRecorded, CheckpointReady, Event, Pulse
from esacl.methods import METHODS
from esacl.networks import NETWORKS
from esacl.pruning import ALLOCATIONS, SALIENCIES
from esacl.sdp import FORMS
from esacl.selection import SCORES
from esacl.store import RunStore

TINY: dict[str, Any] = {
    "tasks": 2, "epochs": 2, "train_limit": 48, "device": "cpu", "threads": 1, "sdp.every": 3,
    "curvature.top": 0, "curvature.levels": 0, "curvature.grid": 0, "curvature.examples": 32,
}  # fmt: skip

STATEFUL = (
    [{"method": name} for name in METHODS]
    + [{"method": name, "sparsity": 0.8} for name in METHODS if name != "esacl"]
    + [{"method": "sparcl", "sparcl.base": base, "scenario": "class"} for base in SPARCL_BASE_NAMES]
    + [{"method": "sparcl", "sparcl.base": "co2l", "scenario": scenario} for scenario in ("task", "domain")]
    + [{"sdp.form": name} for name in FORMS]
    + [{"sdp.form": name, "sdp.cut": 1.0} for name in FORMS]
    + [{"sdp.radius": 0.1, "epochs": 3}, {"sdp.form": "progressive", "sdp.radius": 0.1, "epochs": 3}]
    + [{"pruning.flops_exponent": 0.5, "network": "small-cnn"}]
    + [{"sdp.form": form, "sparsity": 0.97, "sdp.revive": True} for form in FORMS]
    + [{"sdp.cut": 0.4, "epochs": 3}, {"sdp.cut": 0.9, "ids.train_fraction": 0.5}]
    + [{"method": "ewc", "anchor.distillation": 1.0}, {"anchor.distillation": 0.0}]
    + [{"scenario": name} for name in FACTS["split-digits"]["scenarios"]]
    + [
        {"sdp.form": form, "scenario": scenario, "buffer.size": 20, "ids.train_fraction": 0.5}
        for form, scenario in zip(FORMS, ("class", "domain", "task", "class"), strict=True)
    ]
    + [{"method": "rigl", "rigl.every": 2, "buffer.size": 20, "ids.train_fraction": 0.5}]
    + [{"method": name, "buffer.size": 20} for name in METHODS if name != "joint"]
    + [{"scenario": "class", "buffer.size": 20}, {"scenario": "class", "buffer.size": 20, "mask_logits": True}]
    + [{"method": "er", "scenario": "class", "buffer.size": 20, "balance_logits": 1.0}]
    + [{"method": "ewc", "buffer.size": 20, "buffer.rehearsal": "dark"}]
    + [{"augment": "crop-flip"}, {"augment": "crop-flip", "ids.train_fraction": 0.5, "buffer.size": 20}]
    + [{"method": "ewc", "schedule": "constant", "momentum": 0.0}]
    + [{"sdp.form": form, "pruning.allocation": name} for form in FORMS if form != "any" for name in STRUCTURED]
    + [{"method": "ewc", "sparsity": 0.5, "pruning.allocation": name} for name in STRUCTURED]
    + [
        {"curvature.top": 1, "curvature.during": 3, "epochs": 4} | settings
        for settings in ({"method": "sparcl"}, {"sdp.form": "progressive"}, {"method": "packnet"}, {"method": "rigl"})
    ]
)
"""What a run has to carry from step to step, and all of it together."""

OTHERS = (
    [{"pruning.saliency": name} for name in SALIENCIES]
    + [{"pruning.allocation": name} for name in ALLOCATIONS]
    + [{"ids.score": name} for name in SCORES]
    + [{"network": name} for name in NETWORKS]
    + [{"benchmark": name, "scenario": scenario} for name in FACTS for scenario in FACTS[name]["scenarios"]]
    + [{"method": name, "scenario": "class", "mask_logits": True} for name in sorted({*METHODS} - {"joint", "packnet"})]
    + [
        {"method": name, "scenario": "class", "balance_logits": 1.0}
        for name in sorted({*METHODS} - {"joint", "packnet"})
    ]
    + [{"method": "sparcl", "sparcl.base": "co2l", "network": name} for name in NETWORKS]
)
"""Every other choice by name."""


def distinct(variants: list[dict[str, Any]], beside: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """The variants whose configs differ from each other, and from those `beside` them."""
    seen = {tiny(settings).digest for settings in beside or []}
    kept = []
    for settings in variants:
        digest = tiny(settings).digest
        if digest not in seen:
            kept.append(settings)
        seen.add(digest)
    return kept


def label(settings: dict[str, Any]) -> str:
    """What pytest calls a variant."""
    return " ".join(str(value) for value in settings.values())


def tiny(settings: dict[str, Any] | None = None, **more: Any) -> RunConfig:
    """A tiny run with dotted settings on top."""
    return read_config(None, TINY | (settings or {}) | more)


def held(event: Event) -> Event:
    """The event as a store would give it back: its arrays copied, its counters once through JSON."""
    if not isinstance(event, CheckpointReady):
        return event
    counters = json.loads(json.dumps(event.counters, allow_nan=False))
    return replace(event, tensors={name: t.copy() for name, t in event.tensors.items()}, counters=counters)


def events_of(config: RunConfig, state: CheckpointReady | None = None, data: Path | None = None) -> list[Event]:
    """All events of a run that tell something."""
    stream = run(config, copy.deepcopy(state), data=data)
    return [held(event) for event in stream if not isinstance(event, Pulse)]


def of_kind(events: list[Event], kind: type) -> list[Any]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def array(events: list[Event], name: str) -> dict[str, Any]:
    """The arrays recorded under a name."""
    return dict(next(e.arrays for e in of_kind(events, ArrayRecorded) if e.name == name))


def recorded(store: RunStore, settings: dict[str, Any] | None = None, **more: Any) -> str:
    """A tiny run, computed and kept; its id."""
    stream = run(tiny(settings, **more))
    run_id = store.create(stream.config)
    for _ in store.record(stream, run_id):
        pass
    return run_id
