"""What has made a run's numbers, as its `machine.json` tells it: which states of EsaCL, and on which processors."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from esacl.machine import stretches


def versions(kept: Mapping[str, Any]) -> list[str]:
    """Every EsaCL that has worked on the run, the latest first: its version, and the digest of its code if it told."""
    told = ((_part(one, "versions").get("esacl"), one.get("code")) for one in stretches(kept))
    return distinct(" ".join(_words(*both)) for both in told)


def processors(kept: Mapping[str, Any], device: str = "", device_name: str = "") -> list[str]:
    """Every processor that has worked on the run, the latest first: GPUs on CUDA, else with what it can compute."""
    found = []
    for one in stretches(kept):
        hardware = _part(one, "hardware")
        if device.startswith("cuda"):
            gpus = hardware.get("gpus")
            found.append(" + ".join(distinct(_words(*gpus))) if isinstance(gpus, list) else device_name)
        else:
            found.append(" ".join(_words(hardware.get("cpu"), hardware.get("instructions"))))
    return distinct_processors(found)


def distinct(names: Iterable[str]) -> list[str]:
    """Each of these names once, and none that is empty."""
    return [name for name in dict.fromkeys(names) if name]


def distinct_processors(names: Iterable[str]) -> list[str]:
    """Likewise; runs of before told no instructions, and one of these is not taken for another of its name."""
    found = distinct(names)
    told = {re.sub(r" [0-9a-f]{8}$", "", name) for name in found if re.search(r" [0-9a-f]{8}$", name)}
    return [name for name in found if name not in told]


def _part(stretch: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = stretch.get(name)
    return part if isinstance(part, dict) else {}


def _words(*found: Any) -> list[str]:
    """Of what a file says, which somebody may have damaged, the words."""
    return [word for word in found if isinstance(word, str) and word]
