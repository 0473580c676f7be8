"""Steps by what is left of a network are steps of the whole network without its zeros."""

import copy

import pytest
import torch
from torch import Tensor, nn

from esacl import networks, pipeline, resnet, sparse_steps, training
from esacl.anchors import Anchors
from esacl.config import RunConfig
from esacl.mask import Mask
from esacl.networks import Network, prunable_names
from esacl.pruning import keep_top
from esacl.remainder import Block, Remainder, chain_of, remainder_of
from esacl.sparse_steps import Rates, SparseSteps
from esacl.units import units_of

pytestmark = pytest.mark.filterwarnings("error")


def chain(kind: str, activation: type[nn.Module], seed: int = 0) -> Network:
    """A network in float64 with biases, small enough for many comparisons."""
    torch.manual_seed(seed)
    if kind == "mlp":
        body = nn.Sequential(nn.Flatten(), nn.Linear(48, 20), activation(), nn.Linear(20, 15), activation())
        network = Network(body, 15, 6)
    else:
        body = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), activation(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), activation(),
            nn.Flatten(), nn.Linear(32, 12), activation(),
        )  # fmt: skip
        network = Network(body, 12, 6)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return network.double()


def mask_of(network: Network, scenario: str, allocation: str, sparsity: float) -> Mask:
    names = prunable_names(network, scenario)
    saliency = {n: p.detach().abs() for n, p in network.named_parameters() if n in names}
    return keep_top(saliency, sparsity, allocation, units_of(network))


CASES = [
    (kind, activation, scenario, allocation, sparsity, last)
    for kind, last in [("mlp", False), ("cnn", False), ("cnn", True)]
    for activation in (nn.ReLU, nn.Softplus)
    for scenario in ("task", "class")
    for allocation, sparsity in [("global", 0.7), ("global", 0.96), ("neuron", 0.8)]
]


@pytest.mark.parametrize(("kind", "activation", "scenario", "allocation", "sparsity", "channels_last"), CASES)
def test_passes_are_those_of_the_whole_network(kind, activation, scenario, allocation, sparsity, channels_last):
    network = chain(kind, activation)
    if channels_last:
        network.to(memory_format=torch.channels_last)
    mask = mask_of(network, scenario, allocation, sparsity)
    mask.apply(network)
    live = remainder_of(network, chain_of(network), mask)
    inputs = torch.randn(9, 3, 4, 4, dtype=torch.float64)
    target = torch.randn(9, 6, dtype=torch.float64)
    whole = network(inputs)
    torch.testing.assert_close(live(inputs), whole, rtol=1e-12, atol=1e-12)
    gradients = torch.autograd.grad((whole * target).sum(), network.parameters())
    expected = dict(zip([name for name, _ in network.named_parameters()], gradients, strict=True))
    (live(inputs) * target).sum().backward()
    for name, parameter in network.named_parameters():
        if name in mask:
            got = gathered(live.blocks[name], parameter)
            torch.testing.assert_close(got, expected[name] * mask[name], rtol=1e-10, atol=1e-12)
        else:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-10, atol=1e-12)


def gathered(blocks: list[Block], whole: Tensor) -> Tensor:
    """The gradients of the survivors in the whole weight's shape; each survivor in one block exactly."""
    gradient, times = torch.zeros_like(whole), torch.zeros_like(whole)
    for block in blocks:
        laid = torch.empty_like(block.weight).copy_(block.weight.grad)
        for what, values in ((gradient, laid), (times, torch.ones_like(laid))):
            memory = what.detach().as_strided((what.numel(),), (1,))
            memory[block.places] += values.detach().as_strided((laid.numel(),), (1,))[block.inside]
    assert set(times.unique().tolist()) <= {0.0, 1.0}
    return gradient.detach()


def test_what_is_left_is_smaller():
    network = chain("mlp", nn.ReLU)
    mask = mask_of(network, "task", "neuron", 0.8)
    mask.apply(network)
    live = remainder_of(network, chain_of(network), mask)
    entries = sum(block.weight.numel() for blocks in live.blocks.values() for block in blocks)
    assert entries == mask.kept  # whole units: every entry of what is left is a survivor


def test_units_that_nothing_feeds_are_taken_into_biases():
    network = chain("mlp", nn.Softplus)
    mask = {name: torch.ones_like(p, dtype=torch.bool) for name, p in network.named_parameters() if p.ndim == 2}
    del mask["head.weight"]
    mask["body.1.weight"][5:] = False  # 15 of 20 units are the same for every example, and all are read
    mask = Mask(mask)
    mask.apply(network)
    live = remainder_of(network, chain_of(network), mask)
    assert [tuple(b.weight.shape) for b in live.blocks["body.3.weight"]] == [(15, 15), (15, 5)]
    assert tuple(live.blocks["body.1.weight"][0].weight.shape) == (5, 48)
    inputs = torch.randn(4, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(live(inputs), network(inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_updates_are_those_of_optimiser_and_anchors(kind, momentum):
    network = chain(kind, nn.ReLU)
    if kind == "cnn":
        network.to(memory_format=torch.channels_last)
    mask = mask_of(network, "task", "global", 0.85)
    anchors = Anchors(2.0, compact=True, guard=True)
    fisher = {n: torch.rand_like(p) for n, p in network.named_parameters() if not n.startswith("head")}
    anchors.consolidate(dict(network.named_parameters()), fisher, mask)
    mask.apply(network)
    other = copy.deepcopy(network)
    optimiser, another = (torch.optim.SGD(net.parameters(), lr=0.1, momentum=momentum) for net in (network, other))
    inputs, targets = torch.randn(20, 3, 4, 4, dtype=torch.float64), torch.randint(0, 6, (20,))
    parameters, others = dict(network.named_parameters()), dict(other.named_parameters())
    moments = {name: torch.rand_like(parameters[name].detach()) for name in mask}
    copies = {name: moment.clone() for name, moment in moments.items()}

    def whole_step(rates: Rates) -> None:
        for group in optimiser.param_groups:
            group["lr"] = rates.lr
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        mask.apply_to_gradients({name: parameters[name] for name in mask})
        for name, moment in moments.items():
            moment.mul_(0.99).addcmul_(parameters[name].grad, parameters[name].grad, value=1 - 0.99)
        optimiser.step()
        mask.apply(network)
        anchors.pull(parameters, rates.pull)
        mask.apply(network)

    def sparse_step(rates: Rates) -> None:
        for group in another.param_groups:
            group["lr"] = rates.lr
        another.zero_grad()
        nn.functional.cross_entropy(steps.forward(inputs), targets).backward()
        steps.update(rates)
        another.step()
        anchors.pull({name: p for name, p in others.items() if name not in mask}, rates.pull)

    rates = [Rates(0.1 / (i + 1), momentum, 0.01) for i in range(5)]
    whole_step(rates[0])
    other.load_state_dict(network.state_dict())
    for mine, theirs in zip(another.param_groups[0]["params"], optimiser.param_groups[0]["params"], strict=True):
        buffer = optimiser.state[theirs].get("momentum_buffer")
        if buffer is not None:
            another.state[mine]["momentum_buffer"] = buffer.clone()
    for name, moment in copies.items():
        moment.copy_(moments[name])
    given = {n: another.state[p]["momentum_buffer"] for n, p in others.items() if momentum}
    steps = SparseSteps(other, mask, anchors, given, copies)
    for rate in rates[1:]:
        whole_step(rate)
        sparse_step(rate)
        steps.give_back()  # to be looked at; nothing changes by it
    for name in parameters:
        torch.testing.assert_close(others[name], parameters[name], rtol=1e-10, atol=1e-12)
        if momentum:
            theirs = optimiser.state[parameters[name]]["momentum_buffer"] * mask.get(name, torch.tensor(1.0))
            torch.testing.assert_close(given[name], theirs, rtol=1e-10, atol=1e-12)
    for name, moment in moments.items():
        torch.testing.assert_close(copies[name], moment, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("sparsity", "form", "allocation"),
    [(0.9, "admm", "global"), (0.95, "segment", "global"), (0.98, "progressive", "global"), (0.9, "admm", "neuron")],
)
def test_a_run_comes_to_the_same(sparsity, form, allocation, monkeypatch):
    config = RunConfig.model_validate({
        "sparsity": sparsity, "sdp": {"form": form}, "pruning": {"allocation": allocation}, "tasks": 2, "threads": 1,
        "curvature": {"top": 0, "levels": 0, "grid": 0}, "device": "cpu",
    })  # fmt: skip
    monkeypatch.setattr(sparse_steps, "FEWEST", 0)
    in_float64(monkeypatch)
    sparse, steps = last_checkpoint(config, monkeypatch, sparse_steps.pays)
    whole, none = last_checkpoint(config, monkeypatch, lambda mask: False)
    assert steps > 20
    assert none == 0
    assert sparse.keys() == whole.keys()
    for name, value in sparse.items():
        assert abs(value * 1.0 - whole[name]).max(initial=0) < 1e-9, name


def in_float64(monkeypatch):
    """Runs in float64: in float32 kinks and ranks make much of last digits."""
    placed, features, live = networks.placed, Network.features, Remainder.__call__
    monkeypatch.setattr(networks, "placed", lambda *arguments: placed(*arguments).double())
    monkeypatch.setattr(Network, "features", lambda self, inputs: features(self, inputs.double()))
    monkeypatch.setattr(Remainder, "__call__", lambda self, inputs: live(self, inputs.double()))


def last_checkpoint(config, monkeypatch, pays):
    """The arrays at the end of a run, and how many of its steps went by what was left."""
    counted, update = [0], SparseSteps.update

    def counting(self, rates):
        counted[0] += 1
        update(self, rates)

    with monkeypatch.context() as patched:
        patched.setattr(training, "pays", pays)
        patched.setattr(SparseSteps, "update", counting)
        ready = [event for event in pipeline.run(config) if type(event).__name__ == "CheckpointReady"]
    return dict(ready[-1].tensors), counted[0]


def test_a_residual_network_is_no_chain():
    residual = Network(resnet.body(1, nn.ReLU, 2), 16, 4)
    assert chain_of(residual) is None
    assert chain_of(nn.Sequential(nn.Linear(2, 2))) is None
    assert not sparse_steps.can_shrink(residual, "neuron")


def test_a_network_that_convolves_shrinks_by_whole_channels_only():
    assert sparse_steps.can_shrink(chain("mlp", nn.ReLU), "global")
    assert sparse_steps.can_shrink(chain("cnn", nn.ReLU), "neuron")
    assert not sparse_steps.can_shrink(chain("cnn", nn.ReLU), "global")


@pytest.mark.parametrize(("form", "sparsity"), [("admm", 0.9), ("progressive", 0.98)])
def test_a_run_resumed_amid_sparse_steps_is_the_same_to_the_last_bit(form, sparsity, monkeypatch):
    monkeypatch.setattr(sparse_steps, "FEWEST", 0)
    config = RunConfig.model_validate({
        "sparsity": sparsity, "sdp": {"form": form}, "tasks": 2, "threads": 1, "epochs": 4,
        "curvature": {"top": 0, "levels": 0, "grid": 0}, "device": "cpu",
    })  # fmt: skip
    ready = [e.tensors | {} for e in pipeline.run(config) if type(e).__name__ == "CheckpointReady"]
    events = pipeline.run(config)
    amid = [copy.deepcopy(e) for e in events if type(e).__name__ == "CheckpointReady" and e.task == 1 and e.epoch == 3]
    again = [e.tensors for e in pipeline.run(config, amid[0]) if type(e).__name__ == "CheckpointReady"]
    assert len(again) == 2
    for name, value in again[-1].items():
        assert (value == ready[-1][name]).all(), name


def test_small_and_dense_networks_go_whole():
    large, dense = torch.zeros(200_000, dtype=torch.bool), torch.ones(200_000, dtype=torch.bool)
    assert sparse_steps.pays(Mask({"w": large}))
    assert not sparse_steps.pays(Mask({"w": dense}))
    assert not sparse_steps.pays(Mask({"w": large[:50_000]}))
