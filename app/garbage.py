"""What a page has loaded is not looked through for garbage again, and all threads share two pools of memory.

Modules, compiled pages and figures kept for all stay until the server ends: a hundred thousand objects and more. A full
collection goes through each of them, and as long nobody else is served. Frozen, they are left out, and Python, which
collects when what may be garbage has grown by a quarter, does so early and quickly.

Each visitor has threads of his own, and glibc gives them up to eight pools of memory a core, each with holes that no
other thread fills: a server that forgets nothing grows all the same.
"""

import ctypes
import gc
import os
import sys

_seen: set[str] = set()
_M_ARENA_MAX, _POOLS = -8, 2  # of mallopt(3)
_SAID_BY = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")


def leave_out(page: str) -> None:
    """The first time that a page was drawn in this process: what is there now is there to stay."""
    if page in _seen:
        return
    if not _seen:
        few_pools()
    _seen.add(page)
    gc.collect()  # what is garbage by now would stay for good
    gc.freeze()


def few_pools() -> bool:
    """Whether threads share two pools of memory from now on: with glibc only, and where nobody has said otherwise."""
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _SAID_BY):
        return False
    setting = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return setting is not None and setting(_M_ARENA_MAX, _POOLS) == 1
