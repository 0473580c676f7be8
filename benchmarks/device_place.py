"""One trained network with its cut, put on a device: what the checks of a device compute at."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from esacl import networks
from esacl.config import RunConfig
from esacl.criterion import Criterion
from esacl.events import CheckpointReady
from esacl.mask import Mask
from esacl.pipeline import run
from esacl.pruning import keep_top
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
