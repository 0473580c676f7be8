"""`torchrun -m esacl run`: one process leads, the others follow it and hold nothing that could be lost.

The first process does what `esacl` does alone: it reads the command line, makes the run's folder, keeps and prints.
The others are told by it what to compute and go through the same events, which they throw away. So a stop needs no
agreement: whenever and however the leader ends (finished, cancelled, failed, by bad input), it says so in torchrun's
key-value store, and a thread in each follower ends its process at once, even inside an exchange that nobody will answer
any more. Signals are the leader's alone. A follower that fails tells why, one that is killed is missed by its number,
on another machine by its heartbeat; the run is then recorded as failed, by the leader's main thread, or by a thread
where that one waits for the lost process and cannot be woken.
"""

import contextlib
import json
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import psutil

from esacl.config import RunConfig
from esacl.errors import InputError, RunFailure
from esacl.events import CheckpointReady
from esacl.heartbeats import Heartbeats
from esacl.ranks import Ranks
from esacl.recording import explain

POLL = 0.2  # seconds between two looks at the others
GRACE = 10.0  # seconds in which the leader's main thread may notice a loss by itself
STOP_GRACE = 30.0  # and in which it may follow a request to stop: one exchange may wait for another's long step
PATIENCE = 60.0  # seconds that a follower which cannot go on waits to be ended
SILENCE = 120.0  # seconds without a sign of life after which a process of another machine is lost
HUSH = 3.5  # and once an exchange broke off, which says that one of them is
_STOPPED = 130  # the exit code of what was stopped
_START, _END, _FAILED = "esacl/start", "esacl/end", "esacl/failed"


class Others:
    """What a process knows of the others: by their numbers on this machine, else by their heartbeats.

    `told` says whether a loss was told: once, whoever sees it first.
    """

    def __init__(self, ranks: Ranks, store: Any = None) -> None:
        from torch.distributed import rendezvous

        self.ranks, self.told = ranks, False
        self.store = store or next(rendezvous("env://"))[0]
        self._apart = self.store.clone()  # a connection of its own: an exchange may hold the other one for long
        process = psutil.Process()
        about = {"machine": platform.node(), "pid": process.pid}
        self._apart.set(f"esacl/process/{ranks.rank}", json.dumps(about))
        self.heartbeats = Heartbeats(self.store)

    def say(self, key: str, text: str) -> None:
        """Write a word that all others can read; nothing where nobody keeps it any more."""
        with contextlib.suppress(RuntimeError):
            self._apart.set(key, text)

    def heard(self, key: str) -> str | None:
        """What was said, None where nothing was.

        Raises:
            RuntimeError: nobody keeps it any more.
        """
        return self._apart.get(key).decode() if self._apart.check([key]) else None

    def lost(self, silence: float = SILENCE) -> str | None:
        """Why the run cannot go on: another process failed or is gone; None where all are there.

        Args:
            silence: seconds without a sign of life after which a process of another machine is gone.
        """
        with contextlib.suppress(RuntimeError):
            failed = self.heard(_FAILED)
            if failed:
                return failed
            for rank in range(self.ranks.count):
                which = f"process {rank} of {self.ranks.count}"
                if rank == self.ranks.rank:
                    continue
                if self._is_gone(rank):
                    return f"{which} was ended from outside; resume the run"
                if not self._is_here(rank) and self.heartbeats.silent(rank) > silence:
                    return f"{which}, on another machine, gives no sign of life; look at that one, then resume the run"
        return None

    def check(self) -> bool:
        """Whether a loss was told before.

        Raises:
            RunFailure: there is one, and nobody has told it yet.
        """
        if self.told:
            return True
        reason = self.lost()
        if reason is not None:
            self.told = True
            raise RunFailure(reason)
        return False

    def why(self) -> str | None:
        """Why an exchange broke off, as far as it becomes known in a short while."""
        end = time.monotonic() + GRACE / 2
        reason = self.lost(HUSH)
        while reason is None and time.monotonic() < end:
            time.sleep(POLL)
            reason = self.lost(HUSH)
        self.told = True
        return reason or self._unreachable()

    def _unreachable(self) -> str | None:
        """What is to be said where nothing can be heard any more."""
        try:
            self.heard(_FAILED)
        except RuntimeError:
            return (
                f"process {self.ranks.rank} of {self.ranks.count} reaches none of the others, nor the place where they "
                "meet; look at the machine of process 0, then resume the run"
            )
        return None

    def _is_here(self, rank: int) -> bool:
        """Whether a process is of this machine."""
        return self._about(rank).get("machine") == platform.node()

    def _is_gone(self, rank: int) -> bool:
        """Whether a process of this machine is dead; of others only their heartbeat tells."""
        if not self._is_here(rank):
            return False
        try:
            return bool(psutil.Process(self._about(rank)["pid"]).status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    def _about(self, rank: int) -> dict[str, Any]:
        return dict(json.loads(self.heard(f"esacl/process/{rank}") or "{}"))


def main(ranks: Ranks, command: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None) -> NoReturn:
    """What this process has to do, as leader or follower; ends the process.

    An exchange that is left half-done would hold up a process that ends in the ordinary way.
    """
    code = _lead(ranks, command, arguments) if ranks.rank == 0 else _follow(ranks)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _lead(ranks: Ranks, command: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None) -> int:
    try:
        code = command(arguments)
    except SystemExit as end:  # the parser has said what is wrong
        code = end.code if isinstance(end.code, int) else 1
    except Exception:
        traceback.print_exc()
        code = 1
    if code == 0:  # of any other torchrun ends the rest; of this one nobody may have told them
        Others(ranks).say(_END, "")
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
        self._others.say(_START, json.dumps(told))
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
                    self._others.say(_END, "")

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


def _follow(ranks: Ranks) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks to stop asks the leader, who then ends this process
    others = Others(ranks)
    others.heartbeats.begin(ranks.rank)
    told = None
    while told is None:
        if _is_over(others):
            return 0
        time.sleep(POLL)
        told = others.heard(_START)
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
    others.say(_FAILED, f"process {others.ranks.rank} of {others.ranks.count}: {reason}")


def _end_with_the_leader(others: Others) -> None:
    while not _is_over(others):
        time.sleep(POLL)
    os._exit(0)


def _is_over(others: Others) -> bool:
    try:
        if others.heard(_END) is not None or others._is_gone(0):
            return True
        return not others._is_here(0) and others.heartbeats.silent(0) > SILENCE
    except RuntimeError:  # torchrun itself is gone
        return True


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
