"""RigL: as sparse from the first step as at the end; connections move by magnitude and gradient, then they stay."""

import math
from itertools import pairwise

import pytest
import torch
from tiny_runs import events_of, of_kind, tiny

from esacl.config import RunConfig
from esacl.events import CheckpointReady, CostCounted
from esacl.form import Dense
from esacl.mask import Mask
from esacl.ranking import Ranking
from esacl.rigl import RigL
from esacl.schedule import Schedule

SETTINGS = {"method": "rigl", "epochs": 10, "sparsity": 0.8, "rigl.every": 3}


def form(mask, weight, gradient, **rigl):
    """RigL on one layer, its task begun, with a mask and a gradient of our own."""
    config = RunConfig(method="rigl", sparsity=0.5, rigl={"every": 10, "until": 1.0, **rigl})
    w = torch.tensor([weight], requires_grad=True)
    made = RigL(Ranking({"w": w}, {}, config), config)
    made.begin(0, Schedule(100, 0.1, 0.5))
    made.mask = Mask({"w": torch.tensor([mask], dtype=torch.bool)})
    w.grad = torch.tensor([gradient])
    with torch.no_grad():
        w.copy_(torch.tensor([weight]) * made.mask["w"])
    return made, w


def inside(events):
    return [e for e in of_kind(events, CheckpointReady) if e.epoch > 0]


def mask_of(state):
    return torch.from_numpy(state.tensors["form/mask/body.hidden2.weight"])


def test_the_smallest_goes_and_the_largest_gradient_comes():
    made, w = form([1, 1, 1, 1, 0, 0, 0, 0], [3.0, -0.1, 2, 1, 0, 0, 0, 0], [0.0, 0, 0, 0, 1, -5, 2, 3], moved=0.5)
    made.enter(10)
    made.leave(10)
    # 0.5 / 2 (1 + cos(pi / 10)) of four is one.
    assert made.mask["w"].int().tolist() == [[1, 0, 1, 1, 0, 1, 0, 0]]
    assert w.detach().tolist() == [[3.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]]  # what has grown starts at zero
    assert w.grad.tolist() == [[0.0, 0.0, 0.0, 0.0, 0.0, -5.0, 0.0, 0.0]]
    assert (made.flips, made.total_flips) == (2, 2)


@pytest.mark.parametrize(("step", "moved"), [(10, 2), (50, 1), (90, 0)])
def test_the_share_falls_as_half_a_cosine(step, moved):
    made, _ = form([1] * 4 + [0] * 4, [4.0, 3, 2, 1, 0, 0, 0, 0], [0.0, 0, 0, 0, 1, 2, 3, 4], moved=0.6)
    made.enter(step)
    made.leave(step)
    assert made.flips == 2 * moved == 2 * int(0.6 / 2 * (1 + math.cos(math.pi * step / 100)) * 4)


def test_between_two_moves_nothing_moves_and_survivors_alone_are_trained():
    made, w = form([1, 1, 0, 0], [1.0, 2, 0, 0], [1.0, 1, 9, 9])
    assert made.enter(11) == {"w": 0.5}
    assert made.survivors_only
    made.leave(11)
    assert made.mask["w"].int().tolist() == [[1, 1, 0, 0]]
    assert w.grad.tolist() == [[1.0, 1.0, 0.0, 0.0]]


def test_what_is_dropped_may_come_back():
    made, _ = form([1, 1, 0, 0], [1.0, 0.1, 0, 0], [0.0, 7, 1, 1], moved=1.0)
    made.enter(10)
    made.leave(10)
    assert made.mask["w"].int().tolist() == [[1, 1, 0, 0]]


@pytest.mark.parametrize("settings", [{}, {"rigl.every": 2, "rigl.until": 1.0, "anchor.strength": 100.0}])
def test_it_is_as_sparse_as_asked_from_the_first_step_to_the_last(settings):
    for state in inside(events_of(tiny(SETTINGS | settings))):
        masks = [m for name, m in state.tensors.items() if name.startswith("form/mask/")]
        assert sum(int(m.sum()) for m in masks) / sum(m.size for m in masks) == pytest.approx(0.2, abs=1e-3)
        for name, weight in state.tensors.items():
            if (mask := state.tensors.get(f"form/mask/{name.removeprefix('network/')}")) is not None:
                assert not weight[~mask].any()


def test_a_new_task_goes_on_from_the_connections_of_the_last_and_they_stay_at_its_end():
    states = inside(events_of(tiny(SETTINGS)))
    last_of_first = next(mask_of(s) for s in reversed(states) if s.task == 0)
    first_of_second = next(mask_of(s) for s in states if s.task == 1)
    fresh = tiny(SETTINGS, seed=1)
    other = mask_of(inside(events_of(fresh))[0])
    overlap = lambda a, b: int((a & b).sum()) / int(a.sum())  # noqa: E731
    assert overlap(last_of_first, first_of_second) > 0.6 > overlap(last_of_first, other)
    changes = [int((mask_of(a) ^ mask_of(b)).sum()) for a, b in pairwise(s for s in states if s.task == 0)]
    assert all(change > 0 for change in changes[:6])
    assert changes[7:] == [0, 0]  # 0.75 of ten epochs


def test_the_dense_gradients_are_on_the_bill():
    def cost(every):
        return of_kind(events_of(tiny(SETTINGS | {"rigl.every": every}, tasks=1)), CostCounted)[-1]

    often, never = cost(2), cost(10_000)
    steps = 30  # 48 examples by batches of 16
    moves = len([step for step in range(1, steps) if step % 2 == 0 and step < 0.75 * steps])
    assert often.fresh_forward_flops == never.fresh_forward_flops
    extra = (often.fresh_backward_flops - never.fresh_backward_flops) / never.train_flops_dense_sgd
    # At a move the gradient of the weights, a third of a step and a little more, is billed whole instead of a fifth.
    assert 0.8 * 0.25 < extra / (moves / steps) < 0.8 * 0.5
    assert never.fresh_forward_flops + never.fresh_backward_flops < 0.3 * never.train_flops_dense_sgd


def test_without_sparsity_it_is_ewc():
    assert isinstance(_form_of(tiny(SETTINGS | {"sparsity": 0.0})), Dense)


def _form_of(config):
    from test_methods import made

    return made(config).form
