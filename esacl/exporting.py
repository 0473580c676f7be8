"""`esacl export --format`: from a run's folder to a file of its network, with the model card beside it."""

import contextlib
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from esacl.durable import named_file, not_lost, write_out
from esacl.errors import InputError
from esacl.events import CheckpointReady, Evaluated
from esacl.records import read_events_of
from esacl.store import RunStore
from esacl.summary import accuracy_matrix

if TYPE_CHECKING:
    from esacl.export.encoding import Encoded
    from esacl.export.network import FinalNetwork

_HEAD_BYTES = 2**16
_HEAD = re.compile(
    r"# [^\n]+\n\n- File: `[^\n]+\n- sha256: `([0-9a-f]{64})`\n(?:- [^\n]+\n)*?- Made by [^\n]+ run `([^`\n]+)`"
)


def network_of(store: RunStore, run_id: str, data: Path | None = None, task: int | None = None) -> "FinalNetwork":
    """The network that a finished run ended with.

    Args:
        store: where the run is.
        run_id: its id.
        data: where the data sets lie.
        task: for a run that keeps another network for each task: which.

    Raises:
        InputError: the run has not finished or keeps no final network, a task that it has not, or several networks and
            none chosen.
        RunUnreadable: its checkpoint is damaged.
    """
    from esacl.export.final import final_network
    from esacl.resuming import loading

    config, state = store.config(run_id), _last_state(store, run_id)
    evaluated = read_events_of(store.folder(run_id) / "events.jsonl", Evaluated)
    last = accuracy_matrix(evaluated, config.tasks)[-1]
    with loading(config, state, data):
        return final_network(config, state, [one or 0.0 for one in last], run_id=run_id, data=data, task=task)


def card_beside(path: Path, run_id: str) -> Path:
    """Where the model card of the file `path` goes.

    Raises:
        InputError: one of the two cannot be put there, or would be put over what is no earlier export of the run.
    """
    named_file(path, f"name a file, {path / 'network'} say")
    beside = path.with_name(path.name + ".md")
    named_file(beside, "the model card would be there, so name another file")
    run, digest = _told_by(beside)
    not_lost(beside, own=run == run_id, what=f"model card of run {run_id}, which goes there")
    own = run == run_id and digest == _digest(path)
    not_lost(path, own=own, what=f"file that the model card of run {run_id} describes")
    return beside


def _told_by(card: Path) -> tuple[str, str]:
    """The run and the sha256 that a model card tells; of what is no model card of this program, nothing."""
    with contextlib.suppress(OSError, UnicodeDecodeError), card.open("rb") as file:
        if found := _HEAD.match(file.read(_HEAD_BYTES).decode()):
            return found[2], found[1]
    return "", ""


def _digest(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def export_network(final: "FinalNetwork", form: str, path: Path, *, shrink: bool = False) -> "tuple[Encoded, Path]":
    """Write the network to `path` and its model card beside it, each whole or not at all; returns the card's path.

    With `shrink` the units that say nothing are left out, and the file holds a smaller dense network.

    Raises:
        InputError: an unknown format, a library that is missing, nothing to shrink, a file that cannot be written, that
            would be put over another, or that does not answer as the run's network does.
    """
    from esacl.export.card import card
    from esacl.export.encoding import encoded

    beside = card_beside(path, final.about["run"])
    done = encoded(final, form, shrink=shrink)
    told = card(final, done, path.name).encode()
    earlier = path.read_bytes() if path.exists() else None
    write_out(path, done.data)
    try:
        write_out(beside, told)
    except InputError:  # beside another card, or none, the file would be a stranger's the next time
        path.unlink() if earlier is None else write_out(path, earlier)
        raise
    return done, beside


def _last_state(store: RunStore, run_id: str) -> CheckpointReady:
    config, status = store.config(run_id), store.status(run_id)
    if status.state != "finished":
        raise InputError(
            f"run {run_id} is {status.state}, not finished; let it end, or go on with `esacl resume {run_id}`; "
            "then export it"
        )
    state = store.checkpoint(run_id)
    if state is None or (state.task, state.epoch) != (config.tasks, 0):
        raise InputError(
            f"run {run_id} has no checkpoint of its end: it was handed on without checkpoints; export it where it was "
            f"made, or run it again: `esacl show {run_id} --toml` has its settings"
        )
    return state
