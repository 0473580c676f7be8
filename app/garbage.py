"""What a page has loaded is not looked through for garbage again.

Modules, compiled pages and figures kept for all stay until the server ends: a hundred thousand objects and more. A full
collection goes through each of them, and as long nobody else is served. Frozen, they are left out, and Python, which
collects when what may be garbage has grown by a quarter, does so early and quickly.
"""

import gc

_seen: set[str] = set()


def leave_out(page: str) -> None:
    """The first time that a page was drawn in this process: what is there now is there to stay."""
    if page in _seen:
        return
    _seen.add(page)
    gc.collect()  # what is garbage by now would stay for good
    gc.freeze()
