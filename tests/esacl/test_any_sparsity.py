"""The form `any`: nested sub-networks of one order, each trained where it is, and a slider that stays up."""

from itertools import pairwise

import pytest
import torch
from test_sdp import begun, config, drive, noise, start
from tiny_runs import array, events_of, of_kind, tiny

from esacl.any_sparsity import SPARSEST
from esacl.events import CheckpointReady, CostCounted, Pruned

STEPS = 4000


def made(steps=STEPS, **fields):
    weights = start()
    settings = config(sdp={"every": 5, "form": "any"}, **fields)
    return begun("any", weights, steps, settings), weights


def test_half_of_the_steps_are_the_sparsest_and_the_others_are_spread_by_density():
    form, _ = made()
    late = [form._density(step) for step in range(STEPS // 2, STEPS)]
    sparsest = 1 - SPARSEST
    assert min(late) == pytest.approx(sparsest)
    assert sum(d == pytest.approx(sparsest) for d in late) / len(late) == pytest.approx(0.5, abs=0.03)
    assert sum(d == 1 for d in late) / len(late) == pytest.approx(0.125, abs=0.02)
    between = torch.tensor([d for d in late if sparsest * 1.001 < d < 1]).log() / torch.tensor(sparsest).log()
    assert float(between.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(between.std()) == pytest.approx(12**-0.5, abs=0.02)


def test_the_sparsest_grows_sparse_with_the_ramp():
    form, _ = made()
    least = [min(form._density(step) for step in range(at, at + 40)) for at in (0, 500, 1000, 1900)]
    assert least == sorted(least, reverse=True)
    assert least[0] > 0.9


def test_sub_networks_are_nested_and_as_dense_as_drawn():
    form, weights = made()
    drive(form, weights, range(3000), noise(weights))
    seen = {}
    for step in range(3000, 3040):
        form.enter(step)
        if form.here is not None:
            seen[form._density(step)] = form.here
        form.leave(step)
    assert len(seen) > 5
    ordered = sorted(seen.items())
    for density, mask in ordered:
        assert mask.kept == int(density * mask.total + 1e-6)
    for (_, small), (_, large) in pairwise(ordered):
        assert all(not bool((small[name] & ~large[name]).any()) for name in small)
    assert all(not bool((ordered[0][1][n] & ~m).any()) for n, m in form.survivors().items())


def test_a_step_computes_at_its_sub_network_and_trains_nothing_else():
    form, weights = made()
    drive(form, weights, range(100), noise(weights))
    before = {name: w.detach().clone() for name, w in weights.items()}
    step = next(step for step in range(100, 200) if form._density(step) < 1)
    densities = form.enter(step)
    assert densities == form.here.layer_densities() == form.updated()
    for name, w in weights.items():
        assert torch.equal(w.detach(), before[name] * form.here[name])
        w.grad = torch.ones_like(w)
    assert form.elsewhere
    form.leave(step)
    assert not form.elsewhere
    for name, w in weights.items():
        assert torch.equal(w.detach(), before[name])
        assert torch.equal(w.grad, form.here[name].float())
    dense = next(step for step in range(200, 300) if form._density(step) == 1)
    assert form.enter(dense) is None
    assert form.updated() is None


def test_the_order_stays_once_the_ramp_is_up():
    form, weights = made(steps=200)
    drive(form, weights, range(110), noise(weights))
    settled = {name: rank.clone() for name, rank in form.rank.items()}
    drive(form, weights, range(110, 200), noise(weights))
    assert all(torch.equal(settled[name], form.rank[name]) for name in settled)
    assert sorted(torch.cat([rank.flatten() for rank in settled.values()]).tolist()) == list(range(68))


def test_one_run_holds_at_every_level_where_one_made_for_half_collapses():
    settings = {"epochs": 30, "train_limit": None, "sparsity": 0.5, "curvature.levels": 12, "tasks": 2}
    curves = {}
    for form in ("any", "admm"):
        events = events_of(tiny(settings | {"sdp.form": form, "sdp.cut": 1.0}))
        curve = array(events, "sparsity-t1")
        at = [k for k, level in enumerate(curve["levels"]) if 0.5 <= level <= SPARSEST]
        curves[form] = curve["accuracy"][at].mean(axis=1)
    assert curves["any"].min() > 0.9
    assert curves["any"].min() > curves["admm"].min() + 0.05


def test_the_run_is_cut_by_its_order_and_billed_for_its_sub_networks():
    events = events_of(tiny({"sdp.form": "any", "epochs": 12, "sparsity": 0.5}))
    assert all(event.sparsity == pytest.approx(0.5, abs=1e-3) for event in of_kind(events, Pruned))
    cost = of_kind(events, CostCounted)[-1]
    assert cost.fresh_forward_flops + cost.fresh_backward_flops < 0.7 * cost.train_flops_dense_sgd
    assert any("form/rank/body.hidden1.weight" in e.tensors for e in of_kind(events, CheckpointReady))
