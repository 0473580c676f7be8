"""What only a GPU can prove; `pytest -m gpu`. The same checks are part of `python -m benchmarks.gpu`."""

import json
import os
import subprocess
import sys

import pytest
import torch

from benchmarks.device_checks import CHECKS
from esacl.devices import resolve_device

pytestmark = pytest.mark.gpu


@pytest.fixture
def device():
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        pytest.skip("this machine has neither a CUDA nor an MPS device")
    return resolve_device("auto")


@pytest.mark.parametrize("name", CHECKS)
def test_the_device_computes_what_the_cpu_does(name, device):
    CHECKS[name](device, quick=True)


def test_the_command_line_finds_the_device_and_measures_its_memory(device, tmp_path):
    command = [sys.executable, "-m", "esacl", "run", "--tasks", "2", "--epochs", "1", "--json", "--runs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CI": "true"}, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["hardware"]["device"].startswith(device.type)
    assert result["status"] == "finished"
    assert result["cost"]["peak_bytes"] > 0
