"""What the tests of sweeps share: files, the command in a process of its own, and what became of the runs."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import small_worker

from esacl.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
COMMON = '[common]\ntasks = 2\nepochs = 3\ndevice = "cpu"\n'
SMALL = "from esacl.sweep import carry; carry.WORKER = 'small_worker'; "
PATIENCE = 240.0


def spec(folder: Path, text: str, name: str = "some.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def seeds(*seeds: int) -> str:
    return f"seeds = {list(seeds)}\n{COMMON}[grid]\nmethod = ['finetune']\n"


class Command:
    """`esacl sweep` in a process of its own, whose runs are made of numbers unless `first` says otherwise.

    `before` stands in front of the command.
    """

    def __init__(
        self, folder: Path, *arguments: object, first: str = SMALL, before: Sequence[str] = (), **environment: str
    ) -> None:
        self.folder = folder
        words = ["sweep", *map(str, arguments), "--runs", str(folder / "runs")]
        code = f"{first}from esacl import cli; raise SystemExit(cli.main({words!r}))"
        self.process = subprocess.Popen(
            [*before, sys.executable, "-W", "ignore", "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=surroundings(**environment),
        )

    def end(self) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        assert "Traceback" not in err, err
        return self.process.returncode, out, err

    @property
    def store(self) -> RunStore:
        return RunStore(self.folder / "runs")


def surroundings(**environment: str) -> dict[str, str]:
    paths = [str(ROOT), str(Path(small_worker.__file__).parent)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}


def called(folder: Path, *arguments: object, **more: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON, stderr of a whole call."""
    code, out, err = Command(folder, *arguments, "--json", **more).end()
    return code, json.loads(out.splitlines()[-1]) if out else {}, err


def wait_for(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def in_second_task(store: RunStore, count: int) -> list[str]:
    """The runs that have begun their second task, once there are so many; none before."""
    found = [run_id for run_id in store.ids() if _lines(store, run_id, '"event":"TaskStarted"') == 2]
    return found if len(found) >= count else []


def seeds_of(store: RunStore, state: str = "finished") -> dict[int, int]:
    """How many runs there are of each seed; every one must be in `state`."""
    assert {store.status(run_id).state for run_id in store.ids()} <= {state}
    return dict(Counter(store.config(run_id).seed for run_id in store.ids()))


def starts(store: RunStore) -> int:
    """How often a run's process has begun to compute, over all runs."""
    return sum((store.folder(run_id) / "log.txt").read_text().count('{"run":') for run_id in store.ids())


def _lines(store: RunStore, run_id: str, what: str) -> int:
    path = store.folder(run_id) / "events.jsonl"
    return path.read_text().count(what) if path.exists() else 0
