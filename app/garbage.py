"""What a page has loaded is not looked through again: Streamlit runs a full garbage collection after every script.

Modules, compiled pages and figures kept for all stay until the server ends. A collection goes through each of them, a
hundred thousand objects and more, and as long nobody else is served; frozen, they are left out. What a visitor leaves
is freed as before.
"""

import gc

_seen: set[str] = set()


def leave_out(page: str) -> None:
    """The first time that a page was drawn in this process: what is there now is there to stay."""
    if page in _seen:
        return
    _seen.add(page)
    gc.collect()
    gc.freeze()
