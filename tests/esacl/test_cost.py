"""Costs: FLOPs against a count by hand to the last operation, bytes against shapes."""

import math
from dataclasses import fields

import psutil
import pytest
import torch
from torch import nn

from esacl import summary
from esacl.config import RunConfig
from esacl.cost import ITEMS, Ledger
from esacl.events import CostCounted
from esacl.flops import LayerFlops, count_layers, count_product
from esacl.footprint import activation_bytes, peak_bytes
from esacl.networks import NETWORKS, build, resnet18
from esacl.tasks import TaskStream


def network_of(name: str, shape: tuple[int, int, int], outputs: int = 10) -> nn.Module:
    stream = TaskStream("split-mnist", "class", shape, outputs, (), 0, lambda index: None)
    return build(RunConfig(network=name), stream)


def layer(flops: int, first: bool = False) -> LayerFlops:
    return LayerFlops(forward=flops, input_gradient=0 if first else flops, weight_gradient=flops)


def linear(inside: int, outside: int) -> int:
    return 2 * inside * outside


def conv(inside: int, outside: int, side: int) -> int:
    return 2 * inside * 9 * outside * side * side  # padded: the border counts as the middle does


MLP = {
    "body.hidden1.weight": layer(linear(784, 400), first=True),
    "body.hidden2.weight": layer(linear(400, 400)),
    "head.weight": layer(linear(400, 10)),
}
CNN = {
    "body.conv1.weight": layer(conv(1, 32, 28), first=True),
    "body.conv2.weight": layer(conv(32, 64, 14)),
    "body.conv3.weight": layer(conv(64, 128, 7)),
    "body.hidden.weight": layer(linear(128 * 3 * 3, 128)),
    "head.weight": layer(linear(128, 10)),
}


@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize(("name", "by_hand"), [("mlp", MLP), ("small-cnn", CNN)])
def test_layers_are_counted_to_the_last_operation(name, by_hand, batch):
    assert count_layers(network_of(name, (1, 28, 28)), torch.rand(batch, 1, 28, 28)) == by_hand


def test_colour_images_and_another_loss():
    network = network_of("small-cnn", (3, 32, 32), 4)
    counted = count_layers(network, torch.rand(2, 3, 32, 32), lambda outputs: outputs[:, :2].square().sum())
    assert counted == {
        "body.conv1.weight": layer(conv(3, 32, 32), first=True),
        "body.conv2.weight": layer(conv(32, 64, 16)),
        "body.conv3.weight": layer(conv(64, 128, 8)),
        "body.hidden.weight": layer(linear(2048, 128)),
        "head.weight": layer(linear(128, 4)),
    }


def test_how_often_a_weight_is_used_is_the_number_of_places_it_is_laid_on():
    layers = count_layers(network_of("small-cnn", (1, 28, 28)), torch.rand(2, 1, 28, 28))
    ledger = Ledger(layers)
    found = [ledger.uses(name, n) for name, n in zip(CNN, (9 * 32, 9 * 32 * 64, 9 * 64 * 128, 1152 * 128, 1280))]
    assert found == [28 * 28, 14 * 14, 7 * 7, 1, 1]


RESNET_STAGES = ((64, 64, 32), (64, 128, 16), (128, 256, 8), (256, 512, 4))  # in, out, side of the maps


def resnet_by_hand() -> dict[str, LayerFlops]:
    layers = {"body.stem.weight": layer(conv(3, 64, 32), first=True)}
    for number, (inside, outside, side) in enumerate(RESNET_STAGES, start=1):
        first, second = f"body.block{number}a", f"body.block{number}b"
        layers[f"{first}.conv1.weight"] = layer(conv(inside, outside, side))
        for name in (f"{first}.conv2", f"{second}.conv1", f"{second}.conv2"):
            layers[f"{name}.weight"] = layer(conv(outside, outside, side))
        if inside != outside:
            layers[f"{first}.shortcut.conv.weight"] = layer(2 * inside * outside * side * side)
    return layers | {"head.weight": layer(linear(512, 10))}


def test_resnet18_is_counted_to_the_last_operation(monkeypatch):
    monkeypatch.setitem(NETWORKS, "resnet18", resnet18)  # in its own width
    counted = count_layers(network_of("resnet18", (3, 32, 32)), torch.rand(1, 3, 32, 32))
    assert counted == resnet_by_hand()
    assert len(counted) == 21
    assert sum(flops.forward for flops in counted.values()) == 1_110_845_440


def test_a_product_of_resnet18_is_about_three_gradients():
    network = network_of("resnet18", (1, 8, 8))
    layers = count_layers(network, torch.rand(2, 1, 8, 8))
    gradient = sum(f.forward + f.input_gradient + f.weight_gradient for f in layers.values())
    assert 2.8 < count_product(network, torch.rand(2, 1, 8, 8)) / gradient < 3.2


def test_a_dense_step_of_the_mlp_is_2_34_forward_passes():
    ledger = Ledger(MLP)
    ledger.dense_step(1)
    forward = sum(flops.forward for flops in MLP.values())
    assert forward == 955_200
    assert ledger.train_flops_dense_sgd / forward == pytest.approx(2.34, abs=0.005)


def test_a_product_is_counted_to_the_last_operation():
    # Each layer: 1 forward; 2 gradients (the first layer 1); each gradient differentiated by its two factors
    # (the data is not differentiated: 1); then the way back through the forward pass, 2 (the first layer 1).
    by_hand = sum(flops.forward * (4 if flops.input_gradient == 0 else 9) for flops in MLP.values())
    assert count_product(network_of("mlp", (1, 28, 28)), torch.rand(3, 1, 28, 28)) == by_hand


def test_a_product_of_the_cnn_is_about_three_gradients():
    gradient = sum(f.forward + f.input_gradient + f.weight_gradient for f in CNN.values())
    product = count_product(network_of("small-cnn", (1, 28, 28)), torch.rand(2, 1, 28, 28))
    assert 2.5 < product / gradient < 3.5


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["mlp", "small-cnn", "resnet18"])
def test_counting_leaves_the_network_as_it_was(name, training):
    network = network_of(name, (1, 28, 28))
    network.train(training)
    network.head.bias.requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    inputs = torch.rand(2, 1, 28, 28)
    count_layers(network, inputs)
    count_product(network, inputs)
    activation_bytes(network, inputs)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert not network.head.bias.requires_grad
    assert network.head.weight.requires_grad
    assert not inputs.requires_grad
    assert all(module.training == training for module in network.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


LAYERS = {"a": LayerFlops(100, 0, 100), "b": LayerFlops(10, 10, 10)}


def test_a_dense_step():
    ledger = Ledger(LAYERS)
    ledger.step(4)
    ledger.dense_step(4)
    assert ledger.train_flops == ledger.train_flops_dense_sgd == 4 * 230
    assert ledger.train_flops_published_rule == 4 * 3 * 110
    assert (ledger.examples_forward, ledger.examples_backward, ledger.analysis_flops) == (4, 4, 0)


def test_a_sparse_step_scales_each_layer_by_its_density():
    ledger = Ledger(LAYERS)
    ledger.step(2, densities={"a": 0.1, "b": 0.5})
    assert ledger.train_flops == pytest.approx(2 * ((10 + 5) + 5 + (100 + 10)))
    assert ledger.train_flops_published_rule == pytest.approx(2 * 3 * 15)
    survivors = Ledger(LAYERS)
    survivors.step(2, densities={"a": 0.1}, survivors_only=True)  # what is not named is dense
    assert survivors.train_flops == pytest.approx(2 * ((10 + 10) + 10 + (10 + 10)))


def test_a_step_that_goes_back_on_fewer_examples():
    ledger = Ledger(LAYERS)
    ledger.step(64, 16)
    assert ledger.train_flops == 64 * 110 + 16 * 120
    assert ledger.train_flops_published_rule == 110 * (64 + 2 * 16)
    assert (ledger.examples_forward, ledger.examples_backward) == (64, 16)


def test_a_replayed_example_costs_as_much_and_the_published_rule_bills_less():
    ledger = Ledger(LAYERS)
    ledger.step(64, replayed=32)
    assert ledger.train_flops == 64 * 230
    assert ledger.train_flops_published_rule == 110 * (3 * 32 + 32)


def test_extras_are_billed_to_training_but_not_by_the_published_rule():
    ledger = Ledger(LAYERS, product=1000)
    ledger.forward(5, {"a": 0.5})
    ledger.gradient(3)
    ledger.products(2)
    assert ledger.train_flops == 5 * 60 + 3 * 230 + 2 * 1000
    assert ledger.train_flops_published_rule == ledger.train_flops_dense_sgd == ledger.analysis_flops == 0
    assert (ledger.examples_forward, ledger.examples_backward) == (10, 5)


def test_analysis_is_kept_apart():
    ledger = Ledger(LAYERS)
    ledger.analysis(forward_examples=7, gradients=2, products=1)
    assert ledger.analysis_flops == 7 * 110 + 2 * 230 + 3 * 230
    assert ledger.train_flops == ledger.examples_forward == ledger.examples_backward == 0


def test_a_ledger_goes_on_from_its_state():
    first, second = Ledger(LAYERS), Ledger(LAYERS)
    for ledger in (first, second):
        ledger.step(3, densities={"a": 0.3})
        ledger.analysis(products=1)
    resumed = Ledger(LAYERS)
    resumed.load(first.state())
    for ledger in (resumed, second):
        ledger.step(5)
        ledger.dense_step(5)
    assert resumed.state() == second.state()
    assert isinstance(resumed.examples_forward, int)
    with pytest.raises(KeyError):
        resumed.load({})


def test_the_fields_are_those_of_the_event():
    names = {field.name for field in fields(CostCounted)}
    assert set(Ledger(LAYERS).state()) - {"bill", "by_layer"} <= names
    assert {f"{item}_flops" for item in ITEMS} <= names
    assert summary.BILL == ITEMS


# The bill


def test_every_flop_is_on_the_bill_and_in_a_layer():
    ledger = Ledger(LAYERS, product=1000)
    ledger.step(64, 32, densities={"a": 0.5}, replayed=16)
    ledger.forward(5)
    ledger.gradient(3)
    ledger.gradient(2, item="other")
    forward, backward = 50 + 10, 100 + 10 + 10
    assert ledger.bill == {
        "fresh_forward": 24 * forward, "fresh_backward": 24 * backward, "replay": 8 * (forward + backward),
        "scoring": 32 * forward + 5 * 110, "fisher": 3 * 230, "other": 2 * 230,
    }  # fmt: skip
    assert ledger.train_flops == 64 * forward + 32 * backward + 5 * (110 + 230)
    assert math.fsum(ledger.by_layer.values()) == ledger.train_flops
    assert ledger.by_layer["a"] == 64 * 50 + 32 * 100 + 5 * 100 + 5 * 200
    ledger.products(1)
    assert ledger.bill["other"] == 2 * 230 + 1000
    assert ledger.train_flops - math.fsum(ledger.by_layer.values()) == 1000  # no layer is known of a product


def test_the_sum_is_exact_where_densities_are_no_round_numbers():
    ledger = Ledger(LAYERS)
    for i in range(1, 50):
        ledger.step(7, 3, densities={"a": 1 / i, "b": 0.1}, survivors_only=bool(i % 2), replayed=i % 3)
        ledger.forward(i, {"a": 0.3})
    assert ledger.train_flops == math.fsum(ledger.bill.values())
    assert math.fsum(ledger.by_layer.values()) == pytest.approx(ledger.train_flops, rel=1e-12)


def test_a_checkpoint_without_a_bill_is_gone_on_from_and_not_itemised():
    old = {name: value for name, value in Ledger(LAYERS).state().items() if name not in ("bill", "by_layer")}
    ledger = Ledger(LAYERS)
    ledger.load({**old, "train_flops": 500.0})
    ledger.step(1)
    assert ledger.train_flops == 730
    assert not ledger.itemised
    again = Ledger(LAYERS)
    again.load(ledger.state())
    assert again.train_flops == 730
    assert not again.itemised
    assert Ledger(LAYERS).itemised


# Whole steps of three networks, by hand: MACs of a layer = inputs x outputs x positions, two FLOPs each

MACS = {  # network -> MACs of each layer for one example, first layer first
    "mlp": (784 * 400, 400 * 400, 400 * 10),
    "small-cnn": (9 * 32 * 784, 32 * 9 * 64 * 196, 64 * 9 * 128 * 49, 1152 * 128, 128 * 10),
    "strided": (3 * 9 * 8 * 16, 8 * 6 * 16, 96 * 5),
}


class Strided(nn.Module):
    """3x3 with stride 2, 1x1, linear: 3x8x8 images become 8x4x4, 6x4x4, 5."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(96, 5)

    def forward(self, inputs):
        return self.head(self.narrow(self.wide(inputs).relu()).relu().flatten(1))


@pytest.fixture(scope="module", params=MACS)
def counted(request):
    """A fresh ledger of a network, and its MACs."""
    shape = (3, 8, 8) if request.param == "strided" else (1, 28, 28)
    network = Strided() if request.param == "strided" else network_of(request.param, (1, 28, 28))
    layers = count_layers(network, torch.rand(2, *shape))
    return lambda: Ledger(layers), MACS[request.param]


def test_a_replay_step_of_each_network(counted):
    ledger, macs = counted[0](), counted[1]
    ledger.step(64, replayed=32)
    ledger.dense_step(32)
    forward, backward = 2 * sum(macs), 4 * sum(macs) - 2 * macs[0]  # the data needs no gradient
    assert ledger.train_flops == 64 * (forward + backward) == 2 * ledger.train_flops_dense_sgd
    assert ledger.bill["replay"] == 32 * (forward + backward)
    assert ledger.train_flops_published_rule == 32 * 3 * forward + 32 * forward


def test_a_step_of_each_network_that_goes_back_on_a_quarter(counted):
    ledger, macs = counted[0](), counted[1]
    ledger.step(64, 16)
    forward, backward = 2 * sum(macs), 4 * sum(macs) - 2 * macs[0]
    assert ledger.train_flops == 64 * forward + 16 * backward
    assert ledger.bill["scoring"] == 48 * forward
    assert ledger.train_flops_published_rule == forward * (64 + 2 * 16)


@pytest.mark.parametrize("survivors_only", [False, True])
def test_a_sparse_step_of_each_network(counted, survivors_only):
    ledger, macs = counted[0](), counted[1]
    first, *_, last = ledger.by_layer
    ledger.step(8, densities={first: 0.25, last: 0.5}, survivors_only=survivors_only)
    share = [0.25, *[1.0] * (len(macs) - 2), 0.5]
    forward = sum(2 * m * d for m, d in zip(macs, share))
    of_inputs = sum(2 * m * d for m, d in zip(macs[1:], share[1:]))
    of_weights = forward if survivors_only else 2 * sum(macs)
    assert ledger.train_flops == 8 * (forward + of_inputs + of_weights)
    assert ledger.train_flops_published_rule == 8 * 3 * forward
    assert ledger.by_layer[first] == 8 * 2 * macs[0] * (0.25 + (0.25 if survivors_only else 1.0))


def test_activations_are_what_the_backward_pass_needs():
    # the inputs (for the gradient of the first layer), and both hidden layers after their ReLU
    data = torch.rand(100, 1, 28, 28)
    kept = activation_bytes(network_of("mlp", (1, 28, 28)), data[:8])  # a slice: the rest is not kept by the pass
    assert kept == 4 * 8 * (784 + 400 + 400)


def test_activations_of_the_cnn():
    per_example = 4 * (
        784  # the image
        + 32 * (28 * 28 + 14 * 14) + 64 * (14 * 14 + 7 * 7) + 128 * (7 * 7 + 3 * 3)  # after ReLU, after pooling
        + 128  # the hidden layer
    )  # fmt: skip
    positions = 8 * (32 * 14 * 14 + 64 * 7 * 7 + 128 * 3 * 3)  # int64, where each maximum was
    kept = activation_bytes(network_of("small-cnn", (1, 28, 28)), torch.rand(2, 1, 28, 28))
    assert kept == 2 * (per_example + positions)


def test_peak_bytes_are_bytes_of_this_process():
    now = psutil.Process().memory_info().rss
    assert 0.9 * now < peak_bytes("cpu") <= peak_bytes(torch.device("cpu")) < psutil.virtual_memory().total


@pytest.mark.gpu
def test_peak_bytes_of_a_cuda_device():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.cuda.reset_peak_memory_stats()
    before = peak_bytes("cuda")
    held = torch.ones(2**20, device="cuda")
    assert peak_bytes("cuda") >= before + held.nbytes
