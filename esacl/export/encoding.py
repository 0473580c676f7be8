"""A network as the bytes of a file, in one of the formats; what is read back is held against the run."""

import copy
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from esacl.errors import InputError
from esacl.export import onnx_file
from esacl.export.compact import as_compact, read_compact
from esacl.export.network import PIECE, FinalNetwork
from esacl.export.shrunk import Shrunk, shrunk
from esacl.networks import Network

Answer = Callable[[np.ndarray], np.ndarray]
CLOSE = 1e-5  # of the largest logit, at least of 1: what another library may be apart in float32


@dataclass(frozen=True)
class Encoded:
    """A network as the bytes of a file that was read back.

    Attributes:
        form: a key of FORMATS.
        written: the network in the file, which is smaller than the run's where it was shrunk.
        data: the bytes.
        dense_bytes: of the run's network as dense safetensors.
        accuracies: fraction right on each task, by the file.
        apart: largest difference of a logit from the run's network.
        widths: of a network without the units that say nothing: layer -> units (before, after); None of a whole one.
    """

    form: str
    written: FinalNetwork
    data: bytes
    dense_bytes: int
    accuracies: tuple[float, ...]
    apart: float
    widths: dict[str, tuple[int, int]] | None = None

    @property
    def compared(self) -> str:
        """How many times smaller or larger the file is than the dense one, before the name of that."""
        share = len(self.data) / self.dense_bytes
        if f"{max(share, 1 / share):.1f}" == "1.0":
            return "as large as" if share == 1 else "about as large as"
        return f"{share:.1f} times larger than" if share > 1 else f"{1 / share:.1f} times smaller than"

    @property
    def differs(self) -> bool:
        """Whether the file is right on another share of a task than the run recorded."""
        return any(abs(a - b) > 1e-9 for a, b in zip(self.accuracies, self.written.accuracies, strict=True))


def encoded(final: FinalNetwork, form: str, *, shrink: bool = False) -> Encoded:
    """The file of `final`, held against it; with `shrink` that of the smaller network with the same outputs.

    Raises:
        InputError: an unknown format, a library that is missing, a file that does not answer as the network does, or
            nothing to shrink.
    """
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}; choose from {', '.join(FORMATS)}")
    encode, reader = FORMATS[form]
    written, widths = _smaller(final) if shrink else (final, None)
    data = encode(written)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network"
        path.write_bytes(data)
        accuracies, apart = _held(final, reader(written, path))
    return Encoded(form, written, data, len(as_safetensors(final)), accuracies, apart, widths)


def _smaller(final: FinalNetwork) -> tuple[FinalNetwork, dict[str, tuple[int, int]]]:
    found = shrunk(final.network)
    if not found.left_out:
        raise InputError(
            "no unit of this network can be left out, so there is nothing to shrink; leave --shrink out, or prune "
            "whole units: --set pruning.allocation=neuron"
        )
    return with_widths(final, found), found.widths


def with_widths(final: FinalNetwork, found: Shrunk) -> FinalNetwork:
    """The smaller network in place of the whole one, and how wide its layers are."""
    about = final.about | {"widths": {name: after for name, (_, after) in found.widths.items()}}
    return replace(final, network=cast(Network, found.network), about=about)


def as_safetensors(final: FinalNetwork) -> bytes:
    """Every tensor dense, with what is known of the network as the file's metadata."""
    from safetensors.numpy import save  # here: a machine that only computes need not have it

    return save(final.tensors(), metadata={"esacl": json.dumps(final.about)})


def _by_safetensors(final: FinalNetwork, path: Path) -> Answer:
    from safetensors.numpy import load

    return _by_tensors(load(path.read_bytes()), final)


def _as_compact(final: FinalNetwork) -> bytes:
    return as_compact(final.tensors(), final.about)


def _as_onnx(final: FinalNetwork) -> bytes:
    return onnx_file.graph(final.network, final.stream.input_shape, final.about)


def _held(final: FinalNetwork, answer: Answer) -> tuple[tuple[float, ...], float]:
    """Accuracy of each task by what was read back, and how far its logits are from those of the run's network."""
    found, apart, largest, changed = [], [], 1.0, 0
    for _, examples, right in final.judged():
        inputs = examples.inputs.numpy()
        theirs = torch.from_numpy(np.concatenate([answer(inputs[i : i + PIECE]) for i in range(0, len(inputs), PIECE)]))
        ours = final.outputs(examples.inputs)
        off, scale = (theirs - ours).abs().amax(1), ours.abs().amax(1).clamp(min=1)
        apart.append(float(off.max()))
        largest = max(largest, float(scale.max()))
        answers = right.correct(theirs, examples.targets)
        # Where two logits are the same but for rounding, either may win: that is no other answer.
        changed += int(((answers != right.correct(ours, examples.targets)) & (off > CLOSE * scale)).sum())
        found.append(float(answers.double().mean()))
    most = float(np.max(apart))  # NaN where one is
    if not most <= CLOSE * largest:
        raise InputError(f"the file's logits are up to {most:.2g} from the run's own; nothing was written")
    if changed:
        raise InputError(f"the file answers {changed} examples otherwise than the run's network; nothing was written")
    return tuple(found), most


def _by_tensors(tensors: dict[str, Any], final: FinalNetwork) -> Answer:
    """The network with its numbers replaced by those of the file."""
    twin = _twin(final)
    state = twin.state_dict() | {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}
    twin.load_state_dict(state)

    @torch.no_grad()
    def answer(inputs: np.ndarray) -> np.ndarray:
        found: np.ndarray = twin(torch.from_numpy(inputs)).numpy()
        return found

    return answer


def _twin(final: FinalNetwork) -> torch.nn.Module:
    twin = copy.deepcopy(final.network)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.fill_(float("nan"))  # what the file does not bring is noticed
    return twin.eval()


FORMATS: dict[str, tuple[Callable[[FinalNetwork], bytes], Callable[[FinalNetwork, Path], Answer]]] = {
    "safetensors": (as_safetensors, _by_safetensors),
    "sparse": (_as_compact, lambda final, path: _by_tensors(read_compact(path)[1], final)),
    "onnx": (_as_onnx, lambda final, path: onnx_file.answering(path.read_bytes())),
}
"""Name -> (the bytes of the file, what answers by the file)."""
