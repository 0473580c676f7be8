"""What was made once, kept for the next who asks: by a key that holds all that it was made of. No streamlit in here."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Kept(Generic[Made]):
    """The last `most` things that were asked for; safe to share between sessions.

    Keys are compared as Python compares them, which for a thousand runs takes a hundredth of what a digest of them
    does. Nobody may change what comes out: others are given the same.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, Made] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._made

    def forget(self, gone: Callable[[Hashable], bool]) -> None:
        """Keep nothing any longer whose key is one of the gone."""
        with self._lock:
            for key in [key for key in self._made if gone(key)]:
                del self._made[key]

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` has returned for this key; two who ask at once may both make it."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        made = make()
        with self._lock:
            self._made[key] = made
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return made
