"""Devices: what this machine has is taken, what it has not is one line."""

import pytest
import torch

from esacl.devices import device_name, resolve_device
from esacl.errors import InputError


def machine(monkeypatch, *, cuda: int, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "taken"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda:0"), (1, True, "cuda:0")]
)
def test_auto_takes_the_best(monkeypatch, cuda, mps, taken):
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert str(resolve_device("auto")) == taken
    assert str(resolve_device("cpu")) == "cpu"


@pytest.mark.parametrize(("name", "cuda"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_missing_cuda_device_is_refused(monkeypatch, name, cuda):
    machine(monkeypatch, cuda=cuda, mps=False)
    with pytest.raises(InputError, match=f"device '{name}' is not on this machine, which has {cuda} CUDA"):
        resolve_device(name)


def test_the_last_cuda_device_is_there(monkeypatch):
    machine(monkeypatch, cuda=2, mps=False)
    assert str(resolve_device("cuda:1")) == "cuda:1"


def test_a_missing_mps_is_refused(monkeypatch):
    machine(monkeypatch, cuda=0, mps=False)
    with pytest.raises(InputError, match="device 'mps' is not on this machine; choose cpu or auto"):
        resolve_device("mps")


def test_names():
    assert device_name(torch.device("cpu")) == "CPU"
