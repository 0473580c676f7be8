"""What a run ran on: versions and hardware, read without importing anything heavy."""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from esacl import __version__
from esacl.ranks import of_torchrun

EARLIER = "earlier"  # in `machine.json`: what else has worked on the run
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pyhessian", "safetensors")
_COMPUTING = ("sse", "ssse", "avx", "fma", "f16c", "amx")  # instructions that add and multiply numbers
_KEPT_BYTES = 31 << 20  # glibc keeps no block of 32 MiB or more


def facts() -> dict[str, Any]:
    """`versions` of Python, EsaCL and its packages; `hardware`: processor, cores, memory in bytes, system, NVIDIA GPUs.

    `code` is a digest of EsaCL's own sources, for between two releases a version says nothing.
    Of several processes that do a run together (`torchrun`) the hardware is that of the first, beside their number.
    """
    ranks = of_torchrun()
    return {
        "versions": {"esacl": __version__, "python": platform.python_version(), **versions(PACKAGES)},
        **({"code": digest} if (digest := source_digest()) else {}),
        "hardware": {
            "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
            **({"instructions": flags} if (flags := _instructions()) else {}),
            "cores": _cores(),
            "memory_bytes": _memory(),
            "system": f"{platform.system()} {platform.machine()}",
            **({"gpus": gpus} if (gpus := _gpus()) else {}),
            **({"processes": ranks.count} if ranks else {}),
        },
    }


def stretches(kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The machines that have worked on a run until now, from its `machine.json`: the latest first, none twice."""
    latest = {name: value for name, value in kept.items() if name != EARLIER}
    earlier = kept.get(EARLIER)
    found = [latest, *(earlier if isinstance(earlier, list) else [])]
    return [one for place, one in enumerate(found) if isinstance(one, dict) and one and one not in found[:place]]


def facts_after(kept: Mapping[str, Any]) -> dict[str, Any]:
    """`facts()` of a run that another stretch, whose `machine.json` this is, has begun: the others are in `earlier`."""
    now = facts()
    others = [one for one in stretches(kept) if one != now]
    return {**now, EARLIER: others} if others else now


@lru_cache(maxsize=1)
def source_digest() -> str:
    """Eight hex digits of the sources of this package, comments and all; empty where it is installed without them.

    Read once, so that a process that works for hours has the one that it began with.
    """
    package, digest = Path(__file__).parent, hashlib.sha256()
    try:
        for path in (paths := sorted(package.rglob("*.py"))):
            digest.update(f"{path.relative_to(package).as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    except OSError:
        return ""
    return digest.hexdigest()[:8] if paths else ""


def versions(packages: tuple[str, ...]) -> dict[str, str | None]:
    """The installed version of each package; None where it is not installed."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def _cores() -> int:
    # What this process may use, which on a shared machine is less than what the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpuinfo(field: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == field:
                return value.strip()
    return ""


def _instructions() -> str:
    """Eight hex digits of how the processor says that it can compute: by that libraries choose how they add numbers.

    Processors of one name differ in it, and where they do convolutions differ in the last bit. What has come with a
    kernel or a microcode does not count.
    """
    flags = sorted(flag for flag in _cpuinfo("flags").split() if flag.startswith(_COMPUTING))
    return hashlib.sha256(" ".join(flags).encode()).hexdigest()[:8] if flags else ""


def _gpus() -> list[str]:
    """What NVIDIA's driver calls its GPUs; none where it does not say (another system or vendor)."""
    found: list[str] = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with contextlib.suppress(OSError):
            models = [line.partition(":")[2] for line in path.read_text().splitlines() if line.startswith("Model:")]
            found += [model.strip() for model in models]
    return found


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def keep_freed_memory() -> None:
    """Let glibc keep the memory that a forward pass frees for the next one, as much of it as it ever keeps.

    It takes what is freed as the measure of what to keep, so a large block is asked for, freed, and never touched.
    Without it the system may take the activations' pages back after each step: 1 ms of faults for 500 x 400 floats.
    """
    np.empty(_KEPT_BYTES, dtype=np.uint8)
