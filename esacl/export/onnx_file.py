"""ONNX: the network as a graph that other runtimes execute. Needs the extra `export`."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from esacl.errors import InputError

INPUT, OUTPUT = "inputs", "logits"
_EXTRA = "pip install 'esacl[export]' brings it"


def graph(network: nn.Module, shape: tuple[int, ...], about: Mapping[str, Any]) -> bytes:
    """The graph, float32: `inputs` (batch, *shape) -> `logits` (batch, outputs).

    Raises:
        InputError: `onnx` or `onnxscript` is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 (the exporter needs it, and would say so in other words)
    except ImportError as error:
        raise InputError(f"ONNX needs {error.name}, which is not installed; {_EXTRA}") from None
    sample = torch.zeros(2, *shape)
    with _quiet():
        program = torch.onnx.export(
            network,
            (sample,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"inputs": {0: torch.export.Dim("batch", min=1)}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _told(model, about)
    onnx.checker.check_model(model, full_check=True)
    file = io.BytesIO()
    onnx.save_model(model, file)
    return file.getvalue()


def answering(data: bytes, threads: int = 1) -> Any:
    """(n, c, h, w) float32 -> logits (n, outputs), by ONNX Runtime on the CPU.

    Raises:
        InputError: `onnxruntime` is not installed, or it refuses the file.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise InputError(f"ONNX is checked by {error.name}, which is not installed; {_EXTRA}") from None
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, which it does not publish
        raise InputError(f"ONNX Runtime refuses the file ({_brief(error)}); use another format") from None

    def answer(inputs: np.ndarray) -> np.ndarray:
        found: np.ndarray = session.run([OUTPUT], {INPUT: np.ascontiguousarray(inputs)})[0]
        return found

    return answer


def _told(model: Any, about: Mapping[str, Any]) -> None:
    entry = model.metadata_props.add()
    entry.key, entry.value = "esacl", json.dumps(dict(about))
    model.producer_name = "esacl"


def _brief(error: Exception) -> str:
    return " ".join(f"{error}".split())[:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither log nor warnings of the exporter, which are about itself, for the length of a block."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
