"""One run by several processes: the arithmetic of the parts, and the same result as by one process."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import STATEFUL, distinct, held, label, of_kind, tiny
from torch import nn
from two_processes import together

from esacl.distributed import device_of, part_of
from esacl.errors import InputError
from esacl.events import CheckpointReady, CostCounted, Evaluated
from esacl.group import Group
from esacl.pipeline import run
from esacl.ranks import Ranks

# By how much parts of a batch may differ from the whole in float32, over the largest number of a tensor. BatchNorm over
# few numbers makes chaos of it at a high rate: one unit in the last place of the first weights does that to one.
CLOSE = 1e-5
WHOLE = (
    {"method": "finetune", "batch_size": 7},
    {"sdp.form": "admm"},
    {"sdp.form": "progressive"},
    {"method": "derpp", "scenario": "class", "batch_size": 47},
    {"network": "small-cnn", "sdp.form": "segment", "buffer.size": 20, "ids.train_fraction": 0.5},
    {"method": "sparcl", "sparcl.base": "co2l"},
    {"method": "ewc", "anchor.distillation": 1.0, "augment": "crop-flip"},
    {"method": "finetune", "network": "resnet18", "lr": 1e-4, "sparsity": 0.8, "batchnorm.refresh": True},
    {"network": "resnet18", "lr": 1e-3, "sdp.form": "segment"},
)


@pytest.mark.parametrize(("n", "count"), [(0, 2), (1, 2), (2, 2), (7, 3), (64, 3), (5, 8)])
def test_the_parts_are_even_and_in_order_and_make_up_the_whole(n, count):
    parts = [part_of(n, rank, count) for rank in range(count)]
    assert [row for begin, end in parts for row in range(begin, end)] == list(range(n))
    sizes = [end - begin for begin, end in parts]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("device", "cuda", "wanted"),
    [
        ("cpu", 4, "cpu"), ("auto", 0, "cpu"), ("auto", 2, "cuda:1"), ("cuda", 4, "cuda:1"),
        ("auto", 1, "2 processes on a machine with 1 CUDA devices; start 1, or choose device cpu"),
        ("cuda", 0, "2 processes on a machine with 0 CUDA devices; start none, or choose device cpu"),
        ("cuda:1", 2, "device 'cuda:1' is one and there are 2 processes; choose auto, cpu or cuda"),
        ("mps", 0, "device 'mps' is one and there are 2 processes; choose auto, cpu or cuda"),
    ],
)  # fmt: skip
def test_every_process_has_a_device_of_its_own_or_the_cpu(device, cuda, wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    ranks = Ranks(rank=1, local_rank=1, count=2, local_count=2)
    if ";" in wanted:
        with pytest.raises(InputError) as error:
            device_of(device, ranks)
        assert str(error.value) == wanted
    else:
        assert device_of(device, ranks) == torch.device(wanted)


def outcome(group: Group, settings: dict[str, Any], state: CheckpointReady | None = None) -> dict[str, Any]:
    """What a run comes to: its last state, what it was judged by, its bill; and a state to go on from."""
    events = [held(event) for event in run(tiny(settings), state, group=group)]
    states = of_kind(events, CheckpointReady)
    return {
        "tensors": dict(states[-1].tensors),
        "middle": next((s for s in states if (s.task, s.epoch) == (1, 1)), None),
        "accuracy": [(e.after, e.on, e.accuracy, e.accuracy_task) for e in of_kind(events, Evaluated)],
        "cost": [vars(e) for e in of_kind(events, CostCounted)],
    }


def told(group: Any, state: CheckpointReady | None) -> CheckpointReady | None:
    found = group.tell(state if group._ranks.rank == 0 else None)
    return found and held(found)


def normalised(group: Group, n: int) -> list[np.ndarray]:
    """Outputs, gradients and statistics of a small network with BatchNorm after two steps, in double precision."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()]
    network = nn.Sequential(*layers).double()
    inputs, weights = torch.randn(n, 2, 6, 6).double(), torch.randn(n, 16).double()
    group.norms(network)
    network.train()
    for _ in range(2):
        network.zero_grad()
        outputs = group.spread(network, inputs)
        (outputs.tanh() * weights).square().mean().backward()
        group.add_up(network.parameters())
    found = [outputs.detach(), *(p.grad for p in network.parameters()), *network.buffers()]
    group.norms(network)
    return [one.numpy().copy() for one in [*found, network.eval()(inputs).detach()]]


@pytest.fixture(scope="module")
def pair():
    with together(2) as ask:
        yield ask


@pytest.mark.processes
class TestTwo:
    @pytest.mark.parametrize(
        "settings",
        [*WHOLE, *(pytest.param(v, marks=pytest.mark.slow) for v in distinct(STATEFUL, beside=list(WHOLE)))],
        ids=label,
    )
    def test_a_run_is_that_of_one_process(self, settings, pair, monkeypatch):
        from esacl import networks

        monkeypatch.setitem(networks.NETWORKS, "resnet18", partial(networks.resnet18, width=4))
        one, (first, second) = outcome(Group(), settings), pair(outcome, settings)
        assert first["accuracy"] == second["accuracy"] == one["accuracy"]
        assert first["cost"] == second["cost"] == one["cost"]
        assert first["tensors"].keys() == second["tensors"].keys() == one["tensors"].keys()
        for name, wanted in one["tensors"].items():
            found = first["tensors"][name]
            np.testing.assert_array_equal(found, second["tensors"][name], err_msg=f"{name}: the processes part")
            largest = np.abs(wanted).max(initial=0)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=CLOSE * largest, err_msg=name)

    @pytest.mark.parametrize("settings", [{}, {"method": "derpp"}], ids=label)
    def test_it_goes_on_from_the_state_that_the_first_process_has(self, settings, pair):
        whole = pair(outcome, settings)[0]
        states = pair(told, whole["middle"])
        assert states[1].counters == states[0].counters == whole["middle"].counters
        for name, wanted in whole["middle"].tensors.items():
            np.testing.assert_array_equal(states[1].tensors[name], wanted)
        again = pair(outcome, settings, states[1])[0]
        for name, wanted in whole["tensors"].items():
            np.testing.assert_array_equal(again["tensors"][name], wanted)
        assert pair(told, None) == [None, None]

    @pytest.mark.parametrize("n", [2, 3, 8])
    def test_batchnorm_is_by_the_batch_of_all(self, n, pair):
        close_to_one(normalised(Group(), n), pair(normalised, n))


@pytest.mark.processes
def test_of_three_one_may_have_no_example_of_a_batch():
    with together(3) as ask:
        close_to_one(normalised(Group(), 2), ask(normalised, 2))
        settings = {"method": "derpp", "batch_size": 23}  # 48 = 23 + 23 + 2
        one, several = outcome(Group(), settings), ask(outcome, settings)
        for name, wanted in one["tensors"].items():
            np.testing.assert_allclose(
                several[2]["tensors"][name], wanted, rtol=0, atol=CLOSE * np.abs(wanted).max(initial=0), err_msg=name
            )


def close_to_one(one: list[np.ndarray], several: list[list[np.ndarray]]) -> None:
    for found in several:
        for a, b in zip(found, one, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * max(1, np.abs(b).max()))
