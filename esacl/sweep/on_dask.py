"""The engine for several machines: Dask brings configs to workers and finished runs back as bundles.

Which worker computes what is decided here, one run a worker, so that a worker that dies costs its own run alone.
Dask has no authentication without TLS: who reaches the scheduler can run any code on the workers.
"""

import asyncio
import contextlib
import io
import itertools
import logging
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from esacl import __version__, sources, trash, unpacking
from esacl.errors import InputError
from esacl.sweep import on_worker
from esacl.sweep.book import Book
from esacl.sweep.driver import Ended, EngineGone
from esacl.sweep.gpus import pinned

PATIENCE = 30.0  # seconds without any worker before that is an error
_ANSWER = 10.0  # seconds that a scheduler has to answer
_LOOK = 1.0  # seconds between two questions to it
MOST_DEATHS = 10  # of workers under one run: machines come and go, and a run that kills ten is to blame
_ADDRESS = re.compile(r"(?:tcp|tls|ws|wss)://([^\s/]+):(\d{1,5})")


@contextlib.contextmanager
def connected(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A Dask client, of the scheduler at that address or of one that is started here with `workers` workers.

    Raises:
        InputError: Dask is not installed, that is no address, or nobody answers there.
    """
    if scheduler is not None:
        _check_address(scheduler)
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError("--engine dask needs the package distributed; pip install distributed") from None
    _silence()
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            with _uninterrupted():
                cluster = LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL,
                    memory_limit=0, host="127.0.0.1",
                )  # fmt: skip
            stack.enter_context(cluster)
            scheduler = cluster.scheduler_address
        try:
            _refuse_others(scheduler)
            client = Client(scheduler, timeout=_ANSWER, set_as_default=False)
        except Exception as error:  # of whatever kind: sockets, handshakes, versions
            cause = " ".join(str(error).split())[:120] or type(error).__name__
            remedy = "start one with `dask scheduler`, or leave --scheduler out"
            raise InputError(f"no Dask scheduler answers at {scheduler} ({cause}); {remedy}") from None
        stack.callback(_closed, client)
        yield client


def _check_address(scheduler: str) -> None:
    """Refuse at once what would be tried for seconds, and then refused without its cause."""
    found = _ADDRESS.fullmatch(scheduler)
    if found is None:
        raise InputError(f"--scheduler {scheduler!r:.100} is no address; write tcp://HOST:PORT")
    if not 1 <= int(found[2]) <= 65535:
        raise InputError(f"--scheduler {scheduler}: there is no port {found[2]}; choose 1 to 65535, 8786 is Dask's own")
    try:
        socket.getaddrinfo(found[1].strip("[]"), int(found[2]))
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or "no name of a host"
        raise InputError(f"--scheduler {scheduler}: no host {found[1]!r:.100} ({cause}); check its name") from None


def _refuse_others(address: str) -> None:
    """Ask who answers there. A client waits for ever for the first word of what is no scheduler, a web server say.

    Raises:
        Exception: whatever it is that keeps it from answering as a scheduler.
    """
    from distributed import Security
    from distributed.core import rpc

    async def ask() -> dict[str, Any]:
        async with rpc(address, connection_args=Security().get_connection_args("client")) as there:
            return dict(await there.identity())

    try:
        found = asyncio.run(asyncio.wait_for(ask(), _ANSWER))
    except TimeoutError:
        raise TimeoutError(f"no answer within {_ANSWER:g} s") from None
    if found.get("type") != "Scheduler":
        raise TypeError(f"what answers is a {found.get('type')}")


def _silence() -> None:
    """What happens is said here, in one line."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started meanwhile do not hear Ctrl-C, which is this process's to answer."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _closed(client: Any) -> None:
    with contextlib.suppress(Exception):
        client.close(timeout=_ANSWER)


class OnDask:
    """The rows of a sweep on the workers of a Dask cluster, those included that join later."""

    def __init__(self, book: Book, client: Any, data: Path | None, gpus: Sequence[str] = ()) -> None:
        self._book, self._client, self._gpus = book, client, gpus
        self._about = (
            book.token,
            sources.told(),
            sorted({config.benchmark for config in book.configs}),
            str(data) if data else None,
        )
        self._asked: dict[str, Any] = {}  # address -> the future of why it cannot compute this, if it cannot
        self._fit: set[str] = set()
        self._unfit: dict[str, str] = {}  # address -> why
        self._there: set[str] = set()
        self._looked, self._alone_since, self._stopping = 0.0, time.monotonic(), False
        self._deaths: dict[int, int] = {}
        self._seats: dict[str, int] = {}
        self._futures: dict[str, Any] = {}

    def places(self) -> Sequence[str]:
        """The addresses of the workers that can compute this sweep.

        Raises:
            EngineGone: the scheduler is.
            InputError: no worker can, or none has come for `PATIENCE` seconds.
        """
        if time.monotonic() - self._looked >= _LOOK:
            self._look()
        fit = [place for place in sorted(self._there) if self._fits(place)]
        if fit or self._futures:
            self._alone_since = time.monotonic()
        elif self._there and self._there <= self._unfit.keys():
            raise InputError(f"no worker can compute this sweep: {self._unfit[min(self._there)]}")
        elif time.monotonic() - self._alone_since > PATIENCE:
            address = self._client.scheduler.address
            start = f"`dask worker {address} --nworkers 1 --nthreads 1`"
            raise InputError(f"the scheduler {address} has no worker; start one with {start}, then this again")
        return fit

    def work(self, place: str, index: int) -> Iterator[Ended | None]:
        """The row's run on one worker."""
        book, run_id, config = self._book, self._book.entries[index].run, self._book.configs[index]
        while run_id and book.store.workers.alive(run_id):
            yield None  # somebody computes it here
        if run_id and book.store.status(run_id).state == "finished":
            yield Ended("finished", run=run_id)
            return
        token, _, _, data = self._about
        gpu = pinned(config, self._gpus, self._seat(place))
        submit = self._client.submit
        future = submit(on_worker.compute, token, config.to_dict(), data, gpu, workers=[place], retries=0, pure=False)
        self._futures[place] = future
        try:
            while future.status == "pending" and place in self._there:
                yield None
                self.places()
            yield self._ended(index, place, future)
        finally:
            del self._futures[place]
            future.release()

    def _seat(self, place: str) -> int:
        """A number that a worker keeps as long as it lives, and nobody else has: whose GPU is its own."""
        self._seats = {there: seat for there, seat in self._seats.items() if there in self._there or there == place}
        taken = set(self._seats.values())
        return self._seats.setdefault(place, next(seat for seat in itertools.count() if seat not in taken))

    def cancel(self, requests: int) -> None:
        """Have the workers cancel their runs, which stay there; who asks twice does not wait for it."""
        if not self._stopping:
            self._tell(on_worker.stop)
        self._stopping = True
        if requests > 1:
            for future in self._futures.values():
                future.cancel()

    def done(self) -> None:
        """Let the workers forget what is kept here now."""
        self._tell(on_worker.forget)

    def _look(self) -> None:
        """Ask the scheduler who is there, and those who are new whether they fit."""
        self._looked = time.monotonic()
        try:
            there = set(self._client.scheduler_info(n_workers=-1)["workers"])
        except Exception:  # whatever it is: it does not answer
            there = set()
        if self._client.status != "running":
            remedy = "what was finished is kept; start it and its workers again, then the same command goes on"
            raise EngineGone(f"the Dask scheduler {self._client.scheduler.address} is gone: {remedy}")
        self._there = there
        for place in there - self._asked.keys():
            self._asked[place] = self._client.submit(on_worker.about, *self._about, workers=[place], pure=False)

    def _fits(self, place: str) -> bool:
        asked = self._asked[place]
        if place not in self._fit and place not in self._unfit and asked.status in ("finished", "error"):
            try:
                why = asked.result(timeout=_ANSWER)
            except TimeoutError:  # it died with its answer
                return False
            except Exception as error:  # of whatever kind the worker has met
                why = _why(error)
            if why:
                self._leave_out(place, why)
            else:
                self._fit.add(place)
        return place in self._fit and place not in self._unfit

    def _leave_out(self, place: str, why: str) -> None:
        self._unfit[place] = f"worker {place}: {why}"
        print(f"left out, worker {place}: {why}", file=sys.stderr)

    def _ended(self, index: int, place: str, future: Any) -> Ended:
        if future.status == "error" and type(future.exception()).__name__ != "KilledWorker":
            self._leave_out(place, _why(future.exception()))  # not the run failed, but the worker to carry it
            return self._lost(index)
        found = self._fetched(place, future) if future.status == "finished" else None
        if found is None:
            return Ended("cancelled") if self._stopping else self._lost(index)
        if found["bundle"] is None:
            return Ended("cancelled")
        return Ended(found["state"], found["detail"], self._kept(index, place, found))

    def _fetched(self, place: str, future: Any) -> dict[str, Any] | None:
        """What the worker has sent; None where it died before it could."""
        patience = _ANSWER
        while place in self._there:
            try:
                return dict(future.result(timeout=patience))
            except TimeoutError:
                patience *= 2  # a large run over a slow line
                self._look()
            except Exception:  # of whatever kind: it is not there, and is computed or sent again
                self._look()
                return None
        return None

    def _lost(self, index: int) -> Ended:
        deaths = self._deaths[index] = self._deaths.get(index, 0) + 1
        if deaths > MOST_DEATHS:
            return Ended("failed", f"{deaths} workers were lost while they computed it; look into their logs")
        return Ended("again")

    def _kept(self, index: int, place: str, found: dict[str, Any]) -> str:
        """Put the run that was sent among the runs, in place of what an earlier attempt has left."""
        store, old = self._book.store, self._book.entries[index].run
        if old and (store.root / old).is_dir():
            trash.discard(store, old)
        sent = str(found["run"])
        if sent in store.ids() and store.config(sent).digest == self._book.configs[index].digest:
            return sent  # it came before, and nobody had written that down yet
        return unpacking.import_run(store, io.BytesIO(found["bundle"]), name=f"what worker {place} has sent")

    def _tell(self, what: Any) -> None:
        with contextlib.suppress(Exception):  # who cannot be told any more need not be
            self._client.run(what, self._book.token, on_error="ignore")


def _why(error: BaseException | None) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"it has no {error.name}; install the same EsaCL there, version {__version__}"
    return " ".join(str(error).split())[:200] or type(error).__name__
