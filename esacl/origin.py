"""What has made a run's numbers, as its `machine.json` tells it: which states of EsaCL, and on which processors."""

import contextlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from esacl.durable import read_json
from esacl.errors import RunUnreadable
from esacl.machine import EARLIER, stretches

FILE = "machine.json"
_COUNTS = ("cores", "memory_bytes", "processes")
_TEXTS = ("cpu", "instructions", "system")
_REMEDY = "restore it or delete that file"
_MOST_IN_LIST = 1000
_Scalar = str | int | float | None


def read(folder: Path) -> dict[str, Any]:
    """What the run in `folder` ran on: {"versions": {...}, "hardware": {...}, "code", "earlier": [likewise]}.

    Raises:
        RunUnreadable: missing, damaged, or a part of it is none.
    """
    found = read_json(folder / FILE, remedy=_REMEDY)
    earlier = found.get(EARLIER, [])
    latest = {name: value for name, value in found.items() if name != EARLIER}
    if not isinstance(earlier, list) or not all(map(_is_stretch, (latest, *earlier))):
        raise RunUnreadable(f"{folder / FILE} does not tell what the run ran on; {_REMEDY}")
    return found


def kept(folder: Path) -> dict[str, Any]:
    """As `read`; an extra, so nothing where it is missing or damaged."""
    with contextlib.suppress(RunUnreadable):
        return read(folder)
    return {}


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


def _is_stretch(told: Any) -> bool:
    """Whether this tells of one machine, in what pages and tables can show: texts, numbers, short lists of them."""
    if not isinstance(told, dict) or EARLIER in told or not isinstance(told.get("code", ""), str):
        return False
    versions, hardware = told.get("versions", {}), told.get("hardware", {})
    return (
        isinstance(versions, dict)
        and all(isinstance(value, str | None) for value in versions.values())
        and isinstance(hardware, dict)
        and all(_is_fact(name, value) for name, value in hardware.items())
    )


def _is_fact(name: str, value: Any) -> bool:
    if name in _COUNTS:
        return value is None or (type(value) is int and value >= 0)
    if name in _TEXTS:
        return isinstance(value, str)
    if isinstance(value, list):
        return len(value) <= _MOST_IN_LIST and all(isinstance(one, str if name == "gpus" else _Scalar) for one in value)
    return isinstance(value, _Scalar) and name != "gpus"


def _part(stretch: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = stretch.get(name)
    return part if isinstance(part, dict) else {}


def _words(*found: Any) -> list[str]:
    """Of what a file says, which somebody may have damaged, the words."""
    return [word for word in found if isinstance(word, str) and word]
