"""Bytes and seconds of a pruned network outside of training."""

import sys

import numpy as np
import pytest
import torch
from tiny_runs import array, events_of, recorded, tiny
from torch import nn

from esacl.analysis import analyse, deployment
from esacl.cli import main
from esacl.export import timing
from esacl.export.encoding import encoded
from esacl.export.sparse_layers import SparseLinear, sparse_twin
from esacl.exporting import network_of
from esacl.store import RunStore


@pytest.fixture(scope="module")
def measured():
    config = tiny({"sparsity": 0.95, "tasks": 1})
    weights = array(events_of(config), "weights-t0")
    before, deployment.ROUNDS = deployment.ROUNDS, 3
    try:
        return weights, array(list(analyse("deployment", config, 0, weights)), "deployment-t0")
    finally:
        deployment.ROUNDS = before


def test_every_engine_answers_as_the_dense_network_does(measured):
    _, found = measured
    assert found["seconds"].shape == (len(found["engines"]), 3, 3)
    assert (found["seconds"] > 0).all()
    assert found["apart"][0] == 0
    assert found["apart"].max() < 1e-5
    assert list(found["sparse_layers"]) == ["body.hidden1", "body.hidden2"]


def test_the_network_that_is_left_is_measured_by_every_runtime(measured):
    pytest.importorskip("onnxruntime")
    _, found = measured
    assert list(found["shrunk_formats"]) == list(found["formats"])
    assert tuple(found["engines"]) == deployment.ENGINES


def test_bytes_are_those_of_what_is_left(measured):
    weights, found = measured
    sizes = dict(zip(found["formats"], found["bytes"]))
    dense = {name: w for name, w in weights.items() if name.startswith("dense/")}
    zeros = sum(int((~weights[f"mask/{name[6:]}"]).sum()) for name in dense if f"mask/{name[6:]}" in weights)
    entries = sum(w.size for w in dense.values())
    assert 4 * entries < sizes["safetensors"] < 4 * entries + 2000
    assert 4 * (entries - zeros) < sizes["sparse"] < 6 * (entries - zeros) + 2000


def test_a_network_without_its_idle_units_is_measured_too(monkeypatch):
    monkeypatch.setattr(deployment, "ROUNDS", 1)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    config = tiny({"pruning.allocation": "neuron", "sparsity": 0.8, "tasks": 1})
    weights = array(events_of(config), "weights-t0")
    found = array(list(analyse("deployment", config, 0, weights)), "deployment-t0")
    assert list(found["engines"]) == ["torch, dense", "torch, sparse", "torch, shrunk"]
    assert found["apart"].max() < 1e-5
    widths = [int(weights[f"mask/{name}.weight"].any(1).sum()) for name in found["shrunk_layers"]]
    assert found["shrunk_widths"].tolist() == [[100, width] for width in widths]
    entries = 64 * widths[0] + widths[0] + widths[0] * widths[1] + widths[1] + 2 * widths[1] + 2
    assert list(found["shrunk_formats"]) == ["safetensors", "sparse"]
    assert 4 * entries < found["shrunk_sizes"][0] < 4 * entries + 2000


def test_only_sparse_linear_layers_are_taken_by_csr():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 50), nn.ReLU(), nn.Linear(50, 10))
    with torch.no_grad():
        for layer in (network[0], network[2]):
            layer.weight.mul_(torch.rand_like(layer.weight) > 0.95)
    twin, names = sparse_twin(network)
    assert names == ("2",)
    assert isinstance(twin[2], SparseLinear)
    assert isinstance(twin[0], nn.Conv2d)
    inputs = torch.randn(7, 1, 8, 8)
    np.testing.assert_allclose(twin(inputs).detach(), network(inputs).detach(), atol=1e-5)
    assert isinstance(network[2], nn.Linear), "the network itself stays as it was"


def test_without_onnx_its_numbers_are_left_out(monkeypatch):
    monkeypatch.setattr(deployment, "ROUNDS", 1)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    config = tiny({"sparsity": 0.0, "method": "finetune", "tasks": 1})
    weights = array(events_of(config), "weights-t0")
    found = array(list(analyse("deployment", config, 0, weights)), "deployment-t0")
    assert list(found["engines"]) == ["torch, dense", "torch, sparse"]
    assert "shrunk_sizes" not in found
    assert list(found["formats"]) == ["safetensors", "sparse"]
    assert list(found["sparse_layers"]) == []


def test_no_engine_has_an_advantage_by_its_place(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def engine(name):
        def answer(batch):
            # What is asked after another, or for another batch, finds the caches cold.
            clock[0] += 1.0 if calls and calls[-1] == (name, batch) else 1.3
            calls.append((name, batch))

        return answer

    engines = {name: engine(name) for name in "abc"}
    begins = []
    for turn in range(-2, 4):
        for batch in (1, 32):
            before = len(calls)
            assert timing.in_turns(engines, batch, turn) == pytest.approx([1.0] * 3)
            begins.append(calls[before][0])
    assert sorted(begins[::2]) == sorted("abcabc"), "everybody begins as often as the others"


def test_the_analysis_has_its_engines_begin_in_turns(monkeypatch):
    calls = []
    monkeypatch.setattr(deployment, "ROUNDS", 2)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    real = deployment._by_torch

    def noted(network):
        own = "sparse" if any(isinstance(one, SparseLinear) for one in network.modules()) else "dense"
        return lambda inputs: (calls.append(own), real(network)(inputs))[1]

    monkeypatch.setattr(deployment, "_by_torch", noted)
    config = tiny({"sparsity": 0.95, "tasks": 1})
    weights = array(events_of(config), "weights-t0")
    monkeypatch.setattr(deployment, "shrunk", lambda network: deployment.Shrunk(network, {}))
    list(analyse("deployment", config, 0, weights))
    last, before = calls[-12:], calls[-24:-12]  # a round: three batches, two engines, each asked twice
    assert last == ["sparse", "sparse", "dense", "dense"] * 3
    assert before == ["dense", "dense", "sparse", "sparse"] * 3


@pytest.mark.parametrize("settings", [{"sparsity": 0.97}, {"method": "packnet", "sparsity": 0.8}], ids=str)
def test_the_bytes_are_those_of_the_file_that_is_exported(tmp_path, monkeypatch, settings):
    monkeypatch.setattr(deployment, "ROUNDS", 1)
    if "method" in settings:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)  # once is enough for what takes long
    store = RunStore(tmp_path / "runs")
    run_id = recorded(store, settings)
    assert main(["analyse", run_id, "deployment", "--runs", str(store.root)]) == 0
    found = store.array(run_id, "deployment-t1")
    final = network_of(store, run_id, task=1 if "method" in settings else None)
    for names, sizes, shrink in [("formats", "bytes", False), ("shrunk_formats", "shrunk_sizes", True)]:
        told = dict(zip(found[names].tolist(), found[sizes].tolist(), strict=True))
        assert told == {form: len(encoded(final, form, shrink=shrink).data) for form in told}
