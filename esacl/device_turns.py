"""One job a device at a time, by a lock that the system drops when its holder dies.

A runs folder has a queue and a lock for each device; an accelerator has one more lock, of all runs folders of a user.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from esacl import accelerators, device_locks, locks, logs
from esacl.errors import InputError
from esacl.processes import sign_in
from esacl.store import RunStore

_POLL = 0.2  # seconds between two looks at a busy device

Held = tuple[int, ...]  # descriptors of the locks that make a turn


@contextlib.contextmanager
def device_turn(store: RunStore, run_id: str, device: str) -> Iterator[bool]:
    """Be the one job on a device: waits for its turn in the queue. False: cancelled meanwhile.

    Raises:
        InputError: the runs folder cannot be written.
    """
    key, queue = device_key(device), store.workers.queue
    lock = device_locks.of_folder(store.root, key)
    log = logs.job_log(store.folder(run_id))
    try:
        lock.parent.mkdir(exist_ok=True)
        held = _take(store, run_id, lock, key)
        if held is None:
            sign_in(store, run_id, waiting_for=key)
            logs.note(log, "waits", device=key, position=store.workers.position(run_id))
            held = _wait(store, run_id, lock, key)
            sign_in(store, run_id)
        if held is not None:
            queue.begin(run_id)
            logs.note(log, "turn", device=key)
    except OSError as error:
        raise InputError(f"runs folder {store.root} cannot be written ({error.strerror}); mend it") from None
    try:
        yield held is not None
    finally:
        for descriptor in held or ():
            os.close(descriptor)


def device_key(device: str) -> str:
    """One name for each device, known without torch, so that a waiting job costs no memory."""
    if device == "auto":
        return next(iter(accelerators.names()), "cpu")
    return "cuda:0" if device == "cuda" else device


def _take(store: RunStore, run_id: str, lock: Path, key: str) -> Held | None:
    """The locks of the device, where it is free and nobody has waited longer for it.

    Raises:
        OSError: the lock's file in the runs folder cannot be made.
    """
    # Every job that waits asks five times a second: the device first, which is the cheaper question, and mostly busy.
    if locks.is_held(lock) or not store.workers.is_next(run_id):
        return None
    mine = locks.take(lock)
    if mine is None:
        return None
    try:
        everywhere = locks.take(device_locks.of_all_folders(key)) if key != "cpu" else None
    except OSError as error:  # the folder's own lock has to do
        logs.note(logs.job_log(store.folder(run_id)), "no lock of all runs folders", device=key, detail=str(error))
        return (mine,)
    if key == "cpu":
        return (mine,)
    if everywhere is None:
        os.close(mine)
        return None
    return (mine, everywhere)


def _wait(store: RunStore, run_id: str, lock: Path, key: str) -> Held | None:
    flag = store.folder(run_id) / "CANCEL"
    while not flag.exists():
        held = _take(store, run_id, lock, key)
        if held is not None:
            return held
        time.sleep(_POLL)
    return None
