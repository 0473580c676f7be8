"""Recorded passes; what only CUDA can prove is `recordings` in benchmarks/device_checks.py (`pytest -m gpu`)."""

import pytest
import torch

from esacl import graphed, networks
from esacl.batchnorm import by_batch
from esacl.config import RunConfig
from esacl.group import Group
from esacl.pipeline import learner_of
from esacl.tasks import task_stream

CONFIG = RunConfig(network="resnet18", tasks=2, device="cpu")


@pytest.fixture
def network():
    return networks.build(CONFIG, task_stream(CONFIG))


def test_without_cuda_a_pass_is_an_ordinary_pass(network):
    inputs = torch.rand(4, 1, 8, 8)
    forward, answers = graphed.Graphed(network), graphed.Answers(network)
    for _ in range(graphed.PATIENCE + 2):
        assert torch.equal(forward(inputs), network(inputs))
        assert torch.equal(answers(inputs), network(inputs))
    assert forward(inputs).requires_grad
    assert not answers(inputs).requires_grad
    assert not forward.recorded
    assert not answers.recorded


def test_what_decides_which_kernels_run_is_told_apart(network):
    forward, inputs = graphed.Graphed(network), torch.rand(4, 1, 8, 8)
    keys = [forward._key(inputs), forward._key(inputs[:2]), forward._key(inputs.double())]
    for moving in (True, False):
        with by_batch(network, len(inputs), moving=moving):
            keys.append(forward._key(inputs))
    assert len(set(keys)) == 5


def test_a_run_of_one_process_records_and_one_of_several_does_not(network):
    stream = task_stream(CONFIG)
    alone = learner_of(CONFIG, stream, network, torch.device("cpu"))
    assert isinstance(alone.forward, graphed.Graphed)
    assert alone.forward.network is network

    class Several(Group):
        """As `distributed.Processes`, which sums up inside a pass."""

    assert learner_of(CONFIG, stream, network, torch.device("cpu"), Several()).forward is network
