"""A network's passes in training as CUDA graphs: a forward pass is one launch, and its backward pass another.

With the small batches of continual learning a GPU waits for the processor: ResNet-18's passes are some six hundred
kernels, each launched by Python. Passes of one shape run through the same kernels on the same memory, so that they can
be recorded once and replayed (Gray 2019, Getting Started with CUDA Graphs; `torch.cuda.make_graphed_callables`). The
kernels are those of an ordinary pass, and weights are read where they lie, so that everything that changes them in
place goes on as before.
"""

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from esacl import batchnorm

PATIENCE = 12
"""Passes of one shape before they are recorded: a task's last batch, or a run of a few steps, is not worth it."""
MOST = 4
"""Recordings at a time; each holds the activations of a batch."""
ROOM = 0.25
"""Of the card's memory is free before a recording, which keeps its own: a run that fits is not to fail for speed."""

WARM_UPS = 3
"""Passes before a recording, in which libraries choose their kernels and take their memory."""

Pass = Callable[[Tensor], Tensor]


class Graphed:
    """`network(inputs)` of training steps; recorded on CUDA, elsewhere what it would be without this class.

    What comes out is overwritten by the next pass of the same shape: use it, and its gradients, within the step.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.recorded: dict[tuple[object, ...], Pass] = {}
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._norms = batchnorm.layers(network)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs (n, c) for inputs (n, ...), with their gradients where gradients are asked for."""
        if inputs.device.type != "cuda" or not torch.is_grad_enabled():
            return cast(Tensor, self.network(inputs))
        key = self._key(inputs)
        if key not in self.recorded:
            self._seen[key] += 1
            if self._seen[key] <= PATIENCE or len(self.recorded) == MOST:
                return cast(Tensor, self.network(inputs))
            self.recorded[key] = self._record(inputs)
        return self.recorded[key](inputs)

    def _key(self, inputs: Tensor) -> tuple[object, ...]:
        """All that decides which kernels run: the shape, and whose statistics BatchNorm takes and moves."""
        moving = all(layer.track_running_stats for layer in self._norms)
        return (tuple(inputs.shape), inputs.dtype, self.network.training, moving)

    def _record(self, inputs: Tensor) -> Pass:
        """A recording; the ordinary pass where the device cannot make one (too little memory, say)."""
        recorded: Pass = self.network
        if not _has_room(inputs.device):
            return recorded
        before = [buffer.clone() for buffer in self.network.buffers()]
        # A recording is made beside the stream that it is replayed on, which torch would warn of in every log.
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
        with contextlib.suppress(RuntimeError):
            made = torch.cuda.make_graphed_callables(_Passes(self.network), (inputs.detach().clone(),))
            recorded = cast(Pass, made)
        for buffer, value in zip(self.network.buffers(), before, strict=True):
            buffer.copy_(value)  # recording runs passes of its own, which are no training steps
        return recorded


class Answers:
    """`function(inputs)` without gradients, recorded in the same way.

    The function is the same one all its life and changes nothing: a network that is no longer trained. What comes out
    is overwritten by the next answer of the same shape.
    """

    def __init__(self, function: Pass) -> None:
        self.function = function
        self.recorded: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, Tensor, Tensor] | None] = {}
        self._seen: Counter[tuple[int, ...]] = Counter()

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        """What the function says (n, c) of inputs (n, ...)."""
        if inputs.device.type != "cuda":
            return self.function(inputs)
        shape = tuple(inputs.shape)
        if shape not in self.recorded:
            self._seen[shape] += 1
            if self._seen[shape] <= PATIENCE or len(self.recorded) == MOST:
                return self.function(inputs)
            self.recorded[shape] = self._record(inputs)
        recorded = self.recorded[shape]
        if recorded is None:
            return self.function(inputs)
        graph, asked, answers = recorded
        asked.copy_(inputs)
        graph.replay()
        return answers

    def _record(self, inputs: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor] | None:
        if not _has_room(inputs.device):
            return None
        with contextlib.suppress(RuntimeError):
            asked, graph = inputs.clone(), torch.cuda.CUDAGraph()
            aside = torch.cuda.Stream(inputs.device)
            aside.wait_stream(torch.cuda.current_stream(inputs.device))
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    self.function(asked)
            torch.cuda.current_stream(inputs.device).wait_stream(aside)
            with torch.cuda.graph(graph):
                answers = self.function(asked)
            return graph, asked, answers
        return None


def _has_room(device: torch.device) -> bool:
    free, total = torch.cuda.mem_get_info(device)
    return free >= ROOM * total


class _Passes(nn.Module):
    """A network's passes of one shape: recording replaces the `forward` of what it is given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # of its own; the network's modes are as they are

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        return cast(Tensor, self.network(inputs))
