"""The sharpness while a task is learned against an exact Hessian at the weights of that step."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from tiny_runs import events_of, of_kind, tiny

from esacl import analysis, networks, pipeline
from esacl.config import RunConfig
from esacl.cost import Ledger
from esacl.criterion import criterion
from esacl.errors import InputError
from esacl.events import CheckpointReady, CostCounted, SharpnessEstimated, Stepped
from esacl.flops import count_layers, count_product
from esacl.mask import Mask
from esacl.pipeline import run
from esacl.sdp import FORMS
from esacl.tasks import task_stream

WATCHED = {"curvature.top": 1, "curvature.examples": 64, "sparsity": 0.8}  # 2 epochs of 2 steps a task, 48 images


def test_it_is_the_largest_eigenvalue_and_the_curvature_of_the_cut_over_all_instances():
    config = tiny(WATCHED, **{"ids.fraction": 1.0})
    scene = scene_of(config)
    found = of_kind(list(analysis.during(scene, 7, restricted=False)), SharpnessEstimated)[0]
    times, names = product(scene)
    assert found.lambda_max == pytest.approx(largest(times, names), rel=1e-2)
    d = scene.displacement(scene.mask)
    flat = torch.cat([(d[n] if n in d else torch.zeros_like(p)).flatten() for n, p in names.items()]).double()
    assert found.curvature_term == pytest.approx(float(flat @ times(flat)) / 2, rel=1e-3)
    assert (found.task, found.step, found.restricted, found.examples) == (0, 7, False, 48)
    assert scene.ledger.analysis_flops > 0


def test_where_only_survivors_are_trained_it_is_the_hessian_on_them_at_them():
    config = tiny(WATCHED, **{"ids.fraction": 1.0})
    scene = scene_of(config)
    before = {n: p.detach().clone() for n, p in scene.network.named_parameters()}
    found = of_kind(list(analysis.during(scene, 7, restricted=True)), SharpnessEstimated)[0]
    for name, p in scene.network.named_parameters():
        assert torch.equal(p, before[name])
    scene.mask.apply_to({n: p for n, p in scene.network.named_parameters() if n in scene.mask})
    times, names = product(scene)
    kept = torch.cat([(scene.mask[n] if n in scene.mask else torch.ones_like(p)).flatten() for n, p in names.items()])
    truth = largest(lambda v: kept * times(kept * torch.as_tensor(v).flatten()), names)
    assert found.lambda_max == pytest.approx(truth, rel=1e-2)
    assert (found.curvature_term, found.restricted) == (None, True)


def test_what_is_not_finite_is_told_as_nothing():
    scene = scene_of(tiny(WATCHED))
    with torch.no_grad():
        next(scene.network.parameters()).fill_(1e30)
    found = of_kind(list(analysis.during(scene, 1, restricted=False)), SharpnessEstimated)[0]
    assert (found.lambda_max, found.curvature_term, found.converged) == (None, None, False)


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_is_watched_is_the_run_that_is_not(form):
    settings = WATCHED | {"sdp.form": form, "train_limit": 96, "epochs": 3}
    watched, plain = (events_of(tiny(settings, **{"curvature.during": times})) for times in (3, 0))
    assert len(of_kind(watched, SharpnessEstimated)) == 6
    assert not of_kind(plain, SharpnessEstimated)
    assert [shown(e) for e in watched if not isinstance(e, SharpnessEstimated)] == [shown(e) for e in plain]
    for one, other in zip(of_kind(watched, CheckpointReady), of_kind(plain, CheckpointReady), strict=True):
        for name, tensor in one.tensors.items():
            np.testing.assert_array_equal(tensor, other.tensors[name], err_msg=name)


@pytest.mark.parametrize("settings", [{}, {"method": "sparcl"}], ids=["", "drops examples from its epochs"])
def test_it_is_resumed_where_it_was(settings):
    config = tiny(WATCHED | settings, **{"curvature.during": 5, "train_limit": 96, "epochs": 6, "batch_size": 8})
    events = events_of(config)
    told = of_kind(events, SharpnessEstimated)
    assert len(told) == 10
    places = of_kind(events, CheckpointReady)
    assert any(e.step % 12 for e in told), "some are within an epoch, which is gone through again"
    for place in places:
        rest = [e for e in run(config, place) if isinstance(e, SharpnessEstimated)]
        assert rest == [e for e in told if events.index(e) > events.index(place)]


@pytest.mark.parametrize("settings", [{"sdp.form": "progressive"}, {"method": "sparcl"}, {"method": "rigl"}, {}])
def test_it_is_taken_under_the_mask_that_is_trained_under(settings, monkeypatch):
    seen = []

    def watched(scene, step, *, restricted):
        seen.append((scene.task, step, restricted, scene.mask.density))
        return during(scene, step, restricted=restricted)

    during = analysis.during
    monkeypatch.setattr(analysis, "during", watched)
    config = tiny(WATCHED | settings, **{"curvature.during": 8, "train_limit": 96, "epochs": 4, "sparsity": 0.9})
    density = {(e.task, e.step): e.density for e in events_of(config) if isinstance(e, Stepped)}
    under = [(density[task, step], found) for task, step, restricted, found in seen if restricted]
    assert under
    assert all(told == found for told, found in under)


def test_where_no_weight_would_go_there_is_no_curvature_of_a_cut():
    config = tiny(WATCHED, **{"method": "packnet", "curvature.during": 4, "train_limit": 96, "epochs": 4})
    told = [e for e in events_of(config) if isinstance(e, SharpnessEstimated) and e.task == 0]
    assert told[0].curvature_term is not None
    assert told[-1].curvature_term is None


def test_scores_that_are_not_finite_stop_no_training(monkeypatch):
    def lost(*args, **named):
        raise InputError("scores must be finite")

    monkeypatch.setattr(pipeline, "_scene", lost)
    config = tiny(WATCHED, **{"method": "finetune", "sparsity": 0.0, "curvature.during": 2})
    events = []
    with pytest.raises(InputError):  # at the task's end, as before
        events.extend(run(config))
    last = of_kind(events, Stepped)[-1]
    assert last.step == last.steps
    assert not of_kind(events, SharpnessEstimated)


def test_the_cut_divides_it():
    config = tiny(WATCHED, **{"curvature.during": 4, "train_limit": 96, "epochs": 4, "sdp.cut": 0.5})
    told = [e for e in events_of(config) if isinstance(e, SharpnessEstimated) and e.task == 0]
    assert [e.restricted for e in told] == [False, False, True, True]
    assert [e.curvature_term is None for e in told] == [False, False, True, True]


@pytest.mark.parametrize("settings", [{"curvature.top": 0}, {"method": "sparcl", "sparcl.base": "co2l"}])
def test_nothing_is_estimated_by_default_where_nothing_can_be(settings):
    assert tiny(WATCHED | settings).curvature.during == 0
    with pytest.raises(InputError, match=r"curvature\.during 2 "):
        tiny(WATCHED | settings, **{"curvature.during": 2})


def scene_of(config: RunConfig):
    """The first task's scene at a network's beginning, with a cut that awaits it."""
    stream = task_stream(config)
    network = networks.build(config, stream)
    names = networks.prunable_in(config, network)
    weights = {n: p.detach() for n, p in network.named_parameters() if n in names}
    mask = Mask({n: w.abs() > w.abs().flatten().median() for n, w in weights.items()})
    sample = torch.zeros(2, *stream.input_shape)
    return analysis.scene(
        config, 0, network=network, ledger=Ledger(count_layers(network, sample), count_product(network, sample)),
        criterion=criterion(config.scenario, [stream[0].classes], stream.outputs, torch.device("cpu")),
        saliency=weights, curvature=weights, mask=mask, train=stream[0].train, stream=stream,
    )  # fmt: skip


def product(scene):
    """v -> Hv of the mean loss over the pool in float64, by differentiating twice; with the parameters in its order."""
    names = {n: p.detach().double() for n, p in scene.network.named_parameters()}
    sizes = [p.numel() for p in names.values()]
    inputs, targets = scene.pool.inputs.double(), scene.pool.targets

    def loss(flat):
        parts = {n: v.view_as(p) for (n, p), v in zip(names.items(), flat.split(sizes), strict=True)}
        return scene.criterion(torch.func.functional_call(scene.network, parts, (inputs,)), targets)

    flat = torch.cat([p.flatten() for p in names.values()])
    return lambda v: torch.autograd.functional.hvp(loss, flat, torch.as_tensor(v).flatten())[1], names


def largest(times, names):
    """The largest eigenvalue by ARPACK."""
    size = sum(p.numel() for p in names.values())
    operator = LinearOperator((size, size), matvec=lambda v: times(v).numpy(), dtype=np.float64)
    return float(eigsh(operator, 1, which="LA", return_eigenvectors=False)[0])


def shown(event):
    """An event without what is only billed to analyses."""
    return dataclasses.replace(event, analysis_flops=0) if isinstance(event, CostCounted) else event
