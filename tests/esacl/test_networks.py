"""Networks: shapes, initialisation from the seed alone, names, and twice differentiable."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from esacl import networks, normalisation
from esacl.config import NETWORK_NAMES, RunConfig
from esacl.networks import NETWORKS, build, private_names, prunable_names
from esacl.sections import choices
from esacl.tasks import TaskStream, task_stream

every_network = pytest.mark.parametrize("name", NETWORK_NAMES)


def stream_of(shape: tuple[int, int, int], outputs: int = 10, name: str = "split-mnist") -> TaskStream:
    """A stream of images of that shape, of which nothing but the shape is needed here."""
    return TaskStream(name, "class", shape, outputs, tuple(map(str, range(outputs))), 0, lambda index: None)


def small(name: str, **fields) -> networks.Network:
    config = RunConfig(network=name, **fields)
    return build(config, task_stream(config))


def test_the_names_are_those_of_the_config():
    assert tuple(NETWORKS) == NETWORK_NAMES
    assert tuple(networks._ACTIVATIONS) == choices(RunConfig, "activation")


@every_network
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_images_become_logits_through_features(name, shape, activation):
    network = build(RunConfig(network=name, activation=activation), stream_of(shape, 6))
    inputs = torch.rand(5, *shape)
    features = network.features(inputs)
    assert network(inputs).shape == (5, 6)
    assert features.shape == (5, network.head.in_features)
    assert torch.equal(networks.features(network, inputs), features)
    assert torch.equal(network(inputs), features @ network.head.weight.T + network.head.bias)
    assert bool((features >= 0).all())
    if name != "resnet18" or shape[1] == 8:  # else a feature is a mean of several pixels, which are hardly ever all 0
        assert bool((features > 0).all()) == (activation == "softplus")


def test_a_whole_task_is_never_in_the_network_at_once():
    """IDS scores every example of a task; in one piece their activations alone would fill a GPU."""
    network, seen = NETWORKS["mlp"](task_stream(RunConfig(), None), "relu"), []
    inputs = torch.rand(2 * networks.PIECE + 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    network.body.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with torch.no_grad():
        found = networks.features(network, inputs)
    assert seen == [networks.PIECE, networks.PIECE, 3]
    torch.testing.assert_close(found, network.features(inputs))
    assert networks.features(network, inputs[:0]).shape == (0, 100)


def test_sizes():
    def count(name: str, stream: TaskStream) -> int:
        return sum(p.numel() for p in build(RunConfig(network=name), stream).parameters())

    assert count("small-cnn", stream_of((3, 32, 32))) == 356_810
    with torch.device("meta"):
        whole = networks.resnet18(stream_of((3, 32, 32)), "relu")
    assert sum(p.numel() for p in whole.parameters()) == 11_173_962
    assert sum(whole.get_parameter(n).numel() for n in prunable_names(whole, "task")) == 11_159_232
    assert count("mlp", stream_of((1, 28, 28))) == 785 * 400 + 401 * 400 + 401 * 10
    assert count("mlp", stream_of((1, 8, 8), name="split-digits")) == 65 * 100 + 101 * 100 + 101 * 10


@every_network
def test_the_seed_alone_decides_the_weights(name):
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = small(name, seed=5)
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(2)
    second, other = small(name, seed=5), small(name, seed=6)
    for key, weight in first.named_parameters():
        assert torch.equal(weight, second.get_parameter(key))
        if weight.ndim > 1:
            assert not torch.equal(weight, other.get_parameter(key))


@every_network
def test_weights_are_he_uniform_and_biases_zero(name, monkeypatch):
    monkeypatch.setitem(NETWORKS, "resnet18", networks.resnet18)  # a narrow one has layers too small for statistics
    network = build(RunConfig(network=name), stream_of((3, 32, 32)))
    for key, parameter in network.named_parameters():
        assert parameter.device.type == "cpu"
        assert parameter.requires_grad
        if parameter.ndim == 1:
            norm = ".norm" in key and key.endswith("weight")
            assert torch.equal(parameter, torch.full_like(parameter, float(norm)))
            continue
        bound = ((3 if key == "head.weight" else 6) / parameter[0].numel()) ** 0.5
        assert float(parameter.detach().abs().max()) <= bound
        assert float(parameter.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.06)


@every_network
def test_prunable_and_private_names(name):
    network = small(name)
    weights = [key for key, parameter in network.named_parameters() if parameter.ndim > 1]
    assert weights[-1] == "head.weight"
    assert prunable_names(network, "task") == tuple(weights[:-1])
    assert private_names(network, "task") == ("head.weight", "head.bias")
    for scenario in ("class", "domain"):
        assert prunable_names(network, scenario) == tuple(weights)
        assert private_names(network, scenario) == ()


@every_network
def test_a_task_loss_leaves_the_heads_of_other_tasks_alone(name):
    config = RunConfig(network=name)
    stream = task_stream(config)
    network = build(config, stream)
    task = stream[1]
    columns = list(task.classes)
    logits = network(task.train.inputs[:32])[:, columns]
    cross_entropy(logits, task.train.targets[:32] - columns[0]).backward()
    moved = network.head.weight.grad.abs().sum(dim=1) > 0
    assert moved.nonzero().flatten().tolist() == columns


@every_network
def test_a_hessian_vector_product_is_the_derivative_of_the_gradient(name):
    config = RunConfig(network=name, activation="softplus")
    stream = task_stream(config)
    network = build(config, stream).double()
    inputs, targets = stream[0].train.inputs[:4].double(), stream[0].train.targets[:4]
    weights = list(network.parameters())
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]

    def gradient(create_graph: bool = False):
        return torch.autograd.grad(cross_entropy(network(inputs), targets), weights, create_graph=create_graph)

    products = torch.autograd.grad(gradient(create_graph=True), weights, directions)
    step = 1e-6
    shifted = []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.add_(sign * step * direction)
        shifted.append(gradient())
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.sub_(sign * step * direction)
    for product, above, below in zip(products, *shifted, strict=True):
        torch.testing.assert_close(product, (above - below) / (2 * step), rtol=1e-4, atol=1e-5)


@every_network
def test_modes_agree_without_batchnorm_and_copies_are_independent(name):
    network = small(name)
    inputs = torch.rand(3, 1, 8, 8)
    twin = copy.deepcopy(network).eval()
    normalised = name in normalisation.NETWORKS
    assert not network.training
    assert bool(list(network.buffers())) == normalised
    assert torch.equal(twin(inputs), network.train()(inputs)) != normalised
    with torch.no_grad():
        twin.head.weight.zero_()
    assert network.head.weight.any()
