"""A further process of a torchrun run: it is told what to compute, keeps nothing of it, and ends with the leader."""

import json
import os
import signal
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from esacl.config import RunConfig
from esacl.errors import InputError, RunFailure
from esacl.failures import explain
from esacl.others import END, FAILED, POLL, SILENCE, START, Others
from esacl.ranks import Ranks

PATIENCE = 60.0  # seconds that a follower which cannot go on waits to be ended


def follow(ranks: Ranks) -> int:
    """Compute what the leader says; returns the exit code where the leader ended first, or did not end this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks to stop asks the leader, who then ends this process
    others = Others(ranks)
    others.heartbeats.begin(ranks.rank)
    told = None
    while told is None:
        if _is_over(others):
            return 0
        time.sleep(POLL)
        told = others.heard(START)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # until now it was torchrun's way to end this process
    threading.Thread(target=_end_with_the_leader, args=(others,), daemon=True).start()
    try:
        _compute(ranks, others, json.loads(told))
    except Exception as error:  # the leader keeps it, if it was not its own fault too
        _tell(others, error)
    time.sleep(PATIENCE)
    return 1


def _compute(ranks: Ranks, others: Others, told: dict[str, Any]) -> None:
    from esacl.distributed import Processes
    from esacl.pipeline import run

    config = RunConfig.from_dict(told["config"])
    group = Processes(ranks, others.store, config.device, others.why)
    start = group.tell(None)
    for _ in run(config, start, data=Path(told["data"]) if told["data"] else None, group=group):
        pass
    time.sleep(1e9)  # the leader still has to write; it ends this process


def _tell(others: Others, error: Exception) -> None:
    from esacl.distributed import LostTouch

    if isinstance(error, LostTouch):
        return  # another one failed, and tells why
    if not isinstance(error, InputError | RunFailure):
        traceback.print_exception(error)
    reason = str(error) if isinstance(error, InputError) else explain(error, Path("RUN"))
    others.say(FAILED, f"process {others.ranks.rank} of {others.ranks.count}: {reason}")


def _end_with_the_leader(others: Others) -> None:
    while not _is_over(others):
        time.sleep(POLL)
    os._exit(0)


def _is_over(others: Others) -> bool:
    try:
        if others.heard(END) is not None or others.is_gone(0):
            return True
        return not others.is_here(0) and others.heartbeats.silent(0) > SILENCE
    except RuntimeError:  # torchrun itself is gone
        return True
