"""The first process of a torchrun run: does what `esacl` does alone, brings the others in, and sends them home."""

import contextlib
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from esacl.config import RunConfig
from esacl.events import CheckpointReady
from esacl.others import END, GRACE, POLL, START, Others
from esacl.ranks import Ranks

STOP_GRACE = 30.0  # seconds in which a request to stop may be followed: one exchange may wait for another's long step
_STOPPED = 130  # the exit code of what was stopped


def lead(ranks: Ranks, command: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None) -> int:
    """Do what the command line says, as one process does; returns the exit code."""
    try:
        code = command(arguments)
    except SystemExit as end:  # the parser has said what is wrong
        code = end.code if isinstance(end.code, int) else 1
    except Exception:
        traceback.print_exc()
        code = 1
    if code == 0:  # of any other torchrun ends the rest; of this one nobody may have told them
        Others(ranks).say(END, "")
    return code


class Leader:
    """The first process while it works on a run: brings the others in, notices a loss, and sends them home."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._others: Others | None = None
        self._over = threading.Event()

    def lost(self) -> bool:
        """`Others.check`, once they are there."""
        return self._others is not None and self._others.check()

    def meet(self, config: RunConfig, start: CheckpointReady | None, data: Path | None) -> Any:
        """The group of all processes, which know from now on what to compute.

        Raises:
            InputError: a device that they cannot share.
        """
        from esacl.distributed import Processes, device_of

        device_of(config.device, self._ranks)
        self._others = Others(self._ranks)
        told = {"config": config.to_dict(), "data": str(data.absolute()) if data else None}
        self._others.say(START, json.dumps(told))
        self._others.heartbeats.begin(self._ranks.rank)
        group = Processes(self._ranks, self._others.store, config.device, self._others.why)
        group.tell(start)
        return group

    @contextlib.contextmanager
    def watching(
        self, at_loss: Callable[[str], None], asked: Callable[[], bool], at_stop: Callable[[str], None]
    ) -> Iterator[None]:
        """While this lasts a lost process is noticed, and a stop that nobody follows; after it the others end.

        An exchange with a process that stands still holds up the main thread in code that hears no signal.

        Args:
            at_loss: keeps why another is lost, where the main thread could not; this process ends after it.
            asked: whether the run is to stop.
            at_stop: keeps why it was stopped without the main thread; this process ends after it.
        """
        with _signals() as signalled:

            def stops() -> bool:
                return signalled() or asked()

            threading.Thread(target=self._watch, args=(at_loss, stops, at_stop), daemon=True).start()
            try:
                yield
            finally:
                self._over.set()
                if self._others is not None:
                    self._others.say(END, "")

    def _watch(self, at_loss: Callable[[str], None], stops: Callable[[], bool], at_stop: Callable[[str], None]) -> None:
        since: float | None = None
        while not self._over.wait(POLL):
            if since is None and stops():
                since = time.monotonic()
            if since is not None and time.monotonic() - since > STOP_GRACE:
                at_stop(f"stopped after {STOP_GRACE:.0f} s in which another process did not answer; resume the run")
                os._exit(_STOPPED)
            reason = self._others.lost() if self._others else None
            if reason is None:
                continue
            if not self._over.wait(GRACE):
                at_loss(reason)
                os._exit(1)
            return


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Whether a signal has come since, known without the main thread: Python writes its number into a pipe at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    end, begin = os.pipe()
    for descriptor in (end, begin):
        os.set_blocking(descriptor, False)
    before, came = signal.set_wakeup_fd(begin, warn_on_full_buffer=False), threading.Event()

    def signalled() -> bool:
        with contextlib.suppress(OSError):  # nothing there
            if {signal.SIGINT, signal.SIGTERM} & set(os.read(end, 4096)):
                came.set()
        return came.is_set()

    try:
        yield signalled
    finally:
        signal.set_wakeup_fd(before)
        os.close(begin)  # the other end stays: whoever watches may be about to look
