"""Signs of life of the processes that do one run together: the only thing that is known of those of other machines.

Each process counts in torchrun's key-value store. No clocks are compared: a process is silent for as long as its count
has stood still for whoever looks.
"""

import threading
import time
from typing import Any

BEAT = 1.0  # seconds between two signs of life
GIVEN_UP = 120  # failures one after the other


class Heartbeats:
    """The counts of all processes, seen from one of them.

    Args:
        store: torchrun's; a connection of its own is made, since an exchange may hold the other one for long.
    """

    def __init__(self, store: Any) -> None:
        self._read, self._write = store.clone(), store.clone()
        self._seen: dict[int, tuple[int, float]] = {}  # rank -> its count, and when that was new

    def begin(self, rank: int) -> None:
        """Count for `rank`, in a thread that ends with the process or the store."""
        threading.Thread(target=self._beat, args=(rank,), daemon=True).start()

    def silent(self, rank: int) -> float:
        """For how many seconds nothing has been heard of `rank`; 0 at the first look, and before it has begun.

        Raises:
            RuntimeError: nobody keeps the counts any more.
        """
        count, now = self._read.add(_key(rank), 0), time.monotonic()
        before, since = self._seen.get(rank, (count, now))
        self._seen[rank] = (count, since if count == before else now)
        return now - self._seen[rank][1] if count else 0.0

    def _beat(self, rank: int) -> None:
        failures = 0
        while failures < GIVEN_UP:  # one that fails may be a network that is busy; many, that nobody is there any more
            try:
                self._write.add(_key(rank), 1)
                failures = 0
            except RuntimeError:
                failures += 1
            time.sleep(BEAT)


def _key(rank: int) -> str:
    return f"esacl/beat/{rank}"
