"""The real `streamlit run app/main.py` on a free port, and what a browser needs to look at it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from esacl.doctor import BROWSERS

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the app over a folder's `runs`, started as a user starts it; its log is `server.log` beside them.

    Raises:
        RuntimeError: it did not come up within a minute; with the end of its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("streamlit")), "run", "app/main.py"]
    options = ["--server.port", str(port), "--server.headless", "true"]
    environment = {**os.environ, "ESACL_RUNS": str(folder / "runs")}
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *options], cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    """Until a server that was started answers there.

    Raises:
        RuntimeError: it ended, or a minute is over; with the end of its log.
    """
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.25)
    raise RuntimeError(f"the server did not come up: {log.read_text()[-500:]}")
