"""The states to go on from: safetensors files that hold their counters too: one rename commits both."""

import contextlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from esacl import strict_json
from esacl.durable import open_regular, own_folder, replace_file
from esacl.errors import RunUnreadable
from esacl.events import CheckpointReady

KEPT = 2
MOST_BYTES = 8 * 2**30
HOLLOW, HOLES = 64 * 2**20, 64  # a larger file that takes up less than this part of its size holds nothing but holes
_NAME = re.compile(r"(\d{3})-(\d{5})\.safetensors")


@dataclass(frozen=True)
class Place:
    """Where a checkpoint stands in its run: what the events file held when it was taken."""

    offset: int  # bytes
    lines: int


def write_checkpoint(folder: Path, state: CheckpointReady, place: Place) -> None:
    """Keep a state, and of the older ones all but the newest.

    Raises:
        OSError: it cannot be written; the older ones stay.
    """
    meta = {
        "task": state.task,
        "epoch": state.epoch,
        "offset": place.offset,
        "lines": place.lines,
        "counters": dict(state.counters),
    }
    tensors = {name: np.ascontiguousarray(value) for name, value in state.tensors.items()}
    own_folder(folder)
    replace_file(_path(folder, state), save(tensors, metadata={"esacl": json.dumps(meta)}))
    _drop_oldest(folder)


def drop_later(folder: Path, state: CheckpointReady | None) -> None:
    """Delete the checkpoints that come after `state` (all of them for None), and one more than are kept.

    That one is there where a process was killed between writing the newest and deleting the oldest.
    """
    for path in _newest_first(folder):
        if state is None or path.name > _path(folder, state).name:
            path.unlink(missing_ok=True)
    _drop_oldest(folder)


def _drop_oldest(folder: Path) -> None:
    for path in _newest_first(folder)[KEPT:]:
        path.unlink(missing_ok=True)


def newest(folder: Path) -> tuple[CheckpointReady, Place] | None:
    """The newest readable checkpoint, or None where none was ever kept.

    Raises:
        RunUnreadable: there are some, and none can be read.
    """
    paths = _newest_first(folder)
    problem: RunUnreadable | None = None
    for path in paths:
        try:
            return _read(path)
        except RunUnreadable as error:
            problem = problem or error
    if problem is not None:
        raise problem
    return None


def readable(folder: Path) -> dict[Path, RunUnreadable | None]:
    """Each checkpoint, newest first, and why it cannot be gone on from; None where it can."""
    found: dict[Path, RunUnreadable | None] = {}
    for path in _newest_first(folder):
        try:
            _read(path)
            found[path] = None
        except RunUnreadable as error:
            found[path] = error
    return found


def aside_of(path: Path) -> Path:
    """What a damaged checkpoint is called from then on."""
    return path.with_name(f"{path.name}.damaged")


def verify(folder: Path) -> None:
    """Read every checkpoint.

    Raises:
        RunUnreadable: one of them cannot be read.
    """
    for error in readable(folder).values():
        if error is not None:
            raise error


def place_of(folder: Path, state: CheckpointReady) -> Place:
    """Where the kept checkpoint `state` stands.

    Raises:
        RunUnreadable: it is not there or cannot be read.
    """
    return _read(_path(folder, state))[1]


def _read(path: Path) -> tuple[CheckpointReady, Place]:
    cure = "delete it; resume then goes on from an earlier checkpoint, or from the beginning"
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise RunUnreadable(f"{path} is missing, a link, or too large; {cure}")
    size, taken = path.stat().st_size, path.stat().st_blocks * 512
    if size > HOLLOW and taken * HOLES < size:
        raise RunUnreadable(f"{path} claims {size} bytes and takes up {taken}; {cure}")
    try:
        # safetensors holds every shape against the file's size, and its numbers are not packed: no file asks for more
        # memory than it has bytes, and of holes there are not many (a file system that packs saves less than that).
        with safe_open(path, framework="np") as file:
            meta = strict_json.decode((file.metadata() or {})["esacl"])
            state, place = _told(meta)
            if path.name != file_name(state):
                raise ValueError(f"it says that it is {file_name(state)}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iteration)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
        raise RunUnreadable(f"{path} is damaged ({_brief(error)}); {cure}") from None
    _check_stands(path, place, cure)
    return replace(state, tensors=tensors), place


def _told(meta: dict[str, Any]) -> tuple[CheckpointReady, Place]:
    numbers = [meta[name] for name in ("task", "epoch", "offset", "lines")]
    if any(type(number) is not int or number < 0 for number in numbers) or not isinstance(meta["counters"], dict):
        raise ValueError("its counters are none")
    task, epoch, offset, lines = numbers
    return CheckpointReady(task=task, epoch=epoch, counters=meta["counters"]), Place(offset, lines)


def _check_stands(path: Path, place: Place, cure: str) -> None:
    """Whether the events that the checkpoint comes after are there: going on without them would lose them unseen."""
    events, lines, left, last = path.parent.parent / "events.jsonl", 0, place.offset, b"\n"
    with contextlib.suppress(OSError), open_regular(events) as file:
        while left and (block := file.read(min(left, 2**20))):
            lines, left, last = lines + block.count(b"\n"), left - len(block), block[-1:]
    if left or lines != place.lines or last != b"\n":
        raise RunUnreadable(f"{path} comes after {place.lines} events and {events} has not got them; {cure}")


def _brief(error: Exception) -> str:
    return " ".join(f"{error}".split())[:200] or type(error).__name__


def file_name(state: CheckpointReady) -> str:
    """What the file of a state is called."""
    return f"{state.task:03d}-{state.epoch:05d}.safetensors"


def _path(folder: Path, state: CheckpointReady) -> Path:
    return folder / file_name(state)


def _newest_first(folder: Path) -> list[Path]:
    if folder.is_symlink():
        raise RunUnreadable(f"{folder} is a link, and what it leads to is none of the run's; delete the link")
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)
