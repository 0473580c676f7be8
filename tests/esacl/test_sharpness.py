"""Sharpness-aware steps: where the gradient is taken, what stays where it was, and what it costs."""

import math
from contextlib import contextmanager

import pytest
import torch
from test_training import learn, learner_of, stage
from tiny_runs import events_of, of_kind, tiny

from esacl import batchnorm, sharpness
from esacl.config import RunConfig
from esacl.curvature import pyhessian_eigenvalues
from esacl.errors import InputError
from esacl.events import CheckpointReady, CurvatureMeasured, Pruned
from esacl.flops import count_layers
from esacl.sharpness import SHARE, some, uphill


def test_uphill_is_the_radius_along_the_gradient_and_back_to_the_last_bit():
    weights = {"a": torch.randn(3, 4), "b": torch.randn(5)}
    before = {name: w.clone() for name, w in weights.items()}
    gradients = {"a": torch.full((3, 4), 2.0), "b": torch.tensor([1.0, 0, 0, 0, 0])}
    with uphill(weights, gradients, 0.7):
        length = math.sqrt(12 * 4 + 1)
        for name, w in weights.items():
            torch.testing.assert_close(w - before[name], 0.7 * gradients[name] / length)
    assert all(w.equal(before[name]) for name, w in weights.items())


def test_without_a_gradient_nothing_moves():
    weights = {"a": torch.ones(2)}
    with uphill(weights, {"a": torch.zeros(2)}, 0.5):
        assert weights["a"].tolist() == [1.0, 1.0]


def test_back_after_an_error_too():
    weights = {"a": torch.ones(2)}
    with pytest.raises(ZeroDivisionError), uphill(weights, {"a": torch.ones(2)}, 0.5):
        1 / 0  # noqa: B018 -- it is to fail
    assert weights["a"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("fresh", "replayed", "sizes"), [(16, 0, (4, 0)), (3, 6, (1, 1)), (1, 1, (1, 0))])
def test_a_quarter_says_where_uphill_is(fresh, replayed, sizes):
    assert tuple(map(len, some(fresh, replayed))) == sizes


def test_sparse_steps_alone_are_sharpness_aware_and_pruned_weights_stay_zero():
    config = tiny({"sdp.radius": 0.5})
    learner, stream = learner_of(config)
    seen = []
    inner = learner.network.forward

    def forward(inputs):
        pruned = {n: w[~learner.form.mask[n]] for n, w in learner.weights.items()}
        seen.append((len(inputs), learner.form.survivors_only, all(not w.any() for w in pruned.values())))
        return inner(inputs)

    learner.network.forward = forward
    learn(learner, config, stream)
    quarters = [survivors for size, survivors, _ in seen if size <= config.batch_size // SHARE]
    assert quarters
    assert all(quarters)
    assert all(zero for _, survivors, zero in seen if survivors)


@pytest.mark.parametrize(("form", "ascents"), [("admm", [3]), ("progressive", [3, 6, 9])])
def test_what_it_costs_is_on_the_bill(form, ascents):
    """By hand: every third step once weights are gone, which is from the cut at step 2, or the second mask at 3.

    Each is a quarter of a batch, forward and backward at the density of its step, the weights' gradient too.
    """
    config = tiny({"tasks": 1, "epochs": {"admm": 2, "progressive": 4}[form], "sdp.form": form, "sdp.radius": 0.05})
    learner, stream = learner_of(config)
    billed, dearest = [], 0.0
    learner.ledger.gradient, inner = lambda *about, **more: billed.append((about, more)), learner.ledger.gradient
    learn(learner, config, stream)
    assert len(billed) == len(ascents)
    before = learner.ledger.train_flops
    for (examples, densities), more in billed:
        assert examples == 16 // SHARE
        inner(examples, densities, **more)
        dearest += examples * sum(
            densities.get(name, 1) * (f.forward + f.input_gradient + f.weight_gradient)
            for name, f in count_layers(learner.network, stream[0].train.inputs[:2]).items()
        )
    assert learner.ledger.train_flops - before == pytest.approx(dearest)


def test_the_gradient_is_taken_where_the_loss_is_higher(monkeypatch):
    config = tiny({"tasks": 1, "epochs": 4, "sdp.cut": 0.35, "sdp.radius": 0.2})
    learner, stream = learner_of(config)
    now, rises = stage(config, stream, 0), []

    def loss() -> float:
        with torch.no_grad():
            return float(now.criterion(learner.network(now.examples.inputs), now.examples.targets))

    @contextmanager
    def watched(weights, gradients, radius):
        at_rest = loss()
        with uphill(weights, gradients, radius):
            rises.append(loss() - at_rest)
            yield

    monkeypatch.setattr(sharpness, "uphill", watched)
    learn(learner, config, stream)
    assert len(rises) == 2
    assert min(rises) > 0


def test_running_statistics_are_those_of_the_weights_and_not_of_the_point_uphill(monkeypatch):
    config = tiny({"tasks": 1, "epochs": 4, "sdp.cut": 0.35, "sdp.radius": 0.2})
    learner, stream = learner_of(config)
    moved, by_batch = [], batchnorm.by_batch

    def watched(network, examples, *, moving):
        moved.append((examples, moving))
        return by_batch(network, examples, moving=moving)

    monkeypatch.setattr(batchnorm, "by_batch", watched)
    learn(learner, config, stream)
    quarter, whole = ([moving for n, moving in moved if (n == 16 // SHARE) == small] for small in (True, False))
    assert quarter == [False, False]
    assert [step for step, moving in enumerate(whole) if not moving] == [6, 9]


def test_what_comes_before_the_cut_does_not_know_of_it():
    cuts = [of_kind(events_of(tiny({"tasks": 1, "sdp.radius": r})), Pruned)[0] for r in (0.0, 0.5)]
    assert cuts[0] == cuts[1]


def test_where_it_cannot_be():
    RunConfig(sdp={"radius": 0.2})
    RunConfig(sdp={"radius": 0.2, "form": "progressive"})
    dark = {"scenario": "class", "buffer": {"size": 20}}
    for fields in (dark, {"sdp": {"cut": 1.0}}, {"sdp": {"form": "any"}}, {"sparsity": 0.0}, {"method": "sparcl"}):
        with pytest.raises(InputError, match=r"sdp\.radius: 0\.2 will not do"):
            RunConfig(**fields | {"sdp": {"radius": 0.2} | fields.get("sdp", {})})


def test_the_sharpness_where_a_task_ends_is_that_of_its_network_on_the_survivors():
    """Against PyHessian's power iterations, at the weights of the checkpoint that follows the task."""
    config = tiny({"epochs": 4, "curvature.top": 1, "curvature.examples": 48})
    events = events_of(config)
    ends = [e for e in of_kind(events, CurvatureMeasured) if e.point == "end"]
    states = [e for e in of_kind(events, CheckpointReady) if e.epoch == 0]
    assert [e.task for e in ends] == [0, 1]
    for end, state in zip(ends, states, strict=True):
        learner, stream = learner_of(config)
        learner.load(state)
        now = stage(config, stream, end.task)
        data = (now.examples.inputs, now.examples.targets)
        found = pyhessian_eigenvalues(learner.network.eval(), now.criterion, data, 1, mask=learner.mask)
        assert end.restricted
        assert end.top_eigenvalues[0] == pytest.approx(float(found.values[0]), rel=0.02)
        assert end.network_norm == pytest.approx(
            math.sqrt(sum(float(p.detach().square().sum()) for p in learner.network.parameters())), rel=1e-5
        )


@pytest.mark.parametrize("settings", [{"sdp.form": "progressive"}, {"sdp.cut": 1.0}, {"method": "ewc"}])
def test_without_steps_after_the_cut_the_end_is_measured_with_it(settings):
    events = events_of(tiny(settings | {"tasks": 1, "curvature.top": 1}))
    assert {e.point for e in of_kind(events, CurvatureMeasured)} <= {"dense", "pruned"}
