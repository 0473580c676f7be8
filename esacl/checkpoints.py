"""The states to go on from: safetensors files that hold their counters too: one rename commits both."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from esacl.durable import replace_file
from esacl.errors import RunUnreadable
from esacl.events import CheckpointReady

KEPT = 2
MOST_BYTES = 8 * 2**30
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
    folder.mkdir(exist_ok=True)
    replace_file(_path(folder, state), save(tensors, metadata={"esacl": json.dumps(meta)}))
    for path in _newest_first(folder)[KEPT:]:
        path.unlink(missing_ok=True)


def drop_later(folder: Path, state: CheckpointReady | None) -> None:
    """Delete the checkpoints that come after `state` (all of them for None)."""
    for path in _newest_first(folder):
        if state is None or path.name > _path(folder, state).name:
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


def verify(folder: Path) -> None:
    """Read every checkpoint.

    Raises:
        RunUnreadable: one of them cannot be read.
    """
    for path in _newest_first(folder):
        _read(path)


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
    try:
        # safetensors checks every offset against the file's size, and its numbers are not packed.
        with safe_open(path, framework="np") as file:
            meta = json.loads((file.metadata() or {})["esacl"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iteration)
        state = CheckpointReady(
            task=int(meta["task"]), epoch=int(meta["epoch"]), tensors=tensors, counters=dict(meta["counters"])
        )
        return state, Place(int(meta["offset"]), int(meta["lines"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunUnreadable(f"{path} is damaged ({error}); {cure}") from None


def _path(folder: Path, state: CheckpointReady) -> Path:
    return folder / f"{state.task:03d}-{state.epoch:05d}.safetensors"


def _newest_first(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)
