"""What whole units cannot come to: refused when the config is read, and where it does not know, when the run begins."""

import pytest
from tiny_runs import tiny

from esacl import narrowest, networks, room, run
from esacl.config import NETWORK_NAMES, RunConfig, read_config
from esacl.errors import InputError
from esacl.networks import prunable_in
from esacl.structure import most_sparsity
from esacl.tasks import TaskStream
from esacl.units import units_of

BUILT = {"mlp": networks.mlp, "small-cnn": networks.small_cnn, "resnet18": networks.resnet18}  # as they are, not narrow
TOO_SPARSE = r"sparsity: 0\.998 .*one unit a layer has to stay; choose 0\.996 at most"


def test_a_sparsity_that_one_unit_a_layer_does_not_come_to_is_refused_by_the_config():
    with pytest.raises(InputError, match=TOO_SPARSE):
        tiny({"pruning.allocation": "neuron", "sparsity": 0.998})
    assert tiny({"pruning.allocation": "neuron", "sparsity": 0.996}).sparsity == 0.996


def test_of_a_network_whose_sizes_no_config_tells_the_run_refuses_it(monkeypatch):
    monkeypatch.delitem(narrowest._SIZES, "mlp")
    config = tiny({"pruning.allocation": "neuron", "sparsity": 0.998})
    with pytest.raises(InputError, match=TOO_SPARSE):
        next(run(config))


@pytest.mark.parametrize("network", NETWORK_NAMES)
@pytest.mark.parametrize(
    ("benchmark", "scenario", "more", "shape"),
    [
        ("split-digits", "task", {}, (1, 8, 10)),
        ("split-digits", "class", {}, (1, 8, 10)),
        ("split-digits", "domain", {"tasks": 3}, (1, 8, 2)),
        ("split-mnist", "class", {"tasks": 4}, (1, 28, 8)),
        ("split-mnist", "class", {"method": "sparcl", "sparcl.base": "co2l", "buffer.size": 9}, (1, 28, 10)),
        ("permuted-mnist", "domain", {}, (1, 28, 10)),
        ("split-cifar10", "task", {"resolution": 16}, (3, 16, 10)),
        ("split-cifar100", "class", {}, (3, 32, 100)),
        ("split-tiny-imagenet", "task", {}, (3, 32, 40)),
    ],
)
def test_what_a_config_knows_is_what_the_network_says(network, benchmark, scenario, more, shape):
    config = read_config(None, {"benchmark": benchmark, "scenario": scenario, "network": network, **more})
    channels, side, outputs = shape
    stream = TaskStream(benchmark, scenario, (channels, side, side), outputs, ("",) * outputs, 0, lambda index: None)
    built = BUILT[network](stream, "relu")
    parameters = dict(built.named_parameters())
    weights = {name: parameters[name] for name in prunable_in(config, built)}
    assert narrowest.most_sparsity(config) == most_sparsity(weights, units_of(built))
    held = [*parameters.values(), *built.buffers()]
    assert sum(one.numel() for one in held) <= room.parameters(config)


def test_where_only_files_tell_how_many_classes_there_are_nothing_is_refused_too_early():
    config = RunConfig(benchmark="split-tiny-imagenet", scenario="class", network="mlp")
    found = narrowest.most_sparsity(config)
    for outputs in (10, 40, 200):
        stream = TaskStream(config.benchmark, "class", (3, 32, 32), outputs, ("",) * outputs, 0, lambda index: None)
        built = BUILT["mlp"](stream, "relu")
        parameters = dict(built.named_parameters())
        weights = {name: parameters[name] for name in prunable_in(config, built)}
        assert found >= most_sparsity(weights, units_of(built)) - 1e-12
