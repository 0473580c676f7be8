"""What the pruned network weighs as a file, and how long it takes to answer here: dense, sparse, smaller, ONNX."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from esacl.analysis.scene import Scene, at_cut
from esacl.errors import InputError
from esacl.events import Analysing, ArrayRecorded, Event, Pulse
from esacl.export import onnx_file
from esacl.export.compact import as_compact
from esacl.export.shrunk import Shrunk, shrunk
from esacl.export.sparse_layers import sparse_twin
from esacl.export.tensors import tensors_of
from esacl.export.timing import Answer, in_turns
from esacl.mask import Mask

BATCHES = (1, 32, 256)
ROUNDS = 40
WARM = 5
DENSE, SPARSE, SHRUNK = "torch, dense", "torch, sparse", "torch, shrunk"
BY_ONNX, SHRUNK_BY_ONNX = "ONNX Runtime, dense", "ONNX Runtime, shrunk"
ENGINES = (DENSE, SPARSE, SHRUNK, BY_ONNX, SHRUNK_BY_ONNX)
FORMATS = ("safetensors", "sparse", "onnx")


def deployment(scene: Scene) -> Iterator[Event]:
    """Bytes in each format, and seconds of each engine at each batch size, (engines, batches, rounds).

    On the CPU whatever the run's device, with the run's number of threads. Engines take turns in every round, so that
    what disturbs the machine disturbs them all, and in another order each time. Where ONNX is not installed its bytes
    and seconds are not recorded, and neither are those of the smaller network where no unit can be left out.
    The network is the one at the task's cut; where nothing was cut, the dense one.
    """
    yield Analysing(task=scene.task, stage="deployment", done=0, total=ROUNDS)
    with at_cut(scene.network, scene.mask or Mask({})):
        network = copy.deepcopy(scene.network).cpu().eval().requires_grad_(False)
    inputs = scene.pool.inputs.detach().cpu()
    twin, sparse_layers = sparse_twin(network)
    tensors = tensors_of(network)
    graph = _onnx(network, inputs)
    small = shrunk(network)
    engines = {DENSE: _by_torch(network), SPARSE: _by_torch(twin)}
    if small.left_out:
        engines[SHRUNK] = _by_torch(small.network)
    sizes = dict(zip(FORMATS, (_dense_bytes(tensors), len(as_compact(tensors, {})))))
    if graph is not None:
        engines[BY_ONNX], sizes[FORMATS[2]] = onnx_file.answering(graph, scene.config.threads), len(graph)
    if small.left_out and (smaller := _onnx(small.network, inputs)) is not None:
        engines[SHRUNK_BY_ONNX] = onnx_file.answering(smaller, scene.config.threads)
    batches = [_batch(inputs, size) for size in BATCHES]
    apart = [float(np.abs(answer(batches[1]) - engines[DENSE](batches[1])).max()) for answer in engines.values()]
    seconds = np.zeros((len(engines), len(BATCHES), ROUNDS))
    for turn in range(-WARM, ROUNDS):
        for column, batch in enumerate(batches):
            found = in_turns(engines, batch, turn)
            if turn >= 0:
                seconds[:, column, turn] = found
        now = Analysing(task=scene.task, stage="deployment", done=max(0, turn), total=ROUNDS)
        yield now if turn % 5 == 0 else Pulse()
    about = {
        "engines": np.array(list(engines)),
        "batches": np.array(BATCHES),
        "apart": np.array(apart),
        "formats": np.array(list(sizes)),
        "bytes": np.array(list(sizes.values())),
        "sparse_layers": np.array(sparse_layers, dtype=str),
        "threads": np.array(scene.config.threads),
        **_left_out(small),
    }
    yield ArrayRecorded(name=f"deployment-t{scene.task}", arrays={**about, "seconds": seconds})


def _left_out(small: Shrunk) -> dict[str, np.ndarray]:
    """Bytes and widths of the smaller network; nothing where it is as large as the whole one."""
    if not small.left_out:
        return {}
    return {
        "shrunk_bytes": np.array(_dense_bytes(tensors_of(small.network))),
        "shrunk_layers": np.array(list(small.widths)),
        "shrunk_widths": np.array(list(small.widths.values())),
    }


def _batch(inputs: Tensor, size: int) -> np.ndarray:
    """`size` of the inputs, as often as it takes."""
    found: np.ndarray = inputs.repeat(-(-size // len(inputs)), 1, 1, 1)[:size].contiguous().numpy()
    return found


def _dense_bytes(tensors: dict[str, np.ndarray]) -> int:
    from safetensors.numpy import save  # here: a machine that only computes need not have it

    return len(save(tensors))


def _by_torch(network: nn.Module) -> Answer:
    @torch.inference_mode()
    def answer(inputs: np.ndarray) -> Any:
        return network(torch.from_numpy(inputs)).numpy()

    return answer


def _onnx(network: nn.Module, inputs: Tensor) -> bytes | None:
    try:
        import onnxruntime  # noqa: F401

        return onnx_file.graph(network, tuple(inputs.shape[1:]), {})
    except (ImportError, InputError):
        return None
