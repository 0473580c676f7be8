"""What the selection of instances records."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from threadpoolctl import threadpool_limits
from tiny_runs import array, events_of, of_kind, tiny

from esacl.analysis import instances, maps
from esacl.curvature import hessian
from esacl.events import CheckpointReady, CurvatureMeasured, Selected


def test_the_selection_holds_what_ids_chose(looked):
    kept, event = looked.array("selection"), looked.event(Selected)
    n, m = 48, 12
    assert (event.pool, event.kept, event.fraction) == (n, m, 0.25)
    assert (event.score, event.array) == ("ggn-trace", "selection-t1")
    looked.at(looked.weights("dense"))
    with torch.no_grad():
        seen = looked.network.features(looked.train.inputs)
        p = looked.network(looked.train.inputs)[:, [2, 3]].double().softmax(1).numpy()
    trace = (p * (1 - p)).sum(1) * (np.square(seen.double().numpy()).sum(1) + 1)
    np.testing.assert_allclose(kept["score"], trace, rtol=1e-3, atol=1e-6)
    assert kept["label"].tolist() == looked.train.targets.tolist()
    assert kept["labels_of_classes"].tolist() == [2, 3]
    assert kept["class_names"].tolist() == ["2", "3"]
    assert len(kept["chosen"]) == len(kept["weight"]) == m
    # weight = m / (n pi), with pi from the score: larger scores weigh less.
    order = kept["score"][kept["chosen"]].argsort()
    assert (np.diff(kept["weight"][order]) <= 1e-6).all()


def test_thumbnails_are_the_images_of_their_positions(looked):
    kept = looked.array("selection")
    positions = kept["thumbnail_of"]
    assert kept["thumbnails"].dtype == np.uint8
    assert positions[:12].tolist() == kept["chosen"].tolist()
    assert sorted(positions.tolist()) == list(range(48))
    expected = (looked.train.inputs[positions, 0].numpy() * 255).round()
    np.testing.assert_array_equal(kept["thumbnails"], expected)


def test_the_embedding_is_the_principal_components_of_the_features(looked):
    looked.at(looked.weights("dense"))
    with torch.no_grad():
        seen = looked.network.features(looked.train.inputs).double().numpy()
    expected = PCA(2, svd_solver="full").fit_transform(seen)
    found = looked.array("selection")["embedding"]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-4, atol=1e-5)
    assert (found[np.abs(found).argmax(0), [0, 1]] > 0).all()  # the sign of a component is fixed


def test_each_rule_estimates_lambda_max_from_as_many_instances(looked):
    kept = looked.array("selection")
    assert kept["estimate_names"].tolist() == ["whole pool", "IDS", "random", "EL2N", "top-k"]
    assert kept["estimate_draws"].tolist() == [1, 5, 5, 1, 1]
    assert (kept["estimate_sd"] > 0).tolist() == [False, True, True, False, False]
    assert np.isfinite(kept["estimate_each"]).sum(1).tolist() == [1, 5, 5, 1, 1]
    assert np.nanmean(kept["estimate_each"], 1) == pytest.approx(kept["estimate_lambda_max"])
    dense = next(e for e in of_kind(looked.events, CurvatureMeasured) if e.task == 1)
    assert kept["estimate_lambda_max"][0] == pytest.approx(dense.top_eigenvalues[0], rel=1e-2)
    top = kept["score"].argsort()[-12:]
    looked.at(looked.weights("dense"))
    operator = hessian(looked.network, looked.loss, (looked.train.inputs[top], looked.train.targets[top]))
    v = torch.randn(operator.shape[0], generator=torch.Generator().manual_seed(0))
    for _ in range(60):
        v = v / v.norm()
        v = operator @ v
    assert kept["estimate_lambda_max"][4] == pytest.approx(float(v.norm()), rel=2e-2)


def test_each_way_takes_as_many_instances_and_ids_those_of_the_run(looked):
    kept = looked.array("selection")
    assert kept["way_names"].tolist() == ["IDS", "random", "EL2N", "top-k"]
    assert kept["way_chosen"].shape == kept["way_weight"].shape == (4, 12)
    ids, even, hard, top = map(set, kept["way_chosen"].tolist())
    assert ids == set(kept["chosen"].tolist())
    assert kept["way_weight"][0].tolist() == kept["weight"].tolist()
    assert even != ids
    assert top == set(kept["score"].argsort()[-12:].tolist())
    assert hard == set(kept["el2n"].argsort()[-12:].tolist())
    assert (kept["way_weight"][1:] == 1).all()


def test_el2n_is_the_norm_of_the_last_layers_gradient(looked):
    looked.at(looked.weights("dense"))
    head = [name for name, _ in looked.network.named_parameters() if name.startswith("head.")]
    for row in (0, 7):
        data = looked.train.inputs[row : row + 1], looked.train.targets[row : row + 1]
        loss = looked.loss(looked.network(data[0]), data[1])
        found = torch.autograd.grad(loss, [dict(looked.network.named_parameters())[name] for name in head])
        norm = float(sum(g.square().sum() for g in found)) ** 0.5
        assert looked.array("selection")["el2n"][row] == pytest.approx(norm, rel=1e-3)


def test_the_map_keeps_neighbours_together_and_is_the_same_twice(looked):
    kept = looked.array("selection")
    looked.at(looked.weights("dense"))
    with torch.no_grad():
        seen = looked.network.features(looked.train.inputs).double().numpy()
    assert kept["map_name"] == "t-SNE"
    assert kept["map"].shape == (48, 2)
    with threadpool_limits(2):
        again = maps.neighbourly(seen, kept["embedding"], looked.config.seed)
    assert again.tolist() == kept["map"].tolist()
    assert kept["map_trust"] == pytest.approx(
        [trustworthiness(seen, kept[name], n_neighbors=10) for name in ("embedding", "map")]
    )
    assert kept["map_trust"].min() > 0.8


def test_what_cannot_be_mapped_has_no_map():
    few = np.random.default_rng(0).normal(size=(maps.FEWEST - 1, 5))
    same = np.ones((20, 5))
    for features in (few, same):
        start = maps.principal(features)
        assert np.isfinite(start).all()
        assert maps.neighbourly(features, start, 0) is None
    assert maps.principal(np.arange(5.0)[:, None]).shape == (5, 2)


def test_a_cap_on_images_cuts_into_what_nobody_took(looked, monkeypatch):
    monkeypatch.setattr(instances, "THUMBNAILS", (20, 20))
    kept = array(events_of(looked.config), "selection-t1")
    taken = set(kept["way_chosen"].ravel().tolist())
    assert len(kept["thumbnails"]) == 20
    assert kept["thumbnail_of"][:12].tolist() == kept["chosen"].tolist()
    assert len(set(kept["thumbnail_of"].tolist()) & taken) == min(20, len(taken))


def test_weights_hold_the_dense_point_its_cut_and_its_curvature(looked):
    names = dict(looked.network.named_parameters())
    assert looked.weights("dense").keys() == names.keys()
    prunable = {"body.hidden1.weight", "body.hidden2.weight"}
    assert set(looked.weights("mask")) == set(looked.weights("curvature")) == prunable
    assert all(m.dtype == torch.bool for m in looked.weights("mask").values())
    assert all(w.dtype == torch.float32 for w in looked.weights("dense").values())
    end = next(e for e in of_kind(looked.events, CheckpointReady) if (e.task, e.epoch) == (2, 0))
    assert all((end.tensors[f"network/{n}"] == w.numpy()).all() for n, w in looked.cut.items())
    dense = events_of(tiny(sparsity=0.0))
    assert not any(n.startswith("mask/") for n in array(dense, "weights-t0"))
