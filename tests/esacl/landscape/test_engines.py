import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from landscape_networks import normed
from oracles.exact_hessian import small_cnn, small_data, small_network
from torch import nn

from esacl import landscape
from esacl.errors import InputError
from esacl.landscape import engines, plane


def correct(outputs, targets):
    return outputs.argmax(1) == targets


class Shared(nn.Module):
    """One weight in two layers, and at the entrance a layer that is asked for its weight too."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.second.weight = self.first.weight

    def forward(self, inputs):
        hidden = torch.tanh(self.second(torch.tanh(self.first(inputs.flatten(1)))))
        return self.third(hidden) + self.first.weight.mean()


class AskedForItsWeight(nn.Module):
    """Its entrance is called through the functional form: no module can stand for it."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 5), nn.Linear(5, 3)

    def forward(self, inputs):
        return self.last(torch.tanh(F.linear(inputs.flatten(1), self.first.weight, self.first.bias)))


class HoldsAResult(nn.Module):
    """It cannot be copied: it keeps something that was computed from its weights."""

    def __init__(self):
        super().__init__()
        self.flatten, self.layer = nn.Flatten(), nn.Linear(16, 3)
        self.norm = self.layer.weight.norm()

    def forward(self, inputs):
        return torch.tanh(self.layer(self.flatten(inputs)))


NETWORKS = {
    "mlp": lambda: small_network().float(),
    "cnn": lambda: small_cnn().float(),
    "shared weights": Shared,
    "functional entrance": AskedForItsWeight,
    "no copy": HoldsAResult,
    "norms": lambda: normed().float(),
    "wide": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 40), nn.ReLU(), nn.Linear(40, 20, bias=False)),
}


def float_data(examples=24):
    inputs, targets = small_data(examples=examples)
    return inputs.float(), targets


@torch.no_grad()
def plain_loop(network, data, found, x, y):
    """Losses and accuracies of networks that are moved cell by cell, in the dtype of the network."""
    parameters = {name: p.detach().clone() for name, p in network.named_parameters()}
    losses, accuracies = np.empty(found.loss.shape), np.empty(found.loss.shape)
    for i, b in enumerate(found.y):
        for j, a in enumerate(found.x):
            moved = {name: p + a * x[name] + b * y[name] for name, p in parameters.items()}
            outputs = torch.func.functional_call(network, moved, (data[0],))
            losses[i, j] = F.cross_entropy(outputs, data[1]).item()
            accuracies[i, j] = correct(outputs, data[1]).double().mean().item()
    return losses, accuracies


@pytest.mark.parametrize("engine", engines.ENGINES)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("chunk", [None, 7])
def test_every_engine_gives_what_a_plain_loop_gives(name, engine, chunk):
    torch.manual_seed(0)
    network, data = NETWORKS[name]().eval(), float_data()
    x, y = ({n: torch.randn_like(p) for n, p in network.named_parameters()} for _ in range(2))
    found = landscape.slice_2d(
        network, F.cross_entropy, data, x, y, points=(5, 3), correct=correct, engine=engine, chunk=chunk
    )
    losses, accuracies = plain_loop(network, data, found, x, y)
    np.testing.assert_allclose(found.loss, losses, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.accuracy, accuracies, atol=1e-6)
    assert found.engine == engine
    assert found.evaluations == 15


def test_which_modules_stand_for_entrances():
    x = {}
    for name, given in (("mlp", 1), ("cnn", 0), ("shared weights", 0), ("functional entrance", 0), ("no copy", 0)):
        network = NETWORKS[name]()
        x = {n: torch.ones_like(p) for n, p in network.named_parameters()}
        found = plane.Plane(network, F.cross_entropy, float_data(), (x,))
        assert len(found._given) == given, name
        assert (found._copy is None) == (name == "no copy")


class Residual(nn.Module):
    """A ReLU whose input is needed beside its output, at the entrance and inside."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(16, 8), nn.Linear(8, 3), nn.ReLU()

    def forward(self, x):
        h = self.first(x.flatten(1))
        h = h - self.relu(h)
        z = self.second(h)
        return z + self.relu(z)


class OnTheData(nn.Module):
    """A ReLU over the data itself, through a view."""

    def __init__(self):
        super().__init__()
        self.relu, self.last = nn.ReLU(), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(self.relu(x.view(-1, 16)))


def plain_relus():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize(("make", "overwrites"), [(plain_relus, True), (Residual, False), (OnTheData, False)])
def test_a_relu_writes_over_its_input_only_where_nothing_else_needs_it(make, overwrites):
    torch.manual_seed(0)
    network, data = make(), float_data()
    before = data[0].clone()
    x, y = ({n: torch.randn_like(p) for n, p in network.named_parameters()} for _ in range(2))
    found = landscape.slice_2d(network, F.cross_entropy, data, x, y, points=(5, 3), correct=correct)
    losses, _ = plain_loop(network, data, found, x, y)
    np.testing.assert_allclose(found.loss, losses, rtol=1e-5, atol=1e-6)
    assert torch.equal(data[0], before)
    copied = plane.Plane(network, F.cross_entropy, data, (x, y))._copy
    assert all(m.inplace == overwrites for m in copied.modules() if isinstance(m, nn.ReLU))
    assert not any(m.inplace for m in network.modules() if isinstance(m, nn.ReLU))


def test_directions_of_some_layers_only_and_in_one_axis_only():
    network, data = small_network(), small_data()
    first = {"1.weight": torch.randn(10, 16, dtype=torch.float64)}
    later = {"3.weight": torch.randn(6, 10, dtype=torch.float64), "1.bias": torch.ones(10, dtype=torch.float64)}
    nothing = {}
    for x, y in ((first, later), (later, first), (first, first), (later, later), (nothing, later), (first, nothing)):
        every = {n: torch.zeros_like(p) for n, p in network.named_parameters()}
        for engine in engines.ENGINES:
            found = landscape.slice_2d(network, F.cross_entropy, data, x, y, points=(4, 3), engine=engine)
            losses, _ = plain_loop(network, data, found, {**every, **x}, {**every, **y})
            np.testing.assert_allclose(found.loss, losses, rtol=1e-10)


def test_points_may_come_in_any_order():
    network, data = small_network(), small_data()
    x, y = (landscape.random_direction(network, seed) for seed in (0, 1))
    at = [(a, b) for b in (0.5, -1.0) for a in (0.0, 1.0, -0.3)]
    one, other = (plane.Plane(network, F.cross_entropy, data, (x, y)) for _ in range(2))
    forwards = [one.cell(*point) for point in at]
    assert [other.cell(*point) for point in (at[4], *at[::-1])][1:] == forwards[::-1]


def test_on_a_cpu_auto_is_the_loop():
    network, data = small_network(), small_data()
    x = landscape.random_direction(network, 0)
    assert landscape.slice_1d(network, F.cross_entropy, data, x, points=3).engine == "loop"


def test_the_fastest_is_measured_and_must_agree_with_the_loop(monkeypatch):
    network, data = small_network(), small_data()
    x = landscape.random_direction(network, 0)
    at = plane.Plane(network, F.cross_entropy, data, (x,))
    points = [(a,) for a in np.linspace(-1, 1, 9)]
    clock, cost = [0.0], {"loop": 3.0, "queued": 2.0, "vmap": 1.0}
    monkeypatch.setattr(engines.time, "perf_counter", lambda: clock[0])

    def costing(name, factor=1.0):
        engine = {"loop": engines.loop, "queued": engines.queued, "vmap": engines.mapped}[name]

        def run(plane, points):
            clock[0] += cost[name] * len(points)
            return factor * engine(plane, points)

        return run

    for name in cost:
        monkeypatch.setitem(engines.ENGINES, name, costing(name))
    assert engines.fastest(at, points) == "vmap"
    monkeypatch.setitem(engines.ENGINES, "vmap", costing("vmap", factor=1.01))
    assert engines.fastest(at, points) == "queued"
    cost["queued"] = 9.0
    assert engines.fastest(at, points) == "loop"


def test_an_engine_that_cannot_is_passed_over_by_auto_and_named_when_asked_for():
    network, data = small_network(), small_data()
    x = landscape.random_direction(network, 0)

    def impatient(outputs, targets):
        assert float(outputs.sum()) < 1e9  # asks for a value: no vmap over it
        return F.cross_entropy(outputs, targets)

    with pytest.raises(InputError, match=r"engine 'vmap' cannot map .*; choose loop or queued"):
        landscape.slice_1d(network, impatient, data, x, points=3, engine="vmap")
    at = plane.Plane(network, impatient, data, (x,))
    assert engines.fastest(at, [(a,) for a in np.linspace(-1, 1, 9)]) in ("loop", "queued")


def test_what_is_mapped_together_is_bounded_by_memory(monkeypatch):
    network, data = small_network(), small_data()
    x = landscape.random_direction(network, 0)
    at = plane.Plane(network, F.cross_entropy, data, (x,))
    points = [(a,) for a in np.linspace(-1, 1, 40)]
    sizes = []
    monkeypatch.setitem(engines.ENGINES, "vmap", lambda p, part: sizes.append(len(part)) or engines.mapped(p, part))
    monkeypatch.setattr(engines, "MAPPED_BYTES", 200_000)
    list(engines.groups(at, "vmap", points))
    few = max(sizes)
    sizes.clear()
    monkeypatch.setattr(engines, "MAPPED_BYTES", 1 << 30)
    list(engines.groups(at, "vmap", points))
    assert 1 <= few < max(sizes)
    assert sum(sizes) == 40


def test_groups_stay_short_enough_for_a_cancel_to_be_heard(monkeypatch):
    network, data = small_network(), small_data()
    x = landscape.random_direction(network, 0)
    clock = [0.0]
    monkeypatch.setattr(engines.time, "perf_counter", lambda: clock[0])

    def slow(outputs, targets):
        clock[0] += 0.05
        return F.cross_entropy(outputs, targets)

    steps = landscape.line_steps(network, slow, data, x, points=41)
    before, done = clock[0], 0
    for step in steps:
        assert clock[0] - before < 2 * engines.GROUP_SECONDS
        before, done = clock[0], step.done
    assert done == 41


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_a_plane_that_is_left_leaves_the_network_as_it_was(engine):
    network, data = normed(), small_data()
    network.requires_grad_(True)
    before, identities = copy.deepcopy(network.state_dict()), [id(p) for p in network.parameters()]
    x, y = (landscape.random_direction(network, seed) for seed in (0, 1))
    steps = landscape.plane_steps(network, F.cross_entropy, data, x, y, points=9, refine=0.01, engine=engine)
    next(steps)
    next(steps)
    steps.close()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [id(p) for p in network.parameters()] == identities
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert torch.is_grad_enabled()


def test_an_unknown_engine_is_refused_at_the_call():
    network, data = small_network(), small_data()
    x = landscape.random_direction(network, 0)
    for call in (landscape.line_steps, lambda *args, **how: landscape.plane_steps(*args, x, **how)):
        with pytest.raises(InputError, match="unknown engine 'fast'; choose from auto, loop, queued, vmap"):
            call(network, F.cross_entropy, data, x, engine="fast")


@pytest.mark.gpu
@pytest.mark.parametrize("engine", engines.ENGINE_NAMES)
def test_every_engine_agrees_on_a_gpu(engine):
    network, data = NETWORKS["norms"](), float_data()
    x, y = (landscape.random_direction(network, seed) for seed in (0, 1))
    expected = landscape.slice_2d(network, F.cross_entropy, data, x, y, points=7, correct=correct)
    there = copy.deepcopy(network).cuda()
    found = landscape.slice_2d(there, F.cross_entropy, data, x, y, points=7, correct=correct, engine=engine)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-3)
    np.testing.assert_allclose(found.accuracy, expected.accuracy, atol=0.05)
