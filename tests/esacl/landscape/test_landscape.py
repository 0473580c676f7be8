import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import random_mask, small_cnn, small_data, small_network
from torch import nn

from esacl import landscape
from esacl.errors import InputError
from esacl.landscape import plane
from esacl.mask import Mask


def correct(outputs, targets):
    return outputs.argmax(1) == targets


@torch.no_grad()
def by_hand(network, data, *steps):
    """Loss and accuracy of a moved copy."""
    moved = copy.deepcopy(network)
    for a, direction in steps:
        for name, tensor in direction.items():
            moved.get_parameter(name).add_(a * tensor)
    outputs = moved(data[0])
    return float(F.cross_entropy(outputs, data[1])), float(correct(outputs, data[1]).double().mean())


class TiedEnds(nn.Module):
    """The first layer's weight is used a second time, transposed: its shortcut would be wrong."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, inputs):
        hidden = torch.tanh(self.body(inputs.flatten(1)))
        return self.head(torch.tanh(hidden @ self.body.weight))


class TwoEntrances(nn.Module):
    """Two layers see the data, one of them without a bias and given by keyword."""

    def __init__(self):
        super().__init__()
        self.left = nn.Linear(16, 5, bias=False)
        self.right = nn.Linear(16, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, inputs):
        flat = inputs.flatten(1)
        right = F.linear(flat, self.right.weight, bias=self.right.bias)
        return self.head(torch.relu(self.left(flat)) * torch.tanh(right))


NETWORKS = [
    small_network,
    small_cnn,
    lambda: TiedEnds().double(),
    lambda: TwoEntrances().double(),
    lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).double(),
]


@pytest.mark.parametrize("build", NETWORKS)
@pytest.mark.parametrize("chunk", [None, 7])
def test_every_cell_is_the_loss_of_the_moved_network(build, chunk):
    torch.manual_seed(0)
    network, data = build(), small_data()
    x = {name: torch.randn_like(p) for name, p in network.named_parameters()}  # biases too
    y = landscape.random_direction(network, 1)
    found = landscape.slice_2d(
        network, F.cross_entropy, data, x, y,
        extent=((-1.0, 2.0), (-0.5, 0.5)), points=(4, 3), correct=correct, chunk=chunk,
    )  # fmt: skip
    assert found.loss.shape == found.accuracy.shape == (3, 4)
    np.testing.assert_array_equal(found.x, [-1, 0, 1, 2])
    np.testing.assert_array_equal(found.y, [-0.5, 0, 0.5])
    for i, b in enumerate(found.y):
        for j, a in enumerate(found.x):
            loss, accuracy = by_hand(network, data, (a, x), (b, y))
            assert found.loss[i, j] == pytest.approx(loss, rel=1e-10)
            assert found.accuracy[i, j] == pytest.approx(accuracy)
    assert found.holes == 0


def test_the_shortcut_is_taken_where_it_is_right_and_only_there():
    for build, layers in zip(NETWORKS, (1, 0, 0, 2, 1)):
        network = build()
        direction = {name: torch.ones_like(p) for name, p in network.named_parameters()}
        found = plane.Plane(network, F.cross_entropy, small_data(), (direction,))
        assert [len(entrance.moved) for entrance in found._entrances] == [layers]


def test_a_line_marks_the_dense_and_the_pruned_network_exactly():
    network, data = small_network(), small_data()
    mask = Mask(random_mask(network, 0.4))
    x = landscape.pruning_direction(network, mask)
    found = landscape.slice_1d(network, F.cross_entropy, data, x, extent=(-0.2, 1.2), points=15, correct=correct)
    dense, pruned = np.flatnonzero(found.x == 0), np.flatnonzero(found.x == 1)
    assert (len(dense), len(pruned)) == (1, 1)
    assert (found.loss[dense[0]], found.accuracy[dense[0]]) == pytest.approx(by_hand(network, data))
    mask.apply(network)
    assert (found.loss[pruned[0]], found.accuracy[pruned[0]]) == pytest.approx(by_hand(network, data))


def test_a_quadratic_loss_gives_a_parabola():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).double()
    x, y = torch.randn(20, 1, 4, 4, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
    d = landscape.random_direction(network, 0)
    found = landscape.slice_1d(network, F.mse_loss, (x, y), d, extent=(-2, 2), points=9)
    assert found.accuracy is None
    step = x.flatten(1) @ d["1.weight"].T
    residual = network(x).detach() - y
    expected = [float((residual + a * step).square().mean()) for a in found.x]
    np.testing.assert_allclose(found.loss, expected, rtol=1e-12)


def test_weights_of_the_instances_weigh_loss_and_accuracy():
    network, (x, y) = small_network(), small_data(examples=6)
    repeats = torch.tensor([1, 3, 1, 2, 1, 4])
    again = torch.arange(6).repeat_interleave(repeats)

    def weighted(outputs, targets, weights):
        return (weights * F.cross_entropy(outputs, targets, reduction="none")).mean()

    direction = landscape.random_direction(network, 0)
    weights = repeats / repeats.double().mean()
    one = landscape.slice_1d(network, weighted, (x, y, weights), direction, points=5, correct=correct)
    two = landscape.slice_1d(network, F.cross_entropy, (x[again], y[again]), direction, points=5, correct=correct)
    np.testing.assert_allclose(one.loss, two.loss, rtol=1e-10)
    np.testing.assert_allclose(one.accuracy, two.accuracy)


def test_a_loss_that_is_not_finite_is_a_hole_and_counted():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    data = (small_data()[0].float(), small_data()[1])
    far = {"1.weight": 1e38 * torch.randn(3, 16).sign()}  # the outputs overflow, to both sides
    found = landscape.slice_2d(
        network, F.cross_entropy, data, far, landscape.random_direction(network, 0), points=3, correct=correct
    )
    assert np.isfinite(found.loss[:, 1]).all()
    assert np.isnan(found.loss[:, [0, 2]]).all()
    assert np.isnan(found.accuracy[:, [0, 2]]).all()
    assert found.holes == 6
    line = landscape.slice_1d(network, F.cross_entropy, data, far, points=3)
    assert line.holes == 2
    assert np.isnan(line.loss).tolist() == [True, False, True]


@pytest.mark.parametrize(("points", "extent"), [(41, (-1.0, 1.0)), (25, (-0.3, 0.3)), (15, (-0.7, 0.7)), (3, (-5, 5))])
def test_an_odd_symmetric_grid_has_its_centre_and_it_is_the_network(points, extent):
    network, data = small_network(), small_data()
    found = landscape.slice_1d(
        network, F.cross_entropy, data, landscape.random_direction(network, 0), extent=extent, points=points
    )
    assert found.x[points // 2] == 0
    assert (found.x[0], found.x[-1]) == extent
    assert (np.diff(found.x) > 0).all()
    assert found.loss[points // 2] == pytest.approx(by_hand(network, data)[0], rel=1e-14)


def test_a_plane_comes_in_steps_and_is_of_the_network_at_the_call():
    network, data = small_network(), small_data()
    x, y = (landscape.random_direction(network, seed) for seed in (0, 1))
    whole = landscape.slice_2d(network, F.cross_entropy, data, x, y, points=(5, 3), correct=correct)
    steps = landscape.plane_steps(network, F.cross_entropy, data, x, y, points=(5, 3), correct=correct)
    first = next(steps)  # one cell; the next groups grow
    assert torch.is_grad_enabled()
    with torch.no_grad():
        network[1].weight.zero_()  # training goes on: the plane must not follow
    seen, found = driven(steps)
    assert (first.done, first.total, seen[-1].done) == (1, 15, 15)
    np.testing.assert_array_equal(found.loss, whole.loss)
    np.testing.assert_array_equal(found.accuracy, whole.accuracy)
    assert (found.evaluations, found.error, found.statistics) == (15, 0.0, "none")
    assert found.evaluated.all()


def test_a_line_comes_in_steps():
    network, data = small_network(), small_data()
    x = landscape.random_direction(network, 0)
    seen, found = driven(landscape.line_steps(network, F.cross_entropy, data, x, points=4))
    assert [(step.done, step.total) for step in seen] == [(1, 4), (3, 4), (4, 4)]  # a group grows while it is quick
    assert found.evaluations == 4
    np.testing.assert_array_equal(found.loss, landscape.slice_1d(network, F.cross_entropy, data, x, points=4).loss)


def test_a_plane_left_between_two_steps_leaves_the_network_as_it_was():
    network, data = small_network(), small_data()
    network.train()
    before, identities = copy.deepcopy(network.state_dict()), [id(p) for p in network.parameters()]
    x = landscape.random_direction(network, 0)
    steps = landscape.plane_steps(network, F.cross_entropy, data, x, x, points=3)
    next(steps)
    next(steps)
    steps.close()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [id(p) for p in network.parameters()] == identities
    assert network.training
    assert torch.is_grad_enabled()


def driven(steps):
    """All steps, and the result."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


def test_the_network_is_untouched_even_when_the_loss_fails_halfway():
    network, data = small_network(), small_data()
    network.train()
    before, identities = copy.deepcopy(network.state_dict()), [id(p) for p in network.parameters()]
    calls = []

    def failing(outputs, targets):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("halfway")
        return F.cross_entropy(outputs, targets)

    with pytest.raises(RuntimeError, match="halfway"):
        landscape.slice_1d(network, failing, data, landscape.random_direction(network, 0))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [id(p) for p in network.parameters()] == identities
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_bad_input_is_refused():
    network, data = small_network(), small_data()
    x = landscape.random_direction(network, 0)
    for call, message in (
        (lambda: landscape.slice_1d(network, F.cross_entropy, data, {"nope": x["1.bias"]}), "'nope' is no parameter"),
        (lambda: landscape.slice_1d(network, F.cross_entropy, data, {"1.weight": x["1.bias"]}), "has shape"),
        (lambda: landscape.slice_1d(network, F.cross_entropy, data, x, extent=(1, 1)), r"extent \(1, 1\)"),
        (lambda: landscape.slice_1d(network, F.cross_entropy, data, x, extent=(0, float("inf"))), "extent"),
        (lambda: landscape.slice_1d(network, F.cross_entropy, data, x, points=1), "points 1"),
        (lambda: landscape.slice_2d(network, F.cross_entropy, data, x, x, points=(3, 1)), "points 1"),
        (
            lambda: landscape.slice_1d(network, lambda o: o.mean(), (data[0],), x, correct=correct),
            "needs targets",
        ),
    ):
        with pytest.raises(InputError, match=message):
            call()
    network.insert(2, nn.BatchNorm1d(10).double())
    with pytest.raises(InputError, match=r"BatchNorm1d.*training mode"):
        landscape.slice_1d(network, F.cross_entropy, data, x)
    network.eval()
    x = landscape.random_direction(network, 0)
    statistics = copy.deepcopy(dict(network.named_buffers()))
    landscape.slice_1d(network, F.cross_entropy, data, x, points=3)
    assert all(torch.equal(b, statistics[name]) for name, b in network.named_buffers())


@pytest.mark.gpu
def test_a_plane_on_a_gpu_agrees_with_the_cpu():
    network, data = small_network().float(), small_data()
    data = (data[0].float(), data[1])
    x, y = (landscape.random_direction(network, seed) for seed in (0, 1))
    expected = landscape.slice_2d(network, F.cross_entropy, data, x, y, points=5, correct=correct)
    found = landscape.slice_2d(copy.deepcopy(network).cuda(), F.cross_entropy, data, x, y, points=5, correct=correct)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-4)
    np.testing.assert_allclose(found.accuracy, expected.accuracy, atol=0.05)
