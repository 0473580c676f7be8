"""The format of a run's folder: its number stands in `config.json`, and what an older one says is still read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from esacl import defaults
from esacl.config import LATER
from esacl.errors import RunUnreadable
from esacl.protocols import BENCHMARKS

FORMAT = 6
_BEFORE_NUMBERS = 1


def numbered(settings: dict[str, Any]) -> dict[str, Any]:
    """What `config.json` holds: the settings of a run and the format of its folder."""
    return {"format": FORMAT, **settings}


def settings_of(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The settings in the content of a `config.json`; those of an older format as they were meant then.

    Raises:
        RunUnreadable: no format that there ever was, or one from a newer version.
    """
    settings = dict(content)
    number = settings.pop("format", _BEFORE_NUMBERS)
    if type(number) is not int or number < 1:
        raise RunUnreadable(f"{path} has format {number!r:.40}, which is none; restore it or delete the run")
    if number > FORMAT:
        raise RunUnreadable(
            f"{path} has format {number} and this version reads up to {FORMAT}; update EsaCL to read it"
        )
    if lacking := sorted({"benchmark", "method"} - settings.keys()):
        # Whoever wrote a run's config wrote all of it; defaults would make another run of it.
        raise RunUnreadable(f"{path} names no {lacking[0]}; restore it or delete the run")
    for step in range(number, FORMAT):
        settings = _NEXT[step](settings)
    return settings


def _numbers(settings: dict[str, Any]) -> dict[str, Any]:
    """A run from before folders had a number: settings that were not there yet are what it did without."""
    without = {"sdp": {"cut": 1.0}, "anchor": {"distillation": 0.0}}
    found = {name: settings.get(name, {}) for name in without}
    facts = BENCHMARKS.get(str(settings.get("benchmark")), {})
    published = {"resolution": facts["side"]} if facts else {}
    given = {name: section for name, section in found.items() if isinstance(section, dict)}
    return published | settings | {name: without[name] | section for name, section in given.items()}


def _rehearsal(settings: dict[str, Any]) -> dict[str, Any]:
    """A run from before `buffer.rehearsal`: only DER++, and what is laid over it, kept logits."""
    buffer, sparcl = settings.get("buffer", {}), settings.get("sparcl")
    if not isinstance(buffer, dict):
        return settings
    over = sparcl.get("base") if isinstance(sparcl, dict) else None
    dark = settings.get("method") == "derpp" or (settings.get("method") == "sparcl" and over in (None, "derpp"))
    return settings | {"buffer": {"rehearsal": "dark" if dark else "plain"} | buffer}


def _later(settings: dict[str, Any]) -> dict[str, Any]:
    """A run from before settings that are on by default today: it did without them."""
    found = dict(settings)
    for key, earlier in LATER.items():
        *section, last = key.split(".")
        inner = found.get(section[0], {}) if section else found
        if isinstance(inner, dict) and last not in inner:
            found |= {section[0]: {last: earlier} | inner} if section else {last: earlier}
    return found


def _early(settings: dict[str, Any]) -> dict[str, Any]:
    """A run from before the cut came at a quarter of a task, and cheap weights stayed, up to 90%."""
    found = dict(settings)
    sdp, pruning = found.get("sdp", {}), found.get("pruning", {})
    if isinstance(pruning, dict):
        found |= {"pruning": {"flops_exponent": 0.0} | pruning}
    fields = {"sparsity": defaults.SPARSITY} | found
    if isinstance(sdp, dict) and defaults.prepared(str(found["method"]), fields):
        found |= {"sdp": {"cut": defaults.CUT} | sdp}
    return found


def _watched(settings: dict[str, Any]) -> dict[str, Any]:
    """A run from before the sharpness was estimated while a task is learned."""
    curvature = settings.get("curvature", {})
    return settings | ({"curvature": {"during": 0} | curvature} if isinstance(curvature, dict) else {})


_NEXT: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _numbers, 2: _rehearsal, 3: _later, 4: _early, 5: _watched,
}  # fmt: skip
