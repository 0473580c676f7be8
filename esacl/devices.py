"""The device of a run: one name decides, on every machine."""

import torch
from torch import Tensor

from esacl.errors import InputError


def resolve_device(name: str) -> torch.device:
    """The device of a name; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        InputError: this machine has no such device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda:0" if cuda else "mps" if mps else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name!r} is not on this machine, which has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not mps:
        raise InputError("device 'mps' is not on this machine; choose cpu or auto")
    return device


def as_double(values: Tensor) -> Tensor:
    """In float64 where they are, or on the CPU where their device has none (MPS)."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def device_name(device: torch.device) -> str:
    """The device as its vendor calls it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
