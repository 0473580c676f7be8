"""BatchNorm: its statistics move in training steps only, belong to whom it is said, and come back bit by bit."""

import copy

import pytest
import torch
from tiny_runs import array, events_of, of_kind, tiny
from torch import nn
from torch.nn.functional import cross_entropy

from esacl import batchnorm, landscape, networks, seeds
from esacl.analysis import analyse
from esacl.analysis.again import _scene
from esacl.anchors import fisher_diagonal
from esacl.batchnorm import Statistics, by_batch, even, refresh
from esacl.checkpoints import Place, newest, write_checkpoint
from esacl.config import RunConfig, config_with
from esacl.cost import Ledger
from esacl.curvature import hessian, top_eigenpairs, trace
from esacl.errors import InputError, RunUnreadable
from esacl.events import ArrayRecorded, CheckpointReady, CostCounted, Evaluated, Pruned, StatisticsRefreshed
from esacl.flops import count_layers
from esacl.judging import evaluate
from esacl.look import Look
from esacl.methods import METHODS
from esacl.stages import stage_of
from esacl.tasks import task_stream
from esacl.training import Learner

CPU = torch.device("cpu")
RESNET = {"network": "resnet18", "train_limit": 40, "curvature.examples": 8}
PER_TASK = RESNET | {"batchnorm.statistics": "task"}


def learner_of(config: RunConfig) -> tuple[Learner, object]:
    stream = task_stream(config)
    network = networks.build(config, stream)
    private = networks.private_names(network, config.scenario)
    learner = METHODS[config.method](
        config,
        network=network,
        prunable=networks.prunable_names(network, config.scenario),
        shared=tuple(name for name, _ in network.named_parameters() if name not in private),
        ledger=Ledger(count_layers(network, stream[0].train.inputs[:2])),
    )
    return learner, stream


def stage(config: RunConfig, stream, task: int = 0):
    return stage_of(config, stream, task, CPU, joint=False)


def learn(learner: Learner, config: RunConfig, stream, task: int = 0) -> None:
    def at_cut():
        learner.cut(learner.survivors())
        yield from ()

    list(learner.learn(stage(config, stream, task), at_cut))


def buffers(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in network.named_buffers()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def statistics_of(checkpoint: CheckpointReady, group: str) -> dict[str, torch.Tensor]:
    start = f"statistics/{group}/"
    return {n.removeprefix(start): torch.from_numpy(a) for n, a in checkpoint.tensors.items() if n.startswith(start)}


def settled() -> tuple[networks.Network, torch.Tensor, torch.Tensor]:
    """A narrow ResNet-18 whose statistics are those of some images, with images and targets."""
    config = tiny(RESNET)
    stream = task_stream(config)
    network = networks.build(config, stream)
    refresh(network, even(stream[0].train.inputs))
    return network, stream[0].train.inputs[:24], stream[0].train.targets[:24]


# -- when they move


def test_they_begin_as_the_identity_whatever_was_in_memory(monkeypatch):
    given = nn.Module.to_empty

    def dirty(self, *, device):
        made = given(self, device=device)
        for tensor in (*made.parameters(), *made.buffers()):
            tensor.data.fill_(7)
        return made

    monkeypatch.setattr(nn.Module, "to_empty", dirty)
    config = tiny(RESNET)
    for layer in batchnorm.layers(networks.build(config, task_stream(config))):
        assert torch.equal(layer.running_mean, torch.zeros_like(layer.running_mean))
        assert torch.equal(layer.running_var, torch.ones_like(layer.running_var))
        assert int(layer.num_batches_tracked) == 0


def test_a_training_step_moves_them_as_torch_does():
    config = tiny(RESNET, method="finetune", epochs=1, train_limit=16)
    learner, stream = learner_of(config)
    reference = copy.deepcopy(learner.network).train()
    before = buffers(learner.network)
    learn(learner, config, stream)
    order = torch.randperm(16, generator=seeds.torch_generator(0, "batches", 0, 0))
    reference(stream[0].train.inputs[order])
    assert same(buffers(learner.network), buffers(reference))
    assert not same(before, buffers(reference))
    assert not any(module.training for module in learner.network.modules())


def test_a_batch_of_one_is_normalised_by_the_running_statistics():
    config = tiny(RESNET, method="finetune", epochs=1, train_limit=17)  # 16 and 1, whose last maps are one pixel
    learner, stream = learner_of(config)
    learn(learner, config, stream)
    assert {int(layer.num_batches_tracked) for layer in batchnorm.layers(learner.network)} == {1}


def test_looking_leaves_them_alone():
    network, inputs, targets = settled()
    before = buffers(network)
    loss = cross_entropy
    operator = hessian(network, loss, (inputs, targets))
    assert top_eigenpairs(operator, 2).converged
    trace(operator, products=4, seed=0)
    x, y = landscape.random_direction(network, 1), landscape.random_direction(network, 2)
    plane = landscape.slice_2d(network, loss, (inputs, targets), x, y, extent=(-0.2, 0.2), points=3)
    assert plane.statistics == "kept"
    assert plane.loss[1, 1] == pytest.approx(float(loss(network(inputs), targets).detach()), rel=1e-5)
    fisher = fisher_diagonal(
        network, network, inputs, torch.ones(len(inputs)), ("body.norm.weight", "body.stem.weight"),
        batches=2, batch_size=8, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert all(float(f.sum()) > 0 for f in fisher.values())
    assert same(before, buffers(network))


def test_slices_move_every_weight_as_a_plain_loop_does():
    network, inputs, targets = settled()
    x, y = landscape.random_direction(network, 1), landscape.random_direction(network, 2)
    plane = landscape.slice_2d(network, cross_entropy, (inputs, targets), x, y, extent=(-0.3, 0.3), points=3)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        for name, p in twin.named_parameters():
            p.add_(0.3 * x[name] - 0.3 * y[name])
        there = float(cross_entropy(twin(inputs), targets))
    corners = [float(plane.loss[0, 2]), float(plane.loss[2, 0])]  # one of them, whichever axis comes first
    assert min(abs(corner - there) for corner in corners) < 1e-4 * there
    assert abs(corners[0] - corners[1]) > 1e-3 * there


def test_segments_passes_elsewhere_do_not_move_them():
    config = tiny(RESNET | {"sdp.form": "segment", "sdp.cut": 1.0}, epochs=3)
    learner, stream = learner_of(config)
    learn(learner, config, stream)
    steps = len(learner.form.at_pruned_point)
    at_theta = steps - sum(learner.form.at_pruned_point)
    assert 0 < at_theta < steps == 9
    assert {int(layer.num_batches_tracked) for layer in batchnorm.layers(learner.network)} == {at_theta}


def test_a_pass_by_batch_moves_them_only_where_it_should():
    network, inputs, _ = settled()
    before = buffers(network)
    with by_batch(network, 8, moving=False):
        normalised = network(inputs[:8])
    assert same(before, buffers(network))
    with by_batch(network, 8, moving=True):
        assert torch.equal(network(inputs[:8]), normalised)
    assert not same(before, buffers(network))
    assert not torch.equal(network(inputs[:8]), normalised)


# -- refresh


def test_refresh_is_the_mean_and_variance_of_the_data_and_changes_nothing_else():
    network, inputs, _ = settled()
    for layer in batchnorm.layers(network):
        layer.reset_running_stats()
    weights = {name: p.detach().clone() for name, p in network.named_parameters()}
    twin = copy.deepcopy(network).double().train()
    for layer in batchnorm.layers(twin):
        layer.momentum = 1.0  # torch's own: the statistics of the last batch, which is all the data
    twin(inputs.double())
    refresh(network, even(inputs))
    seen = network.body.stem(inputs).detach().double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(network.body.norm.running_mean.double(), seen.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.body.norm.running_var.double(), seen.var(1), rtol=1e-5, atol=1e-6)
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point():
            torch.testing.assert_close(buffer.double(), twin.get_buffer(name), rtol=1e-3, atol=1e-4)
    assert all(torch.equal(weights[name], p) for name, p in network.named_parameters())
    assert all(p.grad is None for p in network.parameters())
    assert not any(module.training or module._forward_pre_hooks for module in network.modules())


def test_batches_are_pooled_with_what_lies_between_their_means(monkeypatch):
    network = nn.Sequential(nn.BatchNorm1d(1)).eval()
    monkeypatch.setattr(batchnorm, "REFRESH_BATCH", 2)
    inputs = torch.tensor([[0.0], [2.0], [10.0], [12.0], [1e4], [1e4 + 2]])
    refresh(network, even(inputs))
    assert float(network[0].running_mean) == pytest.approx(float(inputs.double().mean()))
    assert float(network[0].running_var) == pytest.approx(float(inputs.double().var()))


def test_a_run_says_what_refreshing_did_and_pays_for_it():
    off, on = (events_of(tiny(RESNET | {"batchnorm.refresh": flag, "sdp.cut": 1.0}, tasks=1)) for flag in (False, True))
    assert not of_kind(off, StatisticsRefreshed)
    [told] = of_kind(on, StatisticsRefreshed)
    [cut], [cut_off] = of_kind(on, Pruned), of_kind(off, Pruned)
    assert cut == cut_off
    assert told.accuracy_before == cut.pruned_accuracy
    assert told.accuracy == of_kind(on, Evaluated)[-1].accuracy
    assert told.examples == 40
    [paid], [plain] = of_kind(on, CostCounted), of_kind(off, CostCounted)
    assert paid.examples_forward == plain.examples_forward + 40
    assert paid.examples_backward == plain.examples_backward
    dense = 40 * count_of(tiny(RESNET))
    assert 0 < paid.train_flops - plain.train_flops < 0.5 * dense  # a sparse pass
    last = [of_kind(events, CheckpointReady)[-2:] for events in (off, on)]
    for name, value in last[0][-1].tensors.items():
        if name.startswith("network/"):
            assert (value == last[1][-1].tensors[name]).all()
    assert not same(statistics_of(last[0][-1], "network"), statistics_of(last[1][-1], "network"))


def count_of(config: RunConfig) -> int:
    stream = task_stream(config)
    layers = count_layers(networks.build(config, stream), stream[0].train.inputs[:2])
    return sum(flops.forward for flops in layers.values())


# -- whose they are


def test_a_task_is_evaluated_with_its_own_and_the_network_goes_on_with_todays():
    config = tiny(RESNET | {"batchnorm.statistics": "task"}, method="finetune")
    learner, stream = learner_of(config)
    found = []
    for task in (0, 1):
        learn(learner, config, stream, task)
        learner.statistics.keep(task)
        found.append(buffers(learner.network))
    assert not same(*found)
    today = found[1]
    events = list(evaluate(learner, stream, after=1))
    assert same(today, buffers(learner.network))
    twin = copy.deepcopy(learner.network)
    with torch.no_grad():
        for name, buffer in twin.named_buffers():
            buffer.copy_(found[0][name])
        columns = list(stream[0].classes)
        loss = cross_entropy(twin(stream[0].evaluation.inputs)[:, columns], stream[0].evaluation.targets)
        other = cross_entropy(learner.network(stream[0].evaluation.inputs)[:, columns], stream[0].evaluation.targets)
    assert events[0].loss == pytest.approx(float(loss), rel=1e-5)
    assert events[0].loss != pytest.approx(float(other), rel=1e-3)


def test_shared_ones_are_one_set_for_all():
    learner, stream = learner_of(tiny(RESNET | {"batchnorm.statistics": "shared"}))
    learner.statistics.keep(0)
    before = buffers(learner.network)
    with by_batch(learner.network, 8, moving=True):
        learner.network(stream[0].train.inputs[:8])
    moved = buffers(learner.network)
    with learner.statistics.of(0):
        assert same(moved, buffers(learner.network))
    assert not same(before, moved)


def test_what_is_kept_is_counted():
    network = nn.Sequential(nn.BatchNorm1d(3))
    statistics = Statistics(network, per_task=True)
    assert statistics.numbers == 6
    statistics.keep(0)
    statistics.keep(1)
    assert statistics.numbers == 18
    assert Statistics(nn.Linear(2, 2), per_task=True).numbers == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"batchnorm.statistics": "task", "scenario": "class"}, r"batchnorm\.statistics: 'task' .*class-IL.*'shared'"),
        ({"batchnorm.statistics": "task", "scenario": "domain"}, r"batchnorm\.statistics: 'task' .*domain-IL"),
        ({"batchnorm.statistics": "task", "method": "joint"}, r"batchnorm\.statistics.*'joint'.*'shared'"),
        ({"batchnorm.statistics": "task", "network": "mlp"}, r"batchnorm\.statistics.*'mlp' has no BatchNorm"),
        ({"batchnorm.refresh": True, "network": "mlp"}, r"batchnorm\.refresh.*'mlp' has no BatchNorm"),
        ({"batchnorm.refresh": True, "sparsity": 0.0}, r"batchnorm\.refresh.*nothing is cut"),
        ({"batchnorm.statistics": "mine"}, r"unknown batchnorm\.statistics 'mine'; choose from shared, task"),
        ({"batchnorm": 3}, r"batchnorm: 3 .*is a section"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(settings, told):
    with pytest.raises(InputError, match=told) as caught:
        tiny(RESNET | settings)
    assert "\n" not in str(caught.value)


def test_defaults():
    assert tiny(RESNET, method="packnet").batchnorm.statistics == "task"
    others = [{"scenario": "class"}, {"scenario": "domain"}, {"network": "mlp"}, {"method": "esacl"}]
    for other in (*others, {"method": "joint"}, {"method": "finetune"}, {"method": "ewc"}):
        assert tiny(RESNET | other).batchnorm.statistics == "shared"
    assert not tiny(RESNET).batchnorm.refresh


def test_by_default_the_first_task_survives_the_second():
    """With statistics of its own it did not: distillation holds the outputs by today's, and the weights move on."""
    settings = RESNET | {"train_limit": None, "curvature.levels": 0, "curvature.top": 0, "curvature.grid": 0}
    seen = {(e.after, e.on): e.accuracy for e in of_kind(events_of(tiny(settings, epochs=4)), Evaluated)}
    assert seen[0, 0] > 0.8
    assert seen[1, 0] > seen[0, 0] - 0.15


# -- what is kept comes back


@pytest.mark.parametrize(
    "settings",
    [
        {"sdp.form": "segment", "batchnorm.refresh": True, "batchnorm.statistics": "task"},
        {"scenario": "class", "buffer.size": 20, "ids.train_fraction": 0.5},
        {"method": "joint"},
    ],
)
def test_a_run_goes_on_bit_by_bit_from_what_a_store_keeps(settings, tmp_path):
    config = tiny(RESNET | settings)
    events = events_of(config)
    for place, event in enumerate(events):
        if not isinstance(event, CheckpointReady) or (event.task, event.epoch) not in ((1, 0), (1, 1)):
            continue
        write_checkpoint(tmp_path, event, Place(0, 0))
        kept = newest(tmp_path)
        assert kept is not None
        rest = events_of(config, kept[0])
        assert rest == events[place + 1 :]
        ends = [of_kind(some, CheckpointReady) for some in (events[place + 1 :], rest)]
        for one, other in zip(*ends, strict=True):
            assert one.tensors.keys() == other.tensors.keys()
            assert all((one.tensors[n] == other.tensors[n].reshape(one.tensors[n].shape)).all() for n in one.tensors)


def test_every_state_has_the_statistics_of_the_tasks_before_it():
    states = of_kind(events_of(tiny(PER_TASK)), CheckpointReady)
    groups = {name.split("/")[1] for name in states[-1].tensors if name.startswith("statistics/")}
    assert groups == {"network", "0", "1"}
    assert not same(statistics_of(states[-1], "0"), statistics_of(states[-1], "1"))
    assert not statistics_of(states[0], "0")
    own = statistics_of(states[-1], "network")
    kept = {name: value for name, value in own.items() if not name.endswith("num_batches_tracked")}
    assert same(kept, statistics_of(states[-1], "1"))


def test_an_analysis_afterwards_finds_what_the_run_found():
    config = tiny(PER_TASK | {"curvature.levels": 1}, epochs=1)
    events = events_of(config)
    weights = [array(events, f"weights-t{task}") for task in (0, 1)]
    again = of_kind(list(analyse("sparsity", config, 1, weights[1])), ArrayRecorded)
    found = {event.name: event.digest for event in of_kind(events, ArrayRecorded)}
    assert [event.digest for event in again] == [found[name] for name in ("sparsity-t1", "histogram-t1", "cuts-t1")]
    scene = _scene(config, 1, weights[1], None)
    with scene.statistics.of(0):
        first = buffers(scene.network)
    states = of_kind(events, CheckpointReady)
    kept = statistics_of(states[-1], "0")
    assert all(torch.equal(first[name], value) for name, value in kept.items())
    view = Look(x="task", y="random1", at="dense")
    seen = config_with(config, {"curvature.grid": 2})
    found_again = analyse("landscape", seen, 0, weights[0], look=view, following=weights[1])
    [plane] = of_kind(list(found_again), ArrayRecorded)
    assert str(plane.arrays["statistics"]) == "moved"


def test_kept_weights_without_statistics_are_refused():
    config = tiny(PER_TASK, tasks=1)
    weights = array(events_of(config), "weights-t0")
    del weights["statistics/network/body.norm.running_mean"]
    with pytest.raises(RunUnreadable, match=r"body\.norm\.running_mean is missing"):
        list(analyse("selection", config, 0, weights))
