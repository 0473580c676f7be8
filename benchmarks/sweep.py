"""What a sweep gains: 24 runs of split-digits by two workers, against one after another.

    python -m benchmarks.sweep

Four methods, two sparsities, three seeds, a thread each. Both times are of the whole command, its start and table
included; nothing else may run meanwhile. With `--kill`, one run's process is killed in the sweep of two workers.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.provenance import ROOT, header, keep, this_command
from esacl.store import RunStore

SWEEP = """\
seeds = [0, 1, 2]

[common]
benchmark = "split-digits"
device = "cpu"
threads = 1
curvature = { top = 0, levels = 0, grid = 0, examples = 64 }

[grid]
method = ["esacl", "ewc", "er", "packnet"]
sparsity = [0.9, 0.95]
"""
RUNS = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the table and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2, help="of the sweep that is compared (default 2)")
    parser.add_argument("--kill", action="store_true", help="kill one run's process in its sweep")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "sweep.md")
    args = parser.parse_args(arguments)
    seconds: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, args.workers):
            store = RunStore(Path(folder) / str(workers))
            seconds[workers] = _swept(store, workers, kill=args.kill and workers > 1)
            _check(store)
    ratio = seconds[1] / seconds[args.workers]
    rows = [f"| {workers} | {RUNS} | {took:.1f} | {seconds[1] / took:.2f} |" for workers, took in seconds.items()]
    table = ["| workers | runs | seconds | times as fast |", "|---|---|---|---|", *rows]
    note = "One run's process was killed in the second sweep." if args.kill else ""
    keep(args.out, [*header("What a sweep gains", note, this_command("benchmarks.sweep")), *table])
    return 0 if ratio >= 1.8 or args.workers < 2 else 1


def _swept(store: RunStore, workers: int, *, kill: bool) -> float:
    """Seconds that the command takes."""
    store.root.mkdir(parents=True)
    file = store.root / "digits24.toml"
    file.write_text(SWEEP, encoding="utf-8")
    command = [sys.executable, "-m", "esacl", "sweep", str(file), "--workers", str(workers), "--runs", str(store.root)]
    begun = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        if kill:
            threading.Thread(target=_kill_one, args=(store,), daemon=True).start()
        code = process.wait()
    if code:
        raise SystemExit(f"error: {' '.join(command)} ended with {code}; its lines above say why")
    return time.monotonic() - begun


def _kill_one(store: RunStore) -> None:
    """Kill the process of the first run that has a checkpoint."""
    while True:
        for run_id in store.ids():
            if any((store.folder(run_id) / "checkpoints").glob("*.safetensors")) and store.status(run_id).live:
                os.kill(int(store.workers.about(run_id)["pid"]), signal.SIGKILL)
                return
        time.sleep(0.05)


def _check(store: RunStore) -> None:
    """Every run is there once, and finished."""
    found = Counter(store.config(run_id).digest for run_id in store.ids())
    states = Counter(store.status(run_id).state for run_id in store.ids())
    if len(found) != RUNS or set(found.values()) != {1} or states != {"finished": RUNS}:
        raise SystemExit(f"error: {len(found)} of {RUNS} runs, {dict(states)}; each must be there once and finished")


if __name__ == "__main__":
    raise SystemExit(main())
