"""What the pruned network weighs as a file, and how long it takes to answer here: dense, sparse, smaller, ONNX."""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from esacl.analysis.scene import Scene, at_cut
from esacl.errors import InputError
from esacl.events import Analysing, ArrayRecorded, Event, Pulse
from esacl.export import onnx_file
from esacl.export.encoding import FORMATS, with_widths
from esacl.export.network import FinalNetwork, about_of
from esacl.export.shrunk import Shrunk, shrunk
from esacl.export.sparse_layers import sparse_twin
from esacl.export.timing import Answer, in_turns
from esacl.mask import Mask
from esacl.networks import Network

BATCHES = (1, 32, 256)
ROUNDS = 40
WARM = 5
DENSE, SPARSE, SHRUNK = "torch, dense", "torch, sparse", "torch, shrunk"
BY_ONNX, SHRUNK_BY_ONNX = "ONNX Runtime, dense", "ONNX Runtime, shrunk"
ENGINES = (DENSE, SPARSE, SHRUNK, BY_ONNX, SHRUNK_BY_ONNX)


def deployment(scene: Scene, run_id: str = "", accuracies: Sequence[float] = ()) -> Iterator[Event]:
    """Bytes of what `esacl export` writes in each format, and seconds of each engine at each batch size.

    Seconds are (engines, batches, rounds), on the CPU whatever the run's device, with the run's number of threads.
    Engines take turns in every round, so that what disturbs the machine disturbs them all, and in another order each
    time. Where ONNX is not installed its bytes and seconds are not recorded, and neither are those of the smaller
    network where no unit can be left out.
    The network is the one at the task's cut; where nothing was cut, the dense one.

    Args:
        scene: the task's.
        run_id: what the files name as their origin.
        accuracies: fraction right on each task learned so far, which the files tell.
    """
    yield Analysing(task=scene.task, stage="deployment", done=0, total=ROUNDS)
    with at_cut(scene.network, scene.mask or Mask({})):
        network = copy.deepcopy(scene.network).cpu().eval().requires_grad_(False)
    inputs = scene.pool.inputs.detach().cpu()
    twin, sparse_layers = sparse_twin(network)
    small = shrunk(network)
    final = _final(scene, network, run_id, accuracies)
    files = _files(final)
    engines = {DENSE: _by_torch(network), SPARSE: _by_torch(twin)}
    smaller: dict[str, bytes] = {}
    if small.left_out:
        engines[SHRUNK], smaller = _by_torch(small.network), _files(with_widths(final, small))
    for name, found in ((BY_ONNX, files), (SHRUNK_BY_ONNX, smaller)):
        if "onnx" in found:
            engines[name] = onnx_file.answering(found["onnx"], scene.config.threads)
    batches = [_batch(inputs, size) for size in BATCHES]
    apart = [float(np.abs(answer(batches[1]) - engines[DENSE](batches[1])).max()) for answer in engines.values()]
    seconds = np.zeros((len(engines), len(BATCHES), ROUNDS))
    for turn in range(-WARM, ROUNDS):
        for column, batch in enumerate(batches):
            took = in_turns(engines, batch, turn)
            if turn >= 0:
                seconds[:, column, turn] = took
        now = Analysing(task=scene.task, stage="deployment", done=max(0, turn), total=ROUNDS)
        yield now if turn % 5 == 0 else Pulse()
    about = {
        "engines": np.array(list(engines)),
        "batches": np.array(BATCHES),
        "apart": np.array(apart),
        "formats": np.array(list(files)),
        "bytes": np.array([len(data) for data in files.values()]),
        "sparse_layers": np.array(sparse_layers, dtype=str),
        "threads": np.array(scene.config.threads),
        **_left_out(small, smaller),
    }
    yield ArrayRecorded(name=f"deployment-t{scene.task}", arrays={**about, "seconds": seconds})


def _final(scene: Scene, network: Network, run_id: str, accuracies: Sequence[float]) -> FinalNetwork:
    """The network as `esacl export` would take it, were this task the last."""
    config = scene.config
    alone = config.method == "packnet" or config.batchnorm.statistics == "task"  # exported by `--task`
    tasks = (scene.task,) if alone else tuple(range(scene.task + 1))
    right = tuple(accuracies[k] if k < len(accuracies) else 0.0 for k in tasks)
    return FinalNetwork(network, tasks, right, (), about_of(config, run_id, scene.stream, tasks, right), scene.stream)


def _files(final: FinalNetwork) -> dict[str, bytes]:
    """What is exported in each format; without ONNX where that cannot be written or executed here."""
    found = {form: FORMATS[form][0](final) for form in ("safetensors", "sparse")}
    with contextlib.suppress(ImportError, InputError):
        import onnxruntime  # noqa: F401 (what executes it)

        found["onnx"] = FORMATS["onnx"][0](final)
    return found


def _left_out(small: Shrunk, files: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    """Bytes in each format and widths of the smaller network; nothing where it is as large as the whole one."""
    if not small.left_out:
        return {}
    return {
        "shrunk_formats": np.array(list(files)),
        "shrunk_sizes": np.array([len(data) for data in files.values()]),
        "shrunk_layers": np.array(list(small.widths)),
        "shrunk_widths": np.array(list(small.widths.values())),
    }


def _batch(inputs: Tensor, size: int) -> np.ndarray:
    """`size` of the inputs, as often as it takes."""
    found: np.ndarray = inputs.repeat(-(-size // len(inputs)), 1, 1, 1)[:size].contiguous().numpy()
    return found


def _by_torch(network: nn.Module) -> Answer:
    @torch.inference_mode()
    def answer(inputs: np.ndarray) -> Any:
        return network(torch.from_numpy(inputs)).numpy()

    return answer
