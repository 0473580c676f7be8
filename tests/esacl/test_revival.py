"""Dead units: which they are, that nothing that was learned changes with them, and that they learn again."""

import pytest
import torch
from test_training import learner_of, stage
from tiny_runs import events_of, of_kind, tiny

from esacl import run
from esacl.anchors import Anchors
from esacl.batchnorm import by_batch
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.events import CheckpointReady
from esacl.mask import Mask
from esacl.networks import build
from esacl.revival import dead_units, revive
from esacl.tasks import task_stream
from esacl.units import norm_of, units_of

NETWORKS = ("mlp", "small-cnn", "resnet18")
PAST = torch.tensor([0, 1])


def with_dead_units(name):
    """A network, its images, and how many units a layer are dead: 3 unfed, 2 unread, 1 of them both."""
    torch.manual_seed(0)
    config = tiny({"network": name})
    stream = task_stream(config)
    network = build(config, stream)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2:
                parameter.uniform_(0.1, 0.9)
        for units in units_of(network):
            norm = norm_of(network, units)
            if norm is not None:
                norm.running_var.uniform_(0.5, 2)
            before = norm.bias if norm is not None else network.get_parameter(units.weight[:-6] + "bias")
            network.get_parameter(units.weight)[:3] = 0
            before[:3] = -0.1
            columns = network.get_parameter(units.reader).unflatten(1, (len(before), -1))
            columns[:, 2:4] = 0
    return network, stream[0].train.inputs[:20]


@pytest.mark.parametrize("name", NETWORKS)
def test_dead_are_units_without_way_in_or_out(name):
    network, _ = with_dead_units(name)
    for units in units_of(network):
        assert dead_units(network, units).nonzero().flatten().tolist() == [0, 1, 2, 3], units


def test_a_unit_that_is_a_constant_is_not_dead():
    network, _ = with_dead_units("mlp")
    with torch.no_grad():
        network.get_parameter("body.hidden1.bias")[0] = 0.1  # what reads it has a gradient, and depends on it
    assert dead_units(network, units_of(network)[0]).nonzero().flatten().tolist() == [1, 2, 3]


def test_a_unit_that_only_running_statistics_wake_is_not_dead():
    network, _ = with_dead_units("resnet18")
    units = units_of(network)[0]
    norm_of(network, units).running_mean[0] = -5
    assert dead_units(network, units).nonzero().flatten().tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_what_was_learned_stays_to_the_last_bit_but_for_the_order_of_sums(name):
    network, images = with_dead_units(name)
    before = network(images)
    revive(network, {}, {}, None, torch.Generator())
    torch.testing.assert_close(network(images), before, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_by_batch_statistics_too():
    network, images = with_dead_units("resnet18")

    def outputs():
        with by_batch(network, len(images), moving=False):
            return network(images)

    before = outputs()
    revive(network, {}, {}, None, torch.Generator())
    torch.testing.assert_close(outputs(), before, rtol=1e-4, atol=1e-4)


def test_private_heads_of_the_past_do_not_read_them_and_those_to_come_keep_their_weights():
    network, images = with_dead_units("mlp")
    before, head = network(images).detach(), network.head.weight.detach().clone()
    head[:, :3] = torch.randn(len(head), 3)  # a private head is never cut
    with torch.no_grad():
        network.head.weight.copy_(head)
        torch.testing.assert_close(network(images), before)  # and who reads an unfed unit adds nothing
        revive(network, {}, {}, PAST, torch.Generator())
        torch.testing.assert_close(network(images)[:, PAST], before[:, PAST], rtol=1e-5, atol=1e-5)
    assert not network.head.weight[:2, :3].any()
    assert network.head.weight[2:].equal(head[2:])


@pytest.mark.parametrize("name", NETWORKS)
def test_revived_units_have_a_gradient_on_the_way_out_and_new_weights_on_the_way_in(name):
    network, images = with_dead_units(name)
    units, new = units_of(network), build(tiny({"network": name}), task_stream(tiny({"network": name})))
    revive(network, {}, {}, None, torch.Generator())
    for one in units:
        weight = network.get_parameter(one.weight).detach()[:4].flatten(1)
        bound = (6 / weight.shape[1]) ** 0.5  # of He's uniform variable
        assert 0.75 < float(weight.abs().max()) / bound <= 1
        torch.testing.assert_close(new.get_parameter(one.weight).abs().max().item(), bound, rtol=0.25, atol=0)
        assert weight.unique(dim=0).shape == weight.shape  # no two alike: they would stay twins
        if (norm := norm_of(network, one)) is not None:
            fresh = norm.weight[:4], norm.bias[:4] + 1, norm.running_mean[:4] + 1, norm.running_var[:4]
            assert torch.cat(fresh).eq(1).all()
    network(images).square().sum().backward()
    way_out = network.get_parameter(units[-1].reader)
    gradients = way_out.grad.unflatten(1, (len(network.get_parameter(units[-1].weight)), -1))
    assert gradients[:, :3].any()  # of units that were always 0; each of the three may be silent by chance


def test_no_anchor_holds_them_and_every_other_anchor_stays():
    network, _ = with_dead_units("mlp")
    importance = {name: torch.ones_like(p) for name, p in network.named_parameters()}
    revive(network, importance, {}, None, torch.Generator())
    for units in units_of(network):
        for name in (units.weight, units.weight[:-6] + "bias"):
            assert not importance[name][:4].any()
            assert importance[name][4:].eq(1).all()
    assert importance["head.weight"].eq(1).all()


@pytest.mark.parametrize("name", ["mlp", "small-cnn"])
@torch.no_grad()
def test_no_anchor_brings_back_what_read_them(name):
    network, images = with_dead_units(name)
    parameters = dict(network.named_parameters())
    anchors = Anchors(1.0, compact=False, guard=True)
    anchors.consolidate(parameters, {n: torch.rand_like(p) for n, p in parameters.items()}, Mask({}))
    before = network(images)
    revive(network, anchors.importance, anchors.solution, None, torch.Generator())
    for _ in range(50):
        anchors.pull(parameters, 0.5)
    torch.testing.assert_close(network(images), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["admm", "progressive"])
def test_a_task_begins_with_them_and_a_run_goes_on_bit_for_bit(form):
    config = tiny({"tasks": 2, "sparsity": 0.98, "sdp.form": form, "sdp.revive": True})
    learner, stream = learner_of(config)
    learner.anchors.remember(learner.parameters)
    with torch.no_grad():
        learner.weights["body.hidden1.weight"][5:] = 0
    assert dead_units(learner.network, units_of(learner.network)[0])[5:].all()
    next(learner.learn(stage(config, stream, 1), lambda: iter(())))
    assert learner.weights["body.hidden1.weight"].any()

    events = events_of(config)
    inside = next(e for e in of_kind(events, CheckpointReady) if (e.task, e.epoch) == (1, 1))
    again = [e for e in run(config, inside) if isinstance(e, CheckpointReady)][-1]
    whole = of_kind(events, CheckpointReady)[-1]
    assert all((again.tensors[name] == value).all() for name, value in whole.tensors.items())
    dying = tiny({"tasks": 2, "sparsity": 0.98, "sdp.form": form, "sdp.revive": False})
    without = of_kind(events_of(dying), CheckpointReady)[-1]
    assert any((without.tensors[name] != value).any() for name, value in whole.tensors.items())


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "ewc"},
        {"sparsity": 0.0},
        {"activation": "softplus"},
        {"network": "resnet18", "batchnorm": {"statistics": "task"}},
    ],
)
def test_it_is_refused_where_no_unit_is_dead_or_none_may_come_back(fields):
    with pytest.raises(InputError, match=r"sdp\.revive: true will not do"):
        RunConfig(**fields | {"sdp": {"revive": True}})
