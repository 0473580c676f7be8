"""Which runs that are there already are rows of a sweep: its own from before, and those of other sweeps.

Rows know their runs by what these compute, so a sweep whose file got more rows goes on with those that are new, and one
whose file got another name finds what was done under the old one. A run that no sweep made belongs to none: who starts
one config twice has two runs.
"""

import contextlib
from pathlib import Path
from typing import Any

from esacl import locks
from esacl.errors import InputError
from esacl.store import RunStore
from esacl.sweep.record import content_of, sweeps_of


def runs_by_key(store: RunStore, content: dict[str, Any]) -> dict[str, str]:
    """The runs of a record that are still there, by what they compute: read from their own configs."""
    ids = [row.get("run") for row in content.get("rows", [])] + content.get("others", [])
    found: dict[str, str] = {}
    for run_id in ids:
        with contextlib.suppress(InputError):  # deleted, or damaged: it is to be computed again
            found[store.config(str(run_id)).digest] = str(run_id)
    return found


def runs_of_others(store: RunStore, own: Path, keys: set[str]) -> dict[str, str]:
    """Runs of other sweeps of this folder that compute what is asked for by `keys`.

    Of a sweep whose file is still there only what is finished: the rest is that sweep's to go on with. Of one whose
    file is gone, as after a renaming, all that no other sweep has taken over meanwhile.
    """
    claimed: set[str] = set()
    begun: dict[str, str] = {}
    finished: dict[str, str] = {}
    for folder in sweeps_of(store.root) if keys else ():
        with contextlib.suppress(InputError, OSError, ValueError):  # damaged, or no path: not this sweep's to tell
            content = content_of(folder) if folder != own else {}
            runs, gone = runs_by_key(store, content), _is_gone(folder, content)
            if not gone:
                claimed |= set(runs.values())
            for key in runs.keys() & keys:
                if store.status(runs[key]).state == "finished":
                    finished.setdefault(key, runs[key])
                elif gone:
                    begun.setdefault(key, runs[key])
    return {key: run_id for key, run_id in begun.items() if run_id not in claimed} | finished


def _is_gone(folder: Path, content: dict[str, Any]) -> bool:
    """Whether nobody can go on with a sweep under its own name: its file is no more, and no process works on it."""
    file = content.get("file")
    return isinstance(file, str) and not Path(file).exists() and not locks.is_held(folder / "lock")
