"""The real app on a free port, and what a browser needs to look at it: for benchmarks, tests and pictures."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.provenance import ROOT
from esacl.doctor import BROWSERS

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
PATIENCE = 120  # seconds until a server is up


@contextlib.contextmanager
def served(runs: Path, log: Path) -> Iterator[str]:
    """The address of the app over a runs folder, started as a user starts it.

    Raises:
        RuntimeError: it did not come up; with the end of its log.
    """
    command = [str(Path(sys.executable).with_name("streamlit")), "run", "app/main.py"]
    with started(command, log, {"ESACL_RUNS": str(runs)}) as (address, _):
        yield address


@contextlib.contextmanager
def started(
    command: Sequence[str], log: Path, more: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of the app as a command starts it, and its process. `more`: of the environment.

    Raises:
        RuntimeError: it did not come up; with the end of its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--server.port", str(port), "--server.headless", "true"],
            cwd=ROOT,
            env={**os.environ, **(more or {})},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, log)
        yield f"http://127.0.0.1:{port}", process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until a server that was started answers there.

    Raises:
        RuntimeError: it ended, or `PATIENCE` did; with the end of its log.
    """
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.25)
    raise RuntimeError(f"the server did not come up: {log.read_text(errors='replace')[-500:]}")
