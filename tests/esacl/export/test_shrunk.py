"""A network without idle units: the same outputs from a smaller one, by hand, over the dict, and from a run's file."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tiny_runs import recorded
from torch import nn

from esacl.cli import main
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.export.encoding import FORMATS, encoded
from esacl.export.shrunk import shrunk
from esacl.exporting import export_network, network_of
from esacl.networks import NETWORKS, Network, build, prunable_names
from esacl.pruning import keep_top
from esacl.store import RunStore
from esacl.tasks import task_stream
from esacl.units import units_of

CLOSE = 1e-5


def cut_network(name: str, allocation: str, sparsity: float, **fields) -> tuple[Network, torch.Tensor]:
    """A network as after a cut, with biases and statistics that are not those of its beginning; and inputs."""
    config = RunConfig(network=name, **fields)
    stream = task_stream(config)
    network, generator = build(config, stream), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in [*network.parameters(), *network.buffers()]:
            if one.ndim == 1:
                one.add_(0.3 * torch.rand(one.shape, generator=generator))
    parameters = dict(network.named_parameters())
    weights = {key: parameters[key].detach().abs() for key in prunable_names(network, config.scenario)}
    keep_top(weights, sparsity, allocation, units_of(network)).apply(network)
    return network, torch.randn(20, *stream.input_shape, generator=generator)


def apart(network: nn.Module, small: nn.Module, inputs: torch.Tensor) -> float:
    with torch.no_grad():
        ours, theirs = network(inputs), small(inputs)
    return float((ours - theirs).abs().max() / ours.abs().max().clamp(min=1))


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("scenario", ["task", "class"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_says_the_same_without_its_idle_units(name, scenario, activation):
    network, inputs = cut_network(name, "neuron", 0.9, scenario=scenario, activation=activation)
    before = [p.clone() for p in network.parameters()]
    found = shrunk(network)
    assert apart(network, found.network, inputs) < CLOSE
    small, whole = (sum(p.numel() for p in one.parameters()) for one in (found.network, network))
    assert small < 0.12 * whole
    for layer, (had, has) in found.widths.items():
        assert had == len(network.get_submodule(layer).weight)
        assert has == len(found.network.get_submodule(layer).weight) < had
    assert all(p.equal(b) for p, b in zip(network.parameters(), before, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_units_that_a_cut_by_the_weight_left_idle_go_too(name):
    network, inputs = cut_network(name, "global", 0.99, activation="softplus")
    found = shrunk(network)
    assert found.left_out > 0
    assert apart(network, found.network, inputs) < CLOSE


def test_a_constant_goes_into_the_bias_of_its_reader():
    body = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.Softplus())
    network = Network(body, 2, 1).requires_grad_(False)
    body[1].weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
    body[1].bias.copy_(torch.tensor([0.0, 3.0]))
    network.head.weight.copy_(torch.tensor([[5.0, 7.0]]))
    network.head.bias.fill_(1.0)
    found = shrunk(network)
    assert found.widths == {"body.1": (2, 1)}
    assert found.network.head.weight.tolist() == [[5.0]]
    assert float(found.network.head.bias) == pytest.approx(1 + 7 * np.log1p(np.exp(3.0)))


def test_a_unit_that_a_convolution_still_reads_stays():
    body = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1), nn.Flatten())
    network = Network(body, 4, 2).requires_grad_(False)
    body[0].weight[1] = 0
    body[0].bias.fill_(1.0)  # 1 inside, and 0 in the padding around
    found = shrunk(network)
    assert found.widths["body.0"] == (2, 2)
    assert apart(network, found.network, torch.rand(3, 1, 2, 2)) == 0


def test_a_layer_that_says_nothing_keeps_one_unit():
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU()), 3, 2).requires_grad_(False)
    network.head.weight.zero_()
    assert shrunk(network).widths == {"body.1": (3, 1)}


# -- of runs


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> RunStore:
    return RunStore(tmp_path_factory.mktemp("shrunk") / "runs")


@pytest.fixture(scope="module")
def pruned(store) -> str:
    return recorded(store, {"pruning.allocation": "neuron", "sparsity": 0.8, "epochs": 4, "train_limit": None})


@pytest.mark.parametrize("form", FORMATS)
def test_the_file_answers_every_example_as_the_run_did(store, pruned, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    final = network_of(store, pruned)
    done = encoded(final, form, shrink=True)
    assert done.accuracies == final.accuracies
    assert done.apart < 1e-4
    assert len(done.data) < 0.5 * len(encoded(final, form).data) or form == "sparse"


def test_the_card_says_the_widths_and_the_file_has_them(store, pruned, tmp_path):
    final = network_of(store, pruned)
    done, card = export_network(final, "safetensors", tmp_path / "net", shrink=True)
    tensors = load_file(tmp_path / "net")
    after = {name: len(tensors[f"{name}.weight"]) for name in ("body.hidden1", "body.hidden2")}
    assert {name: has for name, (_, has) in done.widths.items()} == after
    assert tensors["head.weight"].shape == (4, after["body.hidden2"])
    gone = 200 - sum(after.values())
    assert f"Shrunk: {gone} units" in card.read_text()
    assert f"body.hidden1 100 to {after['body.hidden1']}" in card.read_text()
    tensors = final.tensors()
    zeros = sum(int((tensors[name] == 0).sum()) for name in final.prunable)
    share = 100 * zeros / sum(tensors[name].size for name in final.prunable)
    assert f"{share:.2f}% of the prunable weights are 0 before shrinking\n" in card.read_text()
    assert 80 <= share < 81  # a unit more than fits is not kept


def told_shapes(card: str) -> dict[str, tuple[int, ...]]:
    """The shape of each layer's weight, after what the card says of it."""
    shapes = {}
    for name, said in re.findall(r"`([a-z0-9.]+)` Linear\((.*?)\)", card):
        shapes[name] = tuple(int(re.search(f"{key}_features=(\\d+)", said)[1]) for key in ("out", "in"))
    for name, inside, outside, side in re.findall(r"`([a-z0-9.]+)` Conv2d\((\d+), (\d+), kernel_size=\((\d+),", card):
        shapes[name] = (int(outside), int(inside), int(side), int(side))
    return shapes


@pytest.mark.parametrize("shrink", [True, False])
@pytest.mark.parametrize("network", ["mlp", "small-cnn"])
def test_the_card_tells_the_layers_that_are_in_the_file(store, pruned, tmp_path, network, shrink):
    settings = {"network": network, "pruning.allocation": "neuron", "sparsity": 0.8}
    run_id = pruned if network == "mlp" else recorded(store, settings)
    _, card = export_network(network_of(store, run_id), "safetensors", tmp_path / "net", shrink=shrink)
    weights = {name: one.shape for name, one in load_file(tmp_path / "net").items() if name.endswith(".weight")}
    assert {f"{name}.weight": shape for name, shape in told_shapes(card.read_text()).items()} == weights
    assert ("before shrinking" in card.read_text()) == shrink


def test_the_command(store, pruned, tmp_path, capsys):
    words = ["--format", "safetensors", "--shrink", "--runs", str(store.root), "--json"]
    assert main(["export", pruned, str(tmp_path / "net"), *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["widths"]["body.hidden1"][0] == 100
    assert told["dense_bytes"] > 3 * told["bytes"]
    assert main(["export", pruned, str(tmp_path / "all"), "--shrink", "--runs", str(store.root)]) == 2
    assert "--shrink makes a network smaller, and a bundle holds the run" in capsys.readouterr().err


def test_nothing_to_shrink_is_one_line(store):
    run_id = recorded(store, {"method": "finetune", "sparsity": 0.0})
    with pytest.raises(InputError, match="no unit of this network can be left out"):
        encoded(network_of(store, run_id), "safetensors", shrink=True)
