"""Which GPUs there are, known without torch, and which of them a run gets."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from esacl.config import RunConfig

VISIBLE = "CUDA_VISIBLE_DEVICES"
_ANY_GPU = ("auto", "cuda")  # devices of a config that leave open which one


def visible(environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The NVIDIA GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    if VISIBLE in environment:
        return tuple(name.strip() for name in environment[VISIBLE].split(",") if name.strip() not in ("", "-1"))
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in devices.glob("nvidia*"))
    return tuple(str(number) for number in sorted(int(match[1]) for match in found if match))


def pinned(config: RunConfig, gpus: Sequence[str], place: int) -> dict[str, str]:
    """The variables that give the worker at `place` its GPU, in turns; none where the config names its device."""
    if len(gpus) < 2 or config.device not in _ANY_GPU:
        return {}
    return {VISIBLE: gpus[place % len(gpus)]}


def workers_for(configs: Sequence[RunConfig], gpus: Sequence[str], cores: int) -> int:
    """How many runs at a time suit this machine: one a GPU, where runs take one, else as many as have a core."""
    if gpus and any(config.device in _ANY_GPU for config in configs):
        return len(gpus)
    return max(1, cores // max(config.threads for config in configs))
