"""The same runs by several processes together, started once for all of them: forks would inherit torch's threads."""

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from esacl.ranks import Ranks

PATIENCE = 300.0

Work = Callable[..., Any]


def _serve(rank: int, count: int, file: str, pipe: Any) -> None:
    import torch
    import torch.distributed as dist

    from esacl import networks
    from esacl.distributed import Processes

    networks.NETWORKS["resnet18"] = partial(networks.resnet18, width=4)  # as `narrow` has it
    torch.set_num_threads(1)
    group = Processes(Ranks(rank, rank, count, count), dist.FileStore(file, count), "cpu")
    while (asked := pipe.recv()) is not None:
        work, arguments = asked
        try:
            pipe.send((True, work(group, *arguments)))
        except Exception:
            pipe.send((False, traceback.format_exc()))
    dist.destroy_process_group()


@contextmanager
def together(count: int) -> Iterator[Callable[..., list[Any]]]:
    """`ask(work, *arguments)`: what `work(group, *arguments)` gives in each of `count` processes, by rank."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        pipes, processes = [], []
        for rank in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, count, str(Path(folder) / "store"), theirs))
            process.start()
            pipes.append(ours)
            processes.append(process)

        def ask(work: Work, *arguments: Any) -> list[Any]:
            return _asked(pipes, (work, arguments))

        try:
            yield ask
            for pipe in pipes:
                pipe.send(None)
        finally:
            for process in processes:
                process.join(10)
                process.kill()
                process.join()


def _asked(pipes: Sequence[Any], asked: Any) -> list[Any]:
    for pipe in pipes:
        pipe.send(asked)
    found = []
    for pipe in pipes:
        assert pipe.poll(PATIENCE), "a process hangs"
        fine, value = pipe.recv()
        assert fine, value
        found.append(value)
    return found
