"""How a run is stopped: Ctrl-C after the current event, a second one at once, and so does a request to terminate."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from esacl.store import RunStore

PATIENCE = 0.7  # seconds that a request to stop may wait for the end of a step
_POLL = 0.1  # seconds between two looks for one
_by_system = threading.Event()


def by_system() -> bool:
    """Whether this process was asked to terminate, and by nobody who cancelled the run: the machine goes down."""
    return _by_system.is_set()


@contextlib.contextmanager
def on_request(store: RunStore, run_id: str, lost: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """While this lasts, signals and the run's flag stop it.

    `lost` raises the failure of another process of this run, or says that it was raised before: torchrun asks all to
    terminate when one is gone, which is nobody's wish to stop.
    """

    def politely(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, at_once)
        store.cancel(run_id)
        print("\nstopping after this step; press Ctrl-C again to stop at once", file=sys.stderr)

    def at_once(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and lost():
            return
        if number == signal.SIGTERM and not (store.root / run_id / "CANCEL").exists():
            _by_system.set()
        raise KeyboardInterrupt

    _by_system.clear()
    before = [signal.signal(signal.SIGINT, politely), signal.signal(signal.SIGTERM, at_once)]
    ended = threading.Event()
    threading.Thread(target=_insist, args=(store.folder(run_id) / "CANCEL", ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before):
            signal.signal(number, handler)


def _insist(flag: Path, ended: threading.Event) -> None:
    """Interrupt this process when a request to stop is `PATIENCE` seconds old: one step may be longer than that.

    One that was there before gets as long: it is seen at the first event, and nothing is cut short half-begun.
    """
    seen: float | None = None  # when it was first seen: clocks that are set, and those of other machines, tell nothing
    while not ended.wait(_POLL):
        if not os.path.lexists(flag):
            seen = None
            continue
        seen = time.monotonic() if seen is None else seen
        if time.monotonic() - seen > PATIENCE and not ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
            return
