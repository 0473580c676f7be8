"""Which accelerators a process may use, known without torch, which a form, a queue and a sweep do not load."""

import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible(environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> tuple[str, ...]:
    """The NVIDIA GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them; a torch for CPUs uses none."""
    if torch_is_for_cpus():
        return ()
    if VISIBLE in environment:
        return tuple(name.strip() for name in environment[VISIBLE].split(",") if name.strip() not in ("", "-1"))
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in devices.glob("nvidia*"))
    return tuple(str(number) for number in sorted(int(match[1]) for match in found if match))


def torch_is_for_cpus() -> bool:
    """Whether the torch that is installed says so in its version."""
    try:
        return importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False


def names() -> tuple[str, ...]:
    """What a config calls them, the one that `auto` takes first."""
    cards = tuple(f"cuda:{number}" for number in range(len(visible())))
    mac = (platform.system(), platform.machine()) == ("Darwin", "arm64")
    return (*cards, *(("mps",) if mac else ()))
