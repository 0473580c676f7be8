"""Another view of a run that is kept: what may differ from the run, and what its arrays are called."""

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from esacl.config import RunConfig, config_with
from esacl.defaults import RANKED
from esacl.errors import InputError
from esacl.events import ArrayRecorded, Event, Loading, Selected
from esacl.look import Look

# What another view of a run may change: the rest would make it another run.
VIEW_SETTINGS = (
    "curvature.grid", "curvature.top", "curvature.levels", "pruning.saliency", "pruning.allocation", "ids.fraction",
    "ids.score",
)  # fmt: skip
PLANE_POINTS = 25


@dataclass(frozen=True)
class View:
    """How to look at a run again: the kind of analysis, the task, and the settings that differ from the run's."""

    kind: str
    task: int | None  # None: the last one learned
    settings: dict[str, Any]  # keys of VIEW_SETTINGS
    device: str | None = None  # None: the run's
    look: Look = field(default_factory=Look)


def viewed(own: RunConfig, view: View) -> tuple[RunConfig, str]:
    """The config of a view, and what it appends to the names of arrays: "" where its settings are the run's own.

    Raises:
        InputError: a setting that no view can change, or a value that will not do.
    """
    for key in view.settings:
        if key not in VIEW_SETTINGS:
            raise InputError(f"an analysis cannot change {key!r}; choose from {', '.join(VIEW_SETTINGS)}")
    settings = {**view.settings, "device": view.device, "curvature.during": 0}  # nothing is trained
    if view.look.x is not None and own.curvature.grid == 0:  # the run itself sliced nothing, and says no size
        settings = {"curvature.grid": PLANE_POINTS, **settings}
    if (view.settings.get("pruning.allocation") or own.pruning.allocation) not in RANKED:
        settings["pruning.flops_exponent"] = 0.0  # layers do not compete there
    config = config_with(own, settings)
    before, after = own.to_dict(), config.to_dict()
    parts = []
    for section, _, key in (name.partition(".") for name in VIEW_SETTINGS):
        value = after[section][key]
        if value != before[section][key]:
            parts.append(f"-{key}{str(value).replace('.', '_').replace(':', 'of')}")
    suffix = "".join(parts)
    if len(suffix) > 40:  # too long for the name of an array
        suffix = f"-{hashlib.sha256(suffix.encode()).hexdigest()[:6]}"
    return config, suffix


def beside(stream: Iterator[Event], kept: tuple[str, ...], suffix: str) -> Iterator[Event]:
    """`stream`, with `suffix` at the names of those arrays that the run has `kept` already."""
    for event in stream:
        if isinstance(event, ArrayRecorded) and event.name in kept:
            event = dataclasses.replace(event, name=event.name + suffix)
        elif isinstance(event, Selected) and event.array in kept:
            event = dataclasses.replace(event, array=event.array + suffix)
        yield event


def accepted(stream: Iterator[Event]) -> Iterator[Event]:
    """`stream`, once it has taken its input: nothing of a stream that refuses it reaches the store.

    Raises:
        InputError: the stream refuses its input.
    """
    first: list[Event] = []
    failure: Exception | None = None
    try:
        for event in stream:
            first.append(event)
            if not isinstance(event, Loading):
                break
    except InputError:
        raise
    except Exception as error:  # for the store to keep
        failure = error
    return _from_the_first(first, failure, stream)


def _from_the_first(first: list[Event], failure: Exception | None, rest: Iterator[Event]) -> Iterator[Event]:
    yield from first
    if failure is not None:
        raise failure
    yield from rest
