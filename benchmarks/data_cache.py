"""What reading costs: the first time, every later time, and inside an epoch.

    python -m benchmarks.data_cache --data DIR

CIFAR-10 is decoded into a new cache, and loaded from it; then one epoch of a small run is trained, and what goes into
taking batches and cropping them is set against all of it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.provenance import ROOT, header, this_command
from esacl import tasks
from esacl.config import RunConfig
from esacl.seeds import torch_generator
from esacl.stages import stage_of
from esacl.tasks import task_stream

CPU = torch.device("cpu")
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
    lines = [
        *header("What reading CIFAR-10 costs", "", this_command("benchmarks.data_cache")),
        f"- Cache built in {min(built):.1f} to {max(built):.1f} s, loaded in {max(loaded):.3f} s at most, "
        f"n = {args.repeats}.",
        f"- Batches and crops: {taking:.2f} of {whole:.1f} s of an epoch of one task, {taking / whole:.1%}.",
    ]
    text = "\n".join(lines) + "\n"
    args.out.write_text(text, encoding="utf-8")
    print(text)
    return 0


def _read(config: RunConfig, data: Path) -> None:
    stream = task_stream(config, data)
    assert len(stream[0].train) == 10_000


def _seconds(what: Callable[[RunConfig, Path], None], config: RunConfig, data: Path) -> float:
    begin = time.perf_counter()
    what(config, data)
    return time.perf_counter() - begin


def _epoch(config: RunConfig, data: Path) -> tuple[float, float]:
    """Seconds that go into batches, and of the whole epoch by a network that does nothing else."""
    from esacl import networks

    torch.set_num_threads(1)
    stream = tasks.task_stream(config, data)
    network = networks.placed(networks.build(config, stream), config, CPU)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    stage = stage_of(config, stream, 0, CPU, joint=False)
    order = torch.randperm(len(stage.examples), generator=torch_generator(0, "batches"))
    taking, begin = 0.0, time.perf_counter()
    for number, rows in enumerate(order.split(config.batch_size)):
        since = time.perf_counter()
        batch = stage.examples.take(rows)
        assert stage.augment is not None
        inputs = stage.augment(batch.inputs, torch_generator(0, "step", number))
        taking += time.perf_counter() - since
        optimiser.zero_grad()
        stage.criterion(network(inputs), batch.targets).backward()
        optimiser.step()
    return taking, time.perf_counter() - begin


if __name__ == "__main__":
    raise SystemExit(main())
