"""Many runs over spawned processes, one thread each, every result kept as a JSON line as soon as it is there."""

import concurrent.futures
import json
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.once import MEASURES, Record, measure
from benchmarks.provenance import code_digest, commit, processor
from esacl.config import RunConfig
from esacl.durable import replace_file
from esacl.progress import Bar

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One run of a comparison."""

    label: str
    config: RunConfig


class Results:
    """The results of one comparison, kept in a file that an interrupted table goes on from."""

    def __init__(self, path: Path) -> None:
        self.path, self.code = path, code_digest()
        self._known: dict[str, Record] = {}
        if path.exists():
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content:  # a torn last line is a run that is done again
                os.truncate(path, len(whole))
            self._known = {record["key"]: record for record in map(json.loads, whole.splitlines())}

    def key(self, config: RunConfig) -> str:
        """What a result depends on: the config, its seed included, and the code."""
        return f"{config.digest}-{self.code}"

    def get(self, config: RunConfig) -> Record | None:
        """The result of an earlier run of the same config by the same code."""
        return self._known.get(self.key(config))

    def earlier(self, config: RunConfig) -> Record | None:
        """The latest result of the same config by other code."""
        others = (r for k, r in self._known.items() if k.startswith(f"{config.digest}-") and k != self.key(config))
        return next(reversed(list(others)), None)

    def confirms(self, config: RunConfig) -> bool:
        """Whether today's code gave for this config what other code had given, to the last digit; times aside."""
        now, before = self.get(config), self.earlier(config)
        same = (name for name in ("failed", *MEASURES) if name != "seconds")
        return now is not None and before is not None and all(now[name] == before.get(name) for name in same)

    def take_over(self, config: RunConfig, confirmed_by: str | None = None) -> None:
        """Keep what other code gave as today's; `confirmed_by`: the commit by which another of its row was the same."""
        if self.get(config) is None and (before := self.earlier(config)) is not None:
            self._append({**before, "key": self.key(config), **({"confirmed": confirmed_by} if confirmed_by else {})})

    def keep(self, job: Job, record: Record, made_by: str) -> None:
        """Append a result."""
        told = {"row": job.label, "seed": job.config.seed, "commit": made_by, "processor": processor()}
        self._append({"key": self.key(job.config), **told, **record})

    def _append(self, whole: Record) -> None:
        self._known[whole["key"]] = whole
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(whole) + "\n")

    def forget_others(self, configs: Iterable[RunConfig]) -> None:
        """Leave in the file what these configs gave: lines of other code or other settings are not of the table."""
        due = {self.key(config) for config in configs}
        self._known = {key: record for key, record in self._known.items() if key in due}
        lines = "".join(json.dumps(record) + "\n" for record in self._known.values())
        replace_file(self.path, lines.encode())


def run_all(jobs: Iterable[Job], results: Results, *, workers: int, data: Path | None) -> None:
    """Do every job whose result is not known yet, in the order given, showing how far it is.

    Raises:
        InputError: what the first run that meets bad input says; what was done is kept.
    """
    due = {results.key(job.config): job for job in jobs if results.get(job.config) is None}
    made_by, done = commit(), 0
    for name in _ONE_THREAD:
        os.environ[name] = "1"  # spawned processes inherit it; two threads on one core would only disturb timing
    context = multiprocessing.get_context("spawn")
    with (
        Bar("runs") as bar,
        concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_warm_up) as pool,
    ):
        bar.set("starting", 0, len(due))
        waiting = {pool.submit(measure, job.config, data): job for job in due.values()}
        try:
            for future in concurrent.futures.as_completed(waiting):
                results.keep(waiting[future], future.result(), made_by)
                done += 1
                bar.set(waiting[future].label, done, len(due))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def confirm(jobs: Sequence[Job], rows: int, results: Results, *, workers: int, data: Path | None) -> None:
    """Run one job of every row; where it gives what other code had given, the row's other results are kept too.

    `jobs` goes through all of the `rows` again and again.

    Raises:
        InputError: as `run_all`.
    """
    by_row = [sorted(jobs[row::rows], key=lambda job: results.earlier(job.config) is None) for row in range(rows)]
    run_all([row[0] for row in by_row], results, workers=workers, data=data)
    for first, *others in by_row:
        if results.confirms(first.config):
            for job in others:
                results.take_over(job.config, commit())


def _warm_up() -> None:
    """Load torch and run a little, so that the first run of a process is timed like the others."""
    small = {"curvature": {"top": 0, "levels": 0, "grid": 0}, "threads": 1, "device": "cpu"}
    measure(RunConfig(tasks=2, epochs=1, train_limit=40, **small))
