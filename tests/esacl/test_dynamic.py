"""SparCL: the mask keeps its size and moves, gradients reach a part of it, easy examples leave."""

from itertools import pairwise

import pytest
import torch
from tiny_runs import events_of, of_kind, tiny

from esacl.dynamic import TaskAwareDynamic
from esacl.events import CheckpointReady, CostCounted, Stepped
from esacl.mask import Mask
from esacl.ranking import Ranking
from esacl.removal import Removal
from esacl.schedule import Schedule

SETTINGS = {"method": "sparcl", "epochs": 10, "sparsity": 0.8}


def masks(tensors, group="mask"):
    start = f"form/{group}/"
    return {n.removeprefix(start): torch.from_numpy(t) for n, t in tensors.items() if n.startswith(start)}


def test_the_mask_is_sparse_from_the_first_step_and_keeps_its_size():
    events = events_of(tiny(SETTINGS))
    for state in (e for e in of_kind(events, CheckpointReady) if e.epoch > 0):
        found = masks(state.tensors)
        kept, total = (sum(int(getattr(m, what)()) for m in found.values()) for what in ("sum", "numel"))
        wide = state.task == 1 and state.epoch == 1
        assert abs(kept / total - (0.21 if wide else 0.2)) < 1e-3
        for name, mask in found.items():
            assert not state.tensors[f"network/{name}"][~mask.numpy()].any()


def test_it_moves_until_it_settles():
    events = of_kind(events_of(tiny(SETTINGS)), CheckpointReady)
    first = [masks(e.tensors)["body.hidden2.weight"] for e in events if e.task == 0 and e.epoch > 0]
    changes = [int((a ^ b).sum()) for a, b in pairwise(first)]
    assert all(change > 0 for change in changes[:7])
    assert changes[8:] == [0]


@pytest.mark.parametrize(("sparsity", "most"), [(0.8, 10), (0.99, 5)])
def test_a_renewal_removes_the_least_a_hundredth_of_all_weights_and_grows_as_many(sparsity, most):
    settings = tiny(SETTINGS | {"sparsity": sparsity, "pruning.allocation": "global"})
    weights = {"w": torch.nn.Parameter(torch.randn(10, 100, generator=torch.Generator().manual_seed(0)))}
    form = TaskAwareDynamic(Ranking(weights, {}, settings), settings)
    form.begin(0, Schedule(100, 0.1, 0.5))
    before, kept = form.mask["w"].clone(), form.mask.kept
    least = weights["w"].detach().abs().masked_fill(~before, torch.inf).flatten().argsort()[:most]
    form.period = 1
    form._renew()
    gone = (before & ~form.mask["w"]).flatten().nonzero()[:, 0]
    assert form.mask.kept == kept == round(1000 * (1 - sparsity))
    assert most - 2 <= len(gone) <= most  # chance may grow again what has just gone
    assert set(gone.tolist()) <= set(least.tolist())


def test_a_step_updates_a_part_of_the_survivors():
    states = [e for e in of_kind(events_of(tiny(SETTINGS)), CheckpointReady) if e.epoch > 0]
    assert len(states) > 2
    for state in states[2:]:
        mask, updating = masks(state.tensors), masks(state.tensors, "updating")
        assert all(not bool((updating[name] & ~mask[name]).any()) for name in mask)
        share = sum(int(u.sum()) for u in updating.values()) / sum(int(m.sum()) for m in mask.values())
        assert abs(share - 0.8) < 0.02 or (state.task, state.epoch) == (1, 1)


def test_every_survivors_gradient_is_billed_as_its_moments_are_kept():
    weights = {"w": torch.nn.Parameter(torch.randn(20, 20, generator=torch.Generator().manual_seed(0)))}
    form = TaskAwareDynamic(Ranking(weights, {}, tiny(SETTINGS)), tiny(SETTINGS))
    form.begin(0, Schedule(100, 0.1, 0.5))
    form.updating = Mask({"w": torch.zeros(20, 20, dtype=torch.bool)})
    assert form.updated() == {"w": pytest.approx(form.mask.density)}


def test_what_has_never_had_a_gradient_takes_no_place_of_what_has_and_what_has_just_grown_comes_first():
    settings = tiny(SETTINGS | {"sparcl.updated": 0.5, "pruning.allocation": "global"})
    weights = {"w": torch.nn.Parameter(torch.ones(1, 10))}
    form = TaskAwareDynamic(Ranking(weights, {}, settings), settings)
    form.mask = Mask({"w": torch.ones(1, 10, dtype=torch.bool)})
    form.ranking.moments["w"] = torch.tensor([[0.0, 0.0, 0.0, 5.0, 4.0, 3.0, 2.0, 1.0, 1.0, 1.0]])
    grown = Mask({"w": torch.arange(10).view(1, 10) == 1})
    assert form._by_gradient(grown)["w"].nonzero()[:, 1].tolist() == [1, 3, 4, 5, 6]


def test_what_is_removed_has_no_gradient_in_the_moments_that_choose():
    states = [e for e in of_kind(events_of(tiny(SETTINGS)), CheckpointReady) if e.epoch > 0]
    assert {state.task for state in states} == {0, 1}
    for state in states:
        for name, mask in masks(state.tensors).items():
            moment = state.tensors[f"form/moment/{name}"]
            assert not moment[~mask.numpy()].any()
            assert moment.any()


def test_easy_examples_leave_over_the_first_half():
    events = events_of(tiny(SETTINGS, tasks=1))
    left = [int(e.tensors["removal/left"].sum()) for e in of_kind(events, CheckpointReady) if e.epoch > 0]
    assert left == [48 - int(0.3 * 48 * min(1, epoch / 5)) for epoch in range(1, 11)]
    bill = of_kind(events, CostCounted)[-1]
    plain = of_kind(events_of(tiny(SETTINGS | {"sparcl.removal": 0.0}, tasks=1)), CostCounted)[-1]
    assert bill.examples_forward < plain.examples_forward
    assert bill.train_flops < 0.5 * plain.train_flops_dense_sgd
    assert bill.train_flops_dense_sgd == plain.train_flops_dense_sgd  # which would have learned from them
    assert of_kind(events, Stepped)[-1].density < 0.21


def test_those_leave_that_were_mistaken_least():
    removal = Removal(0.5, 0)
    removal.begin(6)
    for wrong in ([0, 1, 2], [1, 2], [2]):
        rows = torch.arange(6)
        removal.observe(rows, ~torch.isin(rows, torch.tensor(wrong)))
    removal.after(0, 1, 1)
    assert removal.left.tolist() == [True, True, True, False, False, False]
    assert removal.remaining(torch.tensor([5, 1, 3, 0])).tolist() == [1, 0]
