"""Measuring leaves no trace."""

import pytest
import torch
from looked_run import LOOK
from tiny_runs import events_of, of_kind, tiny
from torch import nn

from esacl import analysis, networks, run
from esacl.analysis.scene import at_cut
from esacl.cost import Ledger
from esacl.events import ArrayRecorded, CheckpointReady
from esacl.mask import Mask
from esacl.methods import METHODS
from esacl.pruning import keep_top
from esacl.stages import stage_of
from esacl.tasks import task_stream

CPU = torch.device("cpu")
ON = LOOK | {"curvature.top": 1, "curvature.levels": 2, "curvature.grid": 3, "epochs": 1}
BRIEF = ON | {"curvature.top": 0}
OFF = BRIEF | {"curvature.levels": 0, "curvature.grid": 0}


@pytest.mark.parametrize(
    ("on", "settings"), [(BRIEF, {"method": name}) for name in METHODS] + [(ON, {"scenario": "class"})]
)
def test_measuring_changes_no_weight(on, settings):
    on, off = (of_kind(events_of(tiny(more | settings)), CheckpointReady) for more in (on, OFF))
    for one, other in zip(on, off, strict=True):
        assert one.tensors.keys() == other.tensors.keys()
        assert all((one.tensors[name] == other.tensors[name]).all() for name in one.tensors)


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
def test_weights_and_gradients_are_bit_identical_at_every_event(sparsity):
    config = tiny(ON, sparsity=sparsity)
    stream = task_stream(config)
    network = networks.build(config, stream)
    names = networks.prunable_names(network, "task")
    for p in network.parameters():
        p.grad = torch.rand_like(p)
    before = [(p.detach().clone(), p.grad.clone()) for p in network.parameters()]
    stage = stage_of(config, stream, 0, CPU, joint=False)
    sizes = {name: p.detach().abs() for name, p in network.named_parameters() if name in names}
    mask = keep_top(sizes, sparsity) if sparsity else None
    scene = analysis.scene(
        config, 0, network=network, criterion=stage.criterion, ledger=Ledger({}), saliency=sizes, curvature=sizes,
        mask=mask, train=stage.examples, stream=stream,
    )  # fmt: skip
    seen = 0
    for _ in analysis.measure(scene):
        seen += 1
        for p, (weight, gradient) in zip(network.parameters(), before, strict=True):
            assert p.equal(weight)
            assert p.grad.equal(gradient)
    assert seen > 15


def test_the_network_is_put_back_even_when_a_measurement_fails():
    network = nn.Linear(3, 2)
    before = network.weight.detach().clone()

    def measure() -> None:
        with at_cut(network, Mask({"weight": torch.zeros(2, 3, dtype=torch.bool)})):
            assert not network.weight.any()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure()
    assert network.weight.equal(before)


def test_an_array_that_was_recorded_does_not_change_with_the_network():
    recorded = of_kind(list(run(tiny(OFF))), ArrayRecorded)
    assert {event.name for event in recorded} >= {"weights-t0", "weights-t1"}
    for event in recorded:
        assert ArrayRecorded(name=event.name, arrays=event.arrays) == event
