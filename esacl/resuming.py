"""What a run goes on from: whether the checkpoint fits it, and how exactly the rest will be what it would have been."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from esacl import __version__, machine
from esacl.checkpoints import file_name
from esacl.config import RunConfig
from esacl.errors import CheckpointUnfit
from esacl.events import CheckpointReady, Event, RunStarted
from esacl.layout import problems
from esacl.ranks import count_of

_CURE = "delete it; resume then goes on from an earlier checkpoint, or from the beginning"
_LOADERS = {"load", "load_between"}


def fitting(events: Iterator[Event], config: RunConfig, state: CheckpointReady, data: Path | None) -> Iterator[Event]:
    """The events of a run that goes on from `state`, once it is sure that the state is one of this run.

    Raises:
        CheckpointUnfit: the checkpoint does not fit the run's config; names the file and the cure.
    """
    with loading(config, state, data):
        yield from events


@contextlib.contextmanager
def loading(config: RunConfig, state: CheckpointReady, data: Path | None) -> Iterator[None]:
    """A block in which `state` is loaded: what will not be loaded is told as a damaged checkpoint.

    Raises:
        CheckpointUnfit: the checkpoint does not fit the run's config; names the file and the cure.
    """
    problem = next(problems(config, state, data), None)
    if problem is not None:
        raise CheckpointUnfit(f"checkpoints/{file_name(state)} does not fit this run: {problem}; {_CURE}")
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        if not _while_loading(error):
            raise
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointUnfit(f"checkpoints/{file_name(state)} does not fit this run: {cause}; {_CURE}") from None


def exactness(before: Mapping[str, Any], started: RunStarted | None, device: str) -> str:
    """How exactly a resumed run ends where an undisturbed one does, in one line.

    Args:
        before: the `machine.json` of the run so far: of every machine that has worked on it.
        started: its `RunStarted`, if it came to that.
        device: where it goes on.
    """
    was = started.device if started else device
    if was.partition(":")[0] != device.partition(":")[0]:
        return f"it was on {was} and goes on on {device}: the rest is as good, and its numbers differ by rounding"
    if others := _other_versions(before):
        return f"EsaCL {' and '.join(others)} began it and {__version__} goes on: the rest may be computed otherwise"
    code = machine.facts().get("code")  # a stretch that tells its versions and no code is of before code was told
    if code and any("versions" in one and one.get("code") != code for one in machine.stretches(before)):
        return f"the code of EsaCL {__version__} has changed since: the rest may be computed otherwise"
    moved = list(dict.fromkeys(change for one in machine.stretches(before) for change in _changes(one, device)))
    if moved:
        return f"{' and '.join(moved)}: the rest may differ by rounding from that of an undisturbed run"
    if device == "cpu":
        return "on the cpu every event and every weight will be that of an undisturbed run, bit for bit"
    return f"on {device} the rest is exact up to the order in which the device adds numbers, which it may choose anew"


def _other_versions(before: Mapping[str, Any]) -> list[str]:
    """The versions of EsaCL that have worked on a run and are not this one."""
    told = [one.get("versions") for one in machine.stretches(before)]
    own = [versions.get("esacl") for versions in told if isinstance(versions, dict)]
    return list(dict.fromkeys(version for version in own if isinstance(version, str) and version != __version__))


def _changes(before: Mapping[str, Any], device: str) -> Iterator[str]:
    """What is another now than it was for a stretch of the run, where numbers may come of it."""
    now = machine.facts()
    said = (before.get(name) for name in ("versions", "hardware"))
    versions, hardware = (part if isinstance(part, dict) else {} for part in said)
    for name in ("torch", "numpy"):
        if versions.get(name) not in (None, now["versions"][name]):
            yield f"{name} {versions[name]} has become {now['versions'][name]}"
    if hardware.get("cpu") not in (None, now["hardware"]["cpu"]):
        yield f"the processor {hardware['cpu']} has become {now['hardware']['cpu']}"
    elif hardware.get("instructions") not in (None, now["hardware"].get("instructions")):
        yield f"the processor {now['hardware']['cpu']} is another one of that name, which computes otherwise"
    gpus, own = hardware.get("gpus"), now["hardware"].get("gpus")
    if device.startswith("cuda") and isinstance(gpus, list) and own and gpus != own:
        yield f"the GPU {' + '.join(map(str, gpus))} has become {' + '.join(own)}"
    then, count = count_of(hardware), count_of(now["hardware"])
    if then != count:
        yield f"a run by {_processes(then)} has become one by {_processes(count)}"


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _while_loading(error: Exception) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name in _LOADERS and "esacl" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False
