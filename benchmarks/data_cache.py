"""What reading costs: the first time, every later time, and inside an epoch.

    python -m benchmarks.data_cache --data DIR

CIFAR-10 is decoded into a new cache, and loaded from it; then a small run begins, and what of its first epoch goes into
the task's images, taking batches and cropping them is set against all of it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.provenance import ROOT, header, keep, this_command
from esacl import pipeline, stages, tasks
from esacl.config import RunConfig
from esacl.events import CheckpointReady, Evaluated
from esacl.sections import Curvature
from esacl.tasks import task_stream

RESULT = ROOT / "benchmarks" / "results" / "data_cache.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the report and keep it."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--data", type=Path, required=True, metavar="DIR", help="where cifar-10-batches-py is")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--out", type=Path, default=RESULT, metavar="FILE.md")
    args = options.parse_args(arguments)
    config = RunConfig(benchmark="split-cifar10", protocol="small", augment="crop-flip", train_limit=10_000, threads=1)
    built, loaded = [], []
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as folder:
            new = Path(folder)
            (new / "cifar-10-batches-py").symlink_to((args.data / "cifar-10-batches-py").resolve())
            built.append(_seconds(_read, config, new))
            loaded.append(_seconds(_read, config, new))
    taking, whole = _epoch(config, args.data)
    keep(args.out, [
        *header("What reading CIFAR-10 costs", "", this_command("benchmarks.data_cache")),
        f"- Cache built in {min(built):.1f} to {max(built):.1f} s, loaded in {max(loaded):.3f} s at most, "
        f"n = {args.repeats}.",
        f"- The task's images, batches and crops: {taking:.2f} of {whole:.1f} s of a run's first epoch, "
        f"{taking / whole:.1%}.",
    ])  # fmt: skip
    return 0


def _read(config: RunConfig, data: Path) -> None:
    stream = task_stream(config, data)
    assert len(stream[0].train) == 10_000


def _seconds(what: Callable[[RunConfig, Path], None], config: RunConfig, data: Path) -> float:
    begin = time.perf_counter()
    what(config, data)
    return time.perf_counter() - begin


def _epoch(config: RunConfig, data: Path) -> tuple[float, float]:
    """Seconds of a run's first epoch that go into its data, and of all of it; what is only shown is off."""
    spent: list[float] = []
    settings = config.model_copy(update={"epochs": 1, "curvature": Curvature(top=0, levels=0, grid=0, examples=64)})
    with (
        _timed(pipeline, "stage_of", spent),  # decodes, converts and sends a task to its device
        _timed(tasks.Examples, "take", spent),
        _timed(stages, "crop_and_flip", spent),
    ):
        begin = time.perf_counter()
        for event in pipeline.run(settings, data=data):
            if isinstance(event, Evaluated):  # of the untrained network: the first task comes next
                spent.clear()
                begin = time.perf_counter()
            if isinstance(event, CheckpointReady):
                break
    return sum(spent), time.perf_counter() - begin


@contextmanager
def _timed(owner: Any, name: str, spent: list[float]) -> Iterator[None]:
    """Seconds of each call of `owner.name` in `spent`."""
    plain = getattr(owner, name)

    def timed(*args: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        found = plain(*args, **named)
        spent.append(time.perf_counter() - begin)
        return found

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, plain)


if __name__ == "__main__":
    raise SystemExit(main())
