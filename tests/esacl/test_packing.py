"""PackNet: what a task owns never moves again, and a task is judged on what it could use."""

from itertools import pairwise

import pytest
import torch
from tiny_runs import events_of, of_kind, tiny

from esacl import networks
from esacl.events import CheckpointReady, CostCounted, Evaluated, Stepped
from esacl.stages import stage_of
from esacl.tasks import task_stream

SETTINGS = {"method": "packnet", "tasks": 3, "epochs": 3, "sparsity": 0.7}


def ends(config):
    return [e.tensors for e in of_kind(events_of(config), CheckpointReady) if e.epoch == 0]


def test_owned_weights_and_what_cannot_be_pruned_never_move_again():
    found = ends(tiny(SETTINGS))
    owners = [{n.removeprefix("between/owner/"): t for n, t in e.items() if n.startswith("between/")} for e in found]
    for before, after, owner in zip(found, found[1:], owners):
        for name, numbers in owner.items():
            assert (before[f"network/{name}"] == after[f"network/{name}"])[numbers > 0].all()
        assert (before["network/body.hidden1.bias"] == after["network/body.hidden1.bias"]).all()
    total = sum(n.size for n in owners[-1].values())
    for task in (1, 2, 3):
        share = sum(int((n == task).sum()) for n in owners[-1].values()) / total
        assert abs(share - 0.1) < 1e-3
        for later in owners[task:]:
            assert all(((owners[task - 1][name] == task) == (later[name] == task)).all() for name in later)


def test_each_task_is_judged_on_the_weights_it_could_use():
    config = tiny(SETTINGS)
    events = events_of(config)
    stream = task_stream(config)
    last = [e for e in of_kind(events, CheckpointReady) if e.epoch == 0][-1].tensors
    network = networks.build(config, stream)
    for task in range(3):
        with torch.no_grad():
            for name, p in network.named_parameters():
                p.copy_(torch.from_numpy(last[f"network/{name}"]))
                owner = last.get(f"between/owner/{name}")
                if owner is not None:
                    p.mul_(torch.from_numpy((owner > 0) & (owner <= task + 1)))
            examples = stream[task].evaluation
            loss = stage_of(config, stream, task, torch.device("cpu"), joint=False).criterion
            right = float(loss.correct(network(examples.inputs), examples.targets).double().mean())
        told = {e.on: e.accuracy for e in of_kind(events, Evaluated) if e.after == 2}
        at_once = next(e.accuracy for e in of_kind(events, Evaluated) if (e.after, e.on) == (task, task))
        assert told[task] == right == at_once  # nothing is forgotten


def test_all_free_weights_are_trained_before_the_choice_and_only_the_chosen_after():
    inside = [e.tensors for e in of_kind(events_of(tiny(SETTINGS)), CheckpointReady) if e.epoch > 0]
    name = "body.hidden2.weight"
    first, second = inside[0][f"network/{name}"], inside[1][f"network/{name}"]
    assert (first != 0).mean() > 0.99  # the choice comes after two thirds of three epochs
    assert abs((second != 0).mean()) > 0.99
    assert abs(inside[2][f"network/{name}"] != 0).mean() < 0.3


def test_the_bill_knows_what_is_frozen():
    costs = of_kind(events_of(tiny(SETTINGS)), CostCounted)
    spent = [b.train_flops - a.train_flops for a, b in pairwise(costs)]
    dense = [b.train_flops_dense_sgd - a.train_flops_dense_sgd for a, b in pairwise(costs)]
    assert spent[1] < spent[0] < dense[0]
    assert costs[-1].masks_bytes == -(-2 * (64 * 100 + 100 * 100) // 8)  # two bits tell three tasks and none apart


@pytest.mark.parametrize(("epochs", "limit", "retrain"), [(1, 16, 0.34), (3, 16, 0.1), (2, 32, 0.05)])
def test_a_task_of_few_steps_owns_its_part_all_the_same(epochs, limit, retrain):
    found = ends(tiny({**SETTINGS, "epochs": epochs, "train_limit": limit, "packnet.retrain": retrain}))
    owner = [t for name, t in found[-1].items() if name.startswith("between/owner/")]
    share = sum(int((n > 0).sum()) for n in owner) / sum(n.size for n in owner)
    assert share == pytest.approx(0.3, abs=1e-3)


def test_what_the_cut_would_take_is_known_before_it_comes():
    shares = [e.doomed_share for e in of_kind(events_of(tiny(SETTINGS)), Stepped)]
    assert 0 < shares[0] < 1
