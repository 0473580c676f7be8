"""A Dask scheduler and workers for the tests of sweeps: processes of their own, wherever they are put."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from sweeping import Command, surroundings, wait_for

from esacl.store import RunStore
from esacl.sweep.record import sweeps_of

QUICK = "from esacl.sweep import on_dask; on_dask._ANSWER = 20.0; on_dask._LOOK = 0.2; on_dask.PATIENCE = 90.0; "


class Cluster:
    """`dask scheduler` and its workers; each worker has a cache folder of its own, as on a machine of its own.

    Args:
        folder: where all of them write.
        host: where the scheduler listens.
        port: 0 = a free one.
        within: what stands before the command of the scheduler ("scheduler") or of a worker (its name).
    """

    def __init__(
        self, folder: Path, host: str = "127.0.0.1", port: int = 0, within: Callable[[str], list[str]] = lambda name: []
    ) -> None:
        self.folder, self.within = folder, within
        self.gate = folder / "gate"
        self._all: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://{host}:{port or free.getsockname()[1]}"
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        host, _, port = self.address.removeprefix("tcp://").rpartition(":")
        before = self.told("Scheduler at:")
        self.scheduler = self._start("scheduler", "scheduler", "--host", host, "--port", port, "--no-dashboard")
        wait_for(lambda: self.told("Scheduler at:") > before)
        return self.scheduler

    def told(self, what: str) -> int:
        """How often the log says it."""
        log = self.folder / "dask.log"
        return log.read_text().count(what) if log.exists() else 0

    def worker(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        cache = self.folder / f"cache-{name}"
        options = ["--nworkers", "1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60"]
        options += ["--local-directory", str(self.folder / name), "--preload", "small_worker"]
        more = {"XDG_CACHE_HOME": str(cache), "SMALL_GATE": str(self.gate), **environment}
        return self._start(name, "worker", self.address, *options, **more)

    def store_of(self, name: str, token: str) -> RunStore:
        """The runs that a worker has in its own folder."""
        return RunStore(self.folder / f"cache-{name}" / "esacl" / "sweeps" / token)

    def _start(self, name: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / "dask.log").open("ab") as log:
            command = [*self.within(name), sys.executable, "-W", "ignore", "-m", "dask", *words]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=surroundings(**environment))
        self._all.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self._all):
            with contextlib.suppress(psutil.NoSuchProcess):
                for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                    one.kill()
            process.wait()


def swept(folder: Path, cluster: Cluster, path: Path) -> Command:
    """`esacl sweep` on the cluster, beside its scheduler."""
    words = ("--scheduler", cluster.address, "--json")
    return Command(folder, path, *words, first=QUICK, before=cluster.within("scheduler"))


def token_of(store: RunStore) -> str:
    """What the one sweep of a runs folder is called on its workers."""
    return json.loads((wait_for(lambda: sweeps_of(store.root))[0] / "sweep.json").read_text())["token"]
