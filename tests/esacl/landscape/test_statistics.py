import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from landscape_networks import normed
from oracles.exact_hessian import random_mask, small_data, small_network
from torch import nn

from esacl import landscape
from esacl.errors import InputError
from esacl.landscape.statistics import STATISTICS


@torch.no_grad()
def by_hand(network, data, a, direction, statistics):
    """The loss of a moved copy, its statistics as said."""
    moved = copy.deepcopy(network)
    state = dict(moved.named_parameters()) | dict(moved.named_buffers())
    for name, tensor in direction.items():
        if statistics == "kept" and "running" in name:
            continue
        state[name].add_(a * tensor)
        if name.endswith("running_var"):
            state[name].clamp_(min=0)
    if statistics == "recomputed":
        moved.train()  # BatchNorm's own way to use the batch; its update of the copy's statistics does not matter
    return float(F.cross_entropy(moved(data[0]), data[1]))


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_a_way_between_two_solutions_uses_the_statistics_it_says(statistics, engine):
    a, b, data = normed(seed=0), normed(seed=1), small_data()
    way = landscape.task_direction(a, b)
    found = landscape.slice_1d(
        a, F.cross_entropy, data, way, extent=(-1.0, 2.0), points=7, statistics=statistics, engine=engine
    )
    assert found.statistics == statistics
    np.testing.assert_allclose(found.loss, [by_hand(a, data, x, way, statistics) for x in found.x], rtol=1e-9)
    end = F.cross_entropy(b(data[0]), data[1]).item()
    assert (found.loss[found.x == 1] == pytest.approx(end)) == (statistics == "moved")


def test_the_three_differ_here():
    a, b, data = normed(seed=0), normed(seed=1), small_data()
    way = landscape.task_direction(a, b)
    found = [
        landscape.slice_1d(a, F.cross_entropy, data, way, extent=(-1, 2), points=4, statistics=name).loss
        for name in STATISTICS
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(found[one] - found[other]).max() > 0.01


def test_variances_are_never_drawn_on_below_zero():
    a, data = normed(), small_data()
    down = {"5.running_var": -2 * dict(a.named_buffers())["5.running_var"]}
    found = landscape.slice_1d(a, F.cross_entropy, data, down, extent=(0, 2), points=5)
    assert np.isfinite(found.loss).all()  # the root of a negative number would be a hole
    np.testing.assert_array_equal(found.loss[1:], found.loss[1])  # zero from halfway of the first step on


def test_a_direction_that_moves_no_statistics_says_that_they_are_kept():
    a, data = normed(), small_data()
    x = landscape.random_direction(a, 0)
    assert not any("running" in name for name in x)
    assert landscape.slice_2d(a, F.cross_entropy, data, x, x, points=2).statistics == "kept"
    plain = small_network()
    way = landscape.random_direction(plain, 0)
    for statistics in STATISTICS:
        found = landscape.slice_1d(plain, F.cross_entropy, data, way, points=2, statistics=statistics)
        assert found.statistics == "none"


def test_weights_of_the_examples_weigh_the_recomputed_statistics():
    a, (x, y) = normed(), small_data(examples=6)
    repeats = torch.tensor([1, 3, 1, 2, 1, 4])
    again = torch.arange(6).repeat_interleave(repeats)

    def weighted(outputs, targets, weights):
        return (weights * F.cross_entropy(outputs, targets, reduction="none")).mean()

    way, how = landscape.random_direction(a, 0), {"points": 4, "statistics": "recomputed"}
    one = landscape.slice_1d(a, weighted, (x, y, repeats / repeats.double().mean()), way, **how)
    two = landscape.slice_1d(a, F.cross_entropy, (x[again], y[again]), way, **how)
    np.testing.assert_allclose(one.loss, two.loss, rtol=1e-9)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_the_network_and_its_statistics_are_left_as_they_were(statistics):
    a, b, data = normed(seed=0), normed(seed=1), small_data()
    before = copy.deepcopy(a.state_dict())
    landscape.slice_1d(a, F.cross_entropy, data, landscape.task_direction(a, b), points=3, statistics=statistics)
    assert all(torch.equal(value, before[name]) for name, value in a.state_dict().items())
    assert not a.training


def test_a_layer_behind_moving_statistics_is_no_entrance():
    torch.manual_seed(0)
    a = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16, affine=False), nn.Linear(16, 3)).double().eval()
    data = small_data()
    way = {"1.running_mean": torch.full((16,), 0.5, dtype=torch.float64), "2.weight": torch.ones_like(a[2].weight)}
    found = landscape.slice_1d(a, F.cross_entropy, data, way, points=3)
    np.testing.assert_allclose(found.loss, [by_hand(a, data, x, way, "moved") for x in found.x], rtol=1e-9)


def test_directions_name_the_norm_layers_and_leave_their_statistics_out_of_angles():
    a, b = normed(seed=0), normed(seed=1)
    x, way = landscape.random_direction(a, 0), landscape.task_direction(a, b)
    assert {"1.running_mean", "1.running_var", "5.running_var"} <= way.keys()
    assert "1.num_batches_tracked" not in way
    y = landscape.orthogonal_to(x, way)
    assert y.keys() == x.keys()
    assert sum(float((y[name] * way[name]).sum()) for name in y) == pytest.approx(0, abs=1e-9)
    inside = landscape.masked(way, random_mask(a, 0.3))
    assert torch.equal(inside["1.running_var"], way["1.running_var"])


def test_bad_input_is_refused():
    a, data = normed(), small_data()
    x = landscape.random_direction(a, 0)
    with pytest.raises(InputError, match="unknown statistics 'fresh'; choose from moved, kept, recomputed"):
        landscape.slice_1d(a, F.cross_entropy, data, x, statistics="fresh")
    with pytest.raises(InputError, match="comes in 4 chunks; pass one tuple"):
        landscape.slice_1d(a, F.cross_entropy, data, x, statistics="recomputed", chunk=7)
    with pytest.raises(InputError, match=r"'1\.nothing' is no parameter"):
        landscape.slice_1d(a, F.cross_entropy, data, {"1.nothing": torch.ones(4)})
