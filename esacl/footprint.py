"""Bytes that training takes, measured: the most a process has held, and what a forward pass keeps."""

import sys

import torch
from torch import Tensor, nn

from esacl.batchnorm import by_batch


def peak_bytes(device: torch.device | str) -> int:
    """The most memory the process has held: allocated on a CUDA device, else resident in main memory."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def activation_bytes(network: nn.Module, inputs: Tensor) -> int:
    """The bytes that a training step's forward pass on `inputs` (b, ...) keeps for its backward pass.

    The parameters are not among them. What is kept twice under two shapes counts once.
    """
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, Tensor] = {}  # holding what is kept saves its addresses from being reused

    def note(saved: Tensor) -> None:
        # Nothing is given back: who asks for no gradient needs nothing, and a saved output that came back as itself
        # would hold its own graph, for ever.
        known = kept.get(saved.data_ptr())
        fresh = saved.untyped_storage().data_ptr() not in parameters
        if fresh and (known is None or known.nbytes < saved.nbytes):
            kept[saved.data_ptr()] = saved.detach()

    step = by_batch(network, len(inputs), moving=False)
    with step, torch.autograd.graph.saved_tensors_hooks(note, lambda nothing: nothing):
        network(inputs)
    return sum(tensor.nbytes for tensor in kept.values())
