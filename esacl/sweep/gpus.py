"""Which of the GPUs a run of a sweep gets."""

from collections.abc import Sequence

from esacl.accelerators import VISIBLE
from esacl.config import RunConfig

_ANY_GPU = ("auto", "cuda")  # devices of a config that leave open which one


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
