"""What a process of a torchrun run knows of the others: what they have said, and whether they are there."""

import contextlib
import json
import platform
import time
from typing import Any

import psutil

from esacl.errors import RunFailure
from esacl.heartbeats import Heartbeats
from esacl.ranks import Ranks

POLL = 0.2  # seconds between two looks at the others
GRACE = 10.0  # seconds in which the leader's main thread may notice a loss by itself
SILENCE = 120.0  # seconds without a sign of life after which a process of another machine is lost
HUSH = 3.5  # and once an exchange broke off, which says that one of them is
START, END, FAILED = "esacl/start", "esacl/end", "esacl/failed"  # keys of what is said


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
            failed = self.heard(FAILED)
            if failed:
                return failed
            for rank in range(self.ranks.count):
                which = f"process {rank} of {self.ranks.count}"
                if rank == self.ranks.rank:
                    continue
                if self.is_gone(rank):
                    return f"{which} was ended from outside; resume the run"
                if not self.is_here(rank) and self.heartbeats.silent(rank) > silence:
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

    def is_here(self, rank: int) -> bool:
        """Whether a process is of this machine."""
        return self._about(rank).get("machine") == platform.node()

    def is_gone(self, rank: int) -> bool:
        """Whether a process of this machine is dead; of others only their heartbeat tells."""
        if not self.is_here(rank):
            return False
        try:
            return bool(psutil.Process(self._about(rank)["pid"]).status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    def _unreachable(self) -> str | None:
        """What is to be said where nothing can be heard any more."""
        try:
            self.heard(FAILED)
        except RuntimeError:
            return (
                f"process {self.ranks.rank} of {self.ranks.count} reaches none of the others, nor the place where they "
                "meet; look at the machine of process 0, then resume the run"
            )
        return None

    def _about(self, rank: int) -> dict[str, Any]:
        return dict(json.loads(self.heard(f"esacl/process/{rank}") or "{}"))
