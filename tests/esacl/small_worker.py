"""The process of a sweep's run with numbers in place of training: everything around the computing is the real thing.

As a module of Dask's `--preload` it has the worker start such processes. The seed says what a run meets; while the file
that $SMALL_GATE names is not there, no run gets beyond its first task.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from small_stream import SmallStream

from esacl import sources
from esacl.config import RunConfig
from esacl.errors import InputError, RunFailure
from esacl.events import CheckpointReady, Event, Stepped
from esacl.sweep import carry, on_worker

NAN, DEADLY, REFUSED = 13, 66, 77


def events(config: RunConfig, start: CheckpointReady | None, data: Path | None, leader: None) -> Iterator[Event]:
    if config.seed == REFUSED:
        raise InputError("device 'cuda:99' is not on this machine, which has 0 CUDA devices")
    for event in SmallStream(start, config=config):
        if isinstance(event, Stepped):
            meet(event, config.seed)
        yield event


def meet(event: Stepped, seed: int) -> None:
    time.sleep(0.01)
    if event.task == 1 and seed == NAN:
        raise RunFailure("the loss is NaN in step 1 of task 1; take a smaller lr")
    if event.task == 1 and seed == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    gate = os.environ.get("SMALL_GATE")
    end = time.monotonic() + 300  # a test that failed opens no gate
    while event.task == 1 and gate and not Path(gate).exists() and time.monotonic() < end:
        time.sleep(0.02)


def dask_setup(worker: object) -> None:
    carry.WORKER = "small_worker"
    if "SMALL_VERSION" in os.environ:
        sources.__version__ = os.environ["SMALL_VERSION"]
    if "SMALL_CODE" in os.environ:
        sources.code = lambda: os.environ["SMALL_CODE"]
    if problem := os.environ.get("SMALL_LACKS"):
        on_worker.datasets.missing = lambda benchmarks, data: problem


if __name__ == "__main__":
    from esacl import computing
    from esacl.sweep import worker

    computing._events = events
    raise SystemExit(worker.main())
