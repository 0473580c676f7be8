"""What happened to a job and on the server, for whoever looks into it later: one JSON object a line, bounded.

    RUN/log.jsonl        one job after another on this run: started, its turn, gone on from where, ended how
    .logs/server.jsonl   what the app and its jobs were asked for

A log never stops what it tells about: where it cannot be written, nothing is.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from esacl.durable import append_regular

MOST_BYTES = 2**20
KEPT = 3  # older files beside the one that is written
_MOST_TEXT = 8_000


def job_log(folder: Path) -> Path:
    """The log of the jobs on the run in `folder`."""
    return folder / "log.jsonl"


def server_log(root: Path) -> Path:
    """The log of the server over the runs below `root`."""
    return root / ".logs" / "server.jsonl"


def kept(path: Path) -> list[Path]:
    """A log and the older files beside it, as far as they are there."""
    return [one for one in (path, *(_older(path, number) for number in range(1, KEPT + 1))) if os.path.isfile(one)]


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def note(path: Path, what: str, **facts: Any) -> None:
    """Add a line: when, what, by which process, and the facts; texts are cut where they are long."""
    short = {name: value[-_MOST_TEXT:] if isinstance(value, str) else value for name, value in facts.items()}
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    line = json.dumps({"time": stamp, "what": what, "pid": os.getpid(), **short}, default=str) + "\n"
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        rotate(path)
        with append_regular(path) as log:
            log.write(line.encode())


def rotate(path: Path) -> None:
    """Put a log that has grown large aside, behind which older ones move up.

    Raises:
        OSError: the folder cannot be written.
    """
    if not path.exists() or path.stat().st_size < MOST_BYTES:
        return
    for number in range(KEPT, 0, -1):
        newer = path if number == 1 else _older(path, number - 1)
        if newer.exists():
            newer.replace(_older(path, number))
