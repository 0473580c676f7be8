"""The loss rise of the cut against losses of the recorded weights."""

import numpy as np
import pytest
import torch
from looked_run import LOOK
from tiny_runs import events_of, of_kind, tiny

from esacl.curvature import output_bound
from esacl.events import Pruned


def test_the_rise_is_the_difference_of_the_losses(looked):
    event = looked.event(Pruned)
    rise = looked.loss_at(looked.cut) - looked.loss_at(looked.weights("dense"))
    assert abs(rise) > 1e-3
    assert event.actual_rise == pytest.approx(rise, rel=1e-4, abs=1e-6)
    assert event.path_integral == pytest.approx(rise, rel=0.2, abs=1e-3)
    assert event.lambda_bound > event.actual_rise


def test_the_output_bound_is_that_of_the_recorded_cut(looked):
    d = {n: looked.cut[n] - looked.weights("dense")[n] for n in looked.weights("mask")}
    looked.at(looked.weights("dense"))
    inputs, targets = looked.train.inputs, looked.train.targets
    found = output_bound(looked.network, (inputs, targets), d, columns=looked.loss.open[targets])
    assert looked.event(Pruned).output_bound == pytest.approx(found.bound, rel=1e-4)


def test_norms_and_shares_of_the_cut(looked):
    event, mask = looked.event(Pruned), looked.weights("mask")
    prunable = {n: w.double().numpy() for n, w in looked.weights("dense").items() if n in mask}
    whole = sum(np.square(w).sum() for w in prunable.values())
    gone = sum(np.square(w[~mask[n].numpy()]).sum() for n, w in prunable.items())
    assert event.network_norm == pytest.approx(whole**0.5)
    assert event.displacement_norm == pytest.approx(gone**0.5)
    assert event.removed_share == pytest.approx(gone / whole)
    removed = np.concatenate([~m.numpy().ravel() for m in mask.values()])
    assert event.sparsity == pytest.approx(removed.mean())


def test_taylor_is_gradient_plus_half_the_curvature_along_the_cut(looked):
    looked.at(looked.weights("dense"))
    d = {n: looked.cut[n] - looked.weights("dense")[n] for n in looked.weights("mask")}
    parameters = dict(looked.network.named_parameters())
    loss = looked.loss(looked.network(looked.train.inputs), looked.train.targets)
    g = torch.autograd.grad(loss, [parameters[n] for n in d], create_graph=True)
    slope = sum((a * b).sum() for a, b in zip(g, d.values()))
    h = torch.autograd.grad(slope, [parameters[n] for n in d])
    taylor = float(slope.detach()) + 0.5 * float(sum((a * b).sum() for a, b in zip(h, d.values())))
    assert looked.event(Pruned).taylor == pytest.approx(taylor, rel=1e-3)


def test_without_curvature_there_is_no_bound_but_a_rise():
    event = of_kind(events_of(tiny(sparsity=0.8, method="ewc")), Pruned)[0]
    assert (event.lambda_bound, event.output_bound, event.full_lambda_max, event.estimate_lambda_max) == (None,) * 4
    assert event.actual_rise != 0
    assert None not in (event.taylor, event.path_integral, event.estimate_taylor)


def test_with_every_instance_chosen_the_estimate_is_the_truth():
    event = of_kind(events_of(tiny(LOOK | {"ids.fraction": 1.0}, method="ewc", epochs=1)), Pruned)[0]
    assert event.estimate_taylor == pytest.approx(event.taylor, rel=1e-5)
    assert event.estimate_lambda_max == pytest.approx(event.full_lambda_max, rel=1e-3)
