"""SparCL over Co2L: what is learned, what stays at zero, what is paid for and what is refused."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny_runs import events_of, of_kind, tiny

from esacl import probe
from esacl.config import RunConfig
from esacl.cost import Ledger
from esacl.criterion import criterion
from esacl.errors import InputError
from esacl.events import CheckpointReady, CostCounted, Evaluated, Pruned, TaskFinished
from esacl.flops import LayerFlops
from esacl.seeds import torch_generator

CO2L = {"method": "sparcl", "sparcl.base": "co2l"}
PROJECTION = ("projection.hidden.weight", "projection.out.weight")


def between(events):
    """The checkpoints between tasks."""
    return [e for e in of_kind(events, CheckpointReady) if e.epoch == 0]


@pytest.mark.parametrize(("scenario", "least"), [("task", 0.9), ("class", 0.6)])
def test_it_learns_three_tasks_and_keeps_them(scenario, least):
    # class-IL: chance is 1/6, and what forgets all but the last task has 1/3
    settings = {"tasks": 3, "epochs": 10, "train_limit": 200, "scenario": scenario, "buffer.size": 100}
    events = events_of(tiny(CO2L | settings))
    last = [e for e in of_kind(events, Evaluated) if e.after == 2]
    assert sum(e.accuracy for e in last) / 3 > least
    if scenario == "class":
        assert sum(e.accuracy_task for e in last) / 3 > 0.9
    assert all(e.dense_accuracy == e.pruned_accuracy for e in of_kind(events, Pruned))  # the mask was there already


@pytest.mark.parametrize("scenario", ["task", "class", "domain"])
def test_the_mask_is_obeyed_after_every_task_and_spares_both_heads(scenario):
    events = events_of(tiny(CO2L | {"sparsity": 0.8, "scenario": scenario, "epochs": 10}))
    assert len(between(events)) == 2
    for state in between(events):
        cut = {n.removeprefix("cut/"): t for n, t in state.tensors.items() if n.startswith("cut/")}
        assert set(cut) == {"body.hidden1.weight", "body.hidden2.weight"}
        entries = np.concatenate([mask.ravel() for mask in cut.values()])
        assert entries.mean() == pytest.approx(0.2, abs=1e-3)
        for name, mask in cut.items():
            assert not state.tensors[f"network/{name}"][mask == 0].any()
        assert state.tensors["network/head.weight"].all()
        assert state.tensors["contrast/own/hidden.weight"].all()
    assert all(0.8 <= 1 - e.density < 0.85 for e in of_kind(events, TaskFinished))


def test_the_head_rests_while_features_are_learned_and_features_while_the_head_is():
    states = of_kind(events_of(tiny(CO2L)), CheckpointReady)
    last_epoch, after = next((a, b) for a, b in pairwise(states) if a.task == 0 and b.epoch == 0)
    first_epoch = states[0]
    assert np.array_equal(first_epoch.tensors["network/head.weight"], last_epoch.tensors["network/head.weight"])
    assert not np.array_equal(after.tensors["network/head.weight"], last_epoch.tensors["network/head.weight"])
    for name in ("body.hidden1.weight", "body.hidden2.bias"):
        assert not np.array_equal(first_epoch.tensors[f"network/{name}"], last_epoch.tensors[f"network/{name}"])
        assert np.array_equal(after.tensors[f"network/{name}"], last_epoch.tensors[f"network/{name}"])


def test_the_teacher_is_the_network_of_the_last_task_and_does_not_move():
    states = of_kind(events_of(tiny(CO2L)), CheckpointReady)
    past = between(states)[0].tensors
    for state in states:
        held = {n for n in state.tensors if n.startswith("contrast/teacher/")}
        assert bool(held) == (state.task == 1 and state.epoch > 0)
        for name in ("hidden1", "hidden2") if held else ():
            found = state.tensors[f"contrast/teacher/0.{name}.weight"]
            assert np.array_equal(found, past[f"network/body.{name}.weight"])
        if held:
            own = past["contrast/own/out.weight"]
            assert np.array_equal(state.tensors["contrast/teacher/1.out.weight"], own)
            assert not np.array_equal(state.tensors["contrast/own/out.weight"], own)


def test_old_private_heads_are_learned_again_from_the_buffer():
    states = between(events_of(tiny(CO2L)))
    before, after = (s.tensors["network/head.weight"] for s in states)
    assert not np.allclose(before[:2], after[:2])


# -- costs


def test_every_forward_pass_is_on_the_bill():
    """One step a task, dense: by hand to the last operation."""
    config = tiny(CO2L | {"sparsity": 0.0, "sparcl.removal": 0.0, "epochs": 1, "train_limit": 16, "buffer.size": 16})
    first, second = of_kind(events_of(config), CostCounted)
    body, head = (2 * 64 * 100, 2 * 100 * 100), 2 * 100 * 4
    projection = 2 * 100 * 100 + 2 * 100 * 128
    forward = sum(body) + projection
    backward = sum(body) + body[1] + 2 * projection  # the data needs no gradient
    assert first.fresh_forward_flops == 2 * 16 * forward
    assert first.fresh_backward_flops == 2 * 16 * backward
    assert first.replay_flops == 0
    classifier = probe.EPOCHS * 16 * 2 * head
    similarities = 2 * 32 * 32 * 128  # of two views of 16 images; the gradient takes twice as many, neighbours as many
    assert first.other_flops == 16 * sum(body) + classifier + 4 * similarities
    assert second.fresh_forward_flops == 2 * first.fresh_forward_flops
    assert second.replay_flops == 2 * 16 * (forward + backward)
    teacher = 2 * 32 * forward
    assert second.other_flops - first.other_flops == (
        teacher + 32 * sum(body) + 2 * classifier + 8 * 4 * similarities
    )
    assert second.train_flops_dense_sgd == 2 * first.train_flops_dense_sgd


def test_the_bill_sums_where_layers_are_sparse():
    events = events_of(tiny(CO2L))
    for counted in of_kind(events, CostCounted):
        items = [getattr(counted, f"{item}_flops") for item in Ledger({}).bill]
        assert counted.train_flops == math.fsum(items)
        assert math.fsum(counted.layer_flops) == pytest.approx(counted.train_flops, rel=1e-12)
        assert set(PROJECTION) < set(counted.layer_names)
    first, second = of_kind(events, CostCounted)
    numbers = 100 * 100 + 100 + 100 * 128 + 128 + 64 * 100 + 100 * 100 + 200 + 4 * 100 + 4
    # The momentum, the projection's among it; of the prunable weights a moment and two masks, and the period.
    assert first.optimiser_bytes == 4 * numbers + (4 + 2) * (64 * 100 + 100 * 100) + 8
    assert first.anchors_bytes == 0
    assert 4 * 22_928 < second.anchors_bytes < 4 * 28_000  # the frozen network, a tenth of its body


def test_a_layer_beside_the_network_costs_where_it_is_named():
    ledger = Ledger({"a": LayerFlops(10, 0, 10)})
    ledger.beside({"b": LayerFlops(3, 3, 3)})
    ledger.step(1)
    ledger.dense_step(1)
    ledger.analysis(forward_examples=1)
    assert (ledger.train_flops, ledger.train_flops_dense_sgd, ledger.analysis_flops) == (20, 20, 10)
    ledger.forward(1, {"b": 1.0, "a": 0.5})
    ledger.layer("b", 2)
    assert ledger.train_flops == 20 + 8 + 12
    assert ledger.by_layer == {"a": 25, "b": 15}


# -- the classifier


def test_the_classifier_separates_whatever_the_scale_and_however_few_a_class_has():
    generator = torch_generator(0, "clouds")
    targets = torch.tensor([0] * 200 + [1] * 6)
    clouds = torch.randn(206, 5, generator=generator) + 4 * torch.eye(5)[targets]
    for scale in (0.01, 1.0, 100.0):
        head = torch.nn.Linear(5, 3)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        loss = criterion("task", [(0, 1), (2,)], 3, torch.device("cpu"))
        probe.fit(head, scale * clouds, targets, loss, torch_generator(0, "fit"))
        hits = loss.correct(head(scale * clouds), targets)
        assert float(hits[:200].float().mean()) > 0.95
        assert bool(hits[200:].all())
        assert not head.weight[2].any()  # nobody's row
        assert head.weight.grad is None


# -- refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ids": {"train_fraction": 0.5}}, r"ids\.train_fraction: 0\.5 will not do: Co2L"),
        ({"scenario": "class", "mask_logits": True}, "mask_logits: true will not do: Co2L"),
        ({"scenario": "class", "balance_logits": 1.0}, "balance_logits: 1.0 will not do: Co2L"),
        ({"augment": "crop-flip"}, "augment: 'crop-flip' will not do: Co2L"),
        ({"benchmark": "permuted-mnist"}, r"sparcl\.base: 'co2l' will not do on 'permuted-mnist'"),
        ({"buffer": {"size": 0}}, r"buffer\.size: 0 will not do"),
        ({"network": "resnet18", "batchnorm": {"statistics": "task"}}, "batchnorm: .* will not do: the classifier"),
        ({"network": "resnet18", "batchnorm": {"refresh": True}}, "batchnorm: .* will not do: the classifier"),
    ],
)
def test_what_co2l_cannot_do_is_refused_in_one_line(fields, message):
    with pytest.raises(InputError, match=message) as refused:
        RunConfig(method="sparcl", sparcl={"base": "co2l", "removal": 0.0}, **fields)
    assert "\n" not in str(refused.value)


def test_its_settings_are_resolved_under_every_protocol():
    for protocol in ("small", "der"):
        config = RunConfig(
            benchmark="split-cifar10", protocol=protocol, scenario="class", method="sparcl", sparcl={"base": "co2l"}
        )
        assert (config.mask_logits, config.augment, config.buffer.size) == (False, "none", 500)
        assert RunConfig.from_dict(config.to_dict()) == config
