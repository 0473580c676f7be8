"""run(config): which events come, in which order, and that they say what the weights say."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from picture_files import write_all
from sklearn.metrics import accuracy_score, log_loss
from tiny_runs import array, events_of, label, of_kind, tiny

import esacl
from esacl import judging, networks, pipeline
from esacl.config import BENCHMARKS as FACTS
from esacl.config import RunConfig
from esacl.cost import ITEMS
from esacl.defaults import SPARSE_METHODS
from esacl.errors import DataMissing, InputError, RunFailure
from esacl.event_lines import to_line
from esacl.events import (
    Analysing,
    ArrayRecorded,
    CheckpointReady,
    CostCounted,
    CurvatureMeasured,
    Evaluated,
    Event,
    Pruned,
    RunFinished,
    RunStarted,
    Selected,
    Stepped,
    TaskFinished,
    TaskStarted,
)
from esacl.failures import explain
from esacl.group import Group
from esacl.methods import METHODS
from esacl.stages import stage_of
from esacl.tasks import Examples, task_stream

SCENARIOS = [(name, scenario) for name, facts in FACTS.items() for scenario in facts["scenarios"]]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def default():
    return events_of(tiny())


def kinds(events: list[Event]) -> list[str]:
    """Names of the kinds in order, repeats left out."""
    names = [type(e).__name__ for e in events]
    return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]


def outputs_at(config: RunConfig, state: CheckpointReady, inputs: torch.Tensor) -> np.ndarray:
    """Logits of the network that a checkpoint holds, in numpy from the first layer to the last."""
    t = {name.removeprefix("network/"): v for name, v in state.tensors.items() if name.startswith("network/")}
    x = inputs.numpy().reshape(len(inputs), -1).astype(np.float64)
    for layer in ("body.hidden1", "body.hidden2"):
        x = np.maximum(x @ t[f"{layer}.weight"].T.astype(np.float64) + t[f"{layer}.bias"], 0)
    return x @ t["head.weight"].T.astype(np.float64) + t["head.bias"]


# -- order


def test_the_order_of_events():
    epoch, cut = ["Stepped", "CheckpointReady"], ["ArrayRecorded", "Selected", "Pruned"]
    end = ["Evaluated", "CostCounted", "TaskFinished", "CheckpointReady"]
    middle = ["TaskStarted", *epoch, *cut, *epoch, *end]
    assert kinds(events_of(tiny({"sdp.cut": 0.5}))) == ["RunStarted", "Evaluated", *middle, *middle, "RunFinished"]
    late = ["TaskStarted", *epoch, *epoch, *cut, *end]
    assert kinds(events_of(tiny({"sdp.cut": 1.0}))) == ["RunStarted", "Evaluated", *late, *late, "RunFinished"]


@pytest.mark.parametrize("method", METHODS)
def test_every_event_becomes_a_line_with_everything_measured(method):
    settings = {"curvature.top": 1, "curvature.levels": 3, "curvature.grid": 3}
    events = events_of(tiny(settings, method=method, epochs=1))
    assert all(to_line(e) for e in events if not isinstance(e, CheckpointReady))
    found = {type(e) for e in events}
    assert {RunStarted, TaskStarted, Stepped, Analysing, ArrayRecorded, Selected, CurvatureMeasured} <= found
    assert {Evaluated, CostCounted, TaskFinished, RunFinished} <= found
    assert (Pruned in found) == (method in SPARSE_METHODS)


def test_a_run_begins_with_what_it_is(default):
    started, task = default[0], of_kind(default, TaskStarted)[1]
    assert (started.tasks, started.classes, started.network, started.device) == (2, 4, "mlp", "cpu")
    assert started.parameters == 64 * 100 + 100 + 100 * 100 + 100 + 100 * 4 + 4
    assert started.prunable == 64 * 100 + 100 * 100
    assert (task.task, task.class_names, task.train_examples, task.epochs, task.steps) == (1, ("2", "3"), 48, 2, 6)
    assert task.evaluation_examples == of_kind(default, Evaluated)[-1].examples


def test_in_class_il_the_head_is_prunable_too():
    assert events_of(tiny(scenario="class", epochs=1))[0].prunable == 64 * 100 + 100 * 100 + 100 * 4


def test_joint_is_billed_for_the_images_that_it_keeps():
    config = tiny(method="joint", tasks=3)
    (cost,) = of_kind(events_of(config), CostCounted)
    images = stage_of(config, task_stream(config), 2, torch.device("cpu"), joint=True).examples.inputs
    assert cost.buffer_bytes == len(images) * (64 + 8) + 4 * 17  # as a buffer of that size: a code a pixel, 17 levels


def test_joint_has_one_stage_with_the_examples_of_all_tasks():
    config = tiny(method="joint", tasks=3)
    events = events_of(config)
    (started,) = of_kind(events, TaskStarted)
    assert (started.task, started.train_examples) == (2, 3 * 48)
    assert [(s.task, s.epoch) for s in of_kind(events, CheckpointReady)] == [(2, 1), (2, 2), (3, 0)]
    stream = task_stream(config)
    examples = stage_of(config, stream, 2, torch.device("cpu"), joint=True).examples
    assert examples.inputs.equal(torch.cat([task.train.inputs for task in stream]))
    assert sorted(set(examples.targets.tolist())) == [0, 1, 2, 3, 4, 5]


# -- what the events say


# PackNet judges each task on weights of its own, which is tested where PackNet is.
@pytest.mark.parametrize("settings", [{"method": m} for m in METHODS if m != "packnet"], ids=label)
@pytest.mark.parametrize("scenario", ["task", "class", "domain"])
def test_which_tasks_are_evaluated_when_and_that_the_numbers_are_those_of_the_weights(settings, scenario):
    config = tiny(settings, scenario=scenario, tasks=3, epochs=1)
    events = events_of(config)
    stream = task_stream(config)
    rows = [[e.on for e in of_kind(events, Evaluated) if e.after == after] for after in (-1, 0, 1, 2)]
    # Before training, and wherever one head serves all tasks, also the tasks to come: forward transfer.
    seen = [[0, 1, 2]] * 3 if scenario == "domain" else [[0], [0, 1], [0, 1, 2]]
    assert rows == [[0, 1, 2], *(seen if config.method != "joint" else [[], [], [0, 1, 2]])]
    ends = {s.task - 1: s for s in of_kind(events, CheckpointReady) if s.epoch == 0}
    found = [e for e in of_kind(events, Evaluated) if e.after >= 0]
    for e in found:
        task = stream[e.on]
        targets = task.evaluation.targets.numpy()
        logits = outputs_at(config, ends[e.after], task.evaluation.inputs)
        open_to = {"task": task.classes, "class": range(2 * e.after + 2), "domain": (0, 1)}[scenario]
        columns = list(open_to)
        chosen = np.array(columns)[logits[:, columns].argmax(1)]
        assert e.accuracy == accuracy_score(targets, chosen)
        probabilities = torch.tensor(logits[:, columns]).softmax(1).numpy()
        assert e.loss == pytest.approx(log_loss(targets, probabilities, labels=columns), rel=1e-4)
        assert e.examples == len(targets)
        if scenario == "class":
            known = np.array(task.classes)[logits[:, list(task.classes)].argmax(1)]
            assert e.accuracy_task == accuracy_score(targets, known) >= e.accuracy
        else:
            assert e.accuracy_task is None


def test_the_untrained_network_is_what_is_evaluated_first():
    config = tiny()
    stream = task_stream(config)
    network = networks.build(config, stream)
    for e in of_kind(events_of(config), Evaluated)[:2]:
        task = stream[e.on]
        with torch.no_grad():
            chosen = network(task.evaluation.inputs)[:, list(task.classes)].argmax(1) + task.classes[0]
        assert e.accuracy == accuracy_score(task.evaluation.targets, chosen)


def test_pruned_says_what_the_cut_does_to_accuracy():
    config = tiny(sparsity=0.9, method="ewc")  # an unprepared cut, so that something is lost
    events = events_of(config)
    stream = task_stream(config)
    for event in of_kind(events, Pruned):
        evaluation, columns = stream[event.task].evaluation, list(stream[event.task].classes)
        recorded = array(events, f"weights-t{event.task}")
        dense = {n.removeprefix("dense/"): w for n, w in recorded.items() if n.startswith("dense/")}
        cut = {n: w * recorded[f"mask/{n}"] if f"mask/{n}" in recorded else w for n, w in dense.items()}
        accuracy = []
        for weights in (dense, cut):
            state = CheckpointReady(task=0, epoch=0, tensors={f"network/{n}": w for n, w in weights.items()})
            logits = outputs_at(config, state, evaluation.inputs)[:, columns]
            accuracy.append(accuracy_score(evaluation.targets, np.array(columns)[logits.argmax(1)]))
        assert [event.dense_accuracy, event.pruned_accuracy] == accuracy
        after = next(e for e in of_kind(events, Evaluated) if e.after == e.on == event.task)
        assert after.accuracy == event.pruned_accuracy
    assert any(e.dense_accuracy > e.pruned_accuracy for e in of_kind(events, Pruned))


def test_flips_are_those_of_the_whole_task():
    events = events_of(tiny({"sdp.every": 1, "sdp.form": "segment", "sdp.cut": 0.75}, sparsity=0.9, epochs=8))
    cuts = of_kind(events, Pruned)
    assert [cut.task for cut in cuts] == [0, 1]
    for cut in cuts:
        steps = [e for e in of_kind(events, Stepped) if e.task == cut.task]
        assert cut.flips == sum(e.flips for e in steps if e.step > 1) > 0  # the first mask flips nothing


def test_costs_grow_and_bytes_are_those_of_what_is_kept():
    events = events_of(tiny({"buffer.size": 10}, sparsity=0.9))
    costs = of_kind(events, CostCounted)
    for name in ("train_flops", "train_flops_dense_sgd", "train_flops_published_rule", "analysis_flops"):
        assert all(0 < getattr(a, name) < getattr(b, name) for a, b in pairwise(costs))
    prunable = 64 * 100 + 100 * 100
    others = 100 + 100 + 100 * 4 + 4
    assert costs[-1].weights_bytes == 4 * (prunable // 10 + others)
    assert costs[-1].masks_bytes == -(-prunable // 8)
    assert costs[-1].buffer_bytes == 10 * (64 + 8) + 4 * 17  # a code a pixel; digits have 17 levels
    # The momentum, ADMM's moments, dual and target, and its mask.
    assert costs[-1].optimiser_bytes == 4 * (prunable + others) + (3 * 4 + 1) * prunable
    told = 4 * 48 * 4  # of the 48 examples that a teacher was asked about
    once = of_kind(events_of(tiny({"anchor.distillation": 0.0}, sparsity=0.9)), CostCounted)[-1].activations_bytes
    assert costs[-1].activations_bytes == 2 * once + told  # replayed examples pass beside the fresh ones
    # Omega (bfloat16) and theta* of survivors, both of biases, and a row and a column factor a layer.
    assert costs[-1].anchors_bytes == (2 + 4) * (prunable // 10) + 4 * (2 * 200 + (100 + 64) + (100 + 100))
    for cost in costs:
        items = {item: getattr(cost, f"{item}_flops") for item in ITEMS}
        assert math.fsum(items.values()) == cost.train_flops
        assert min(items["fresh_forward"], items["fisher"], items["scoring"]) > 0
        assert cost.layer_names == ("body.hidden1.weight", "body.hidden2.weight", "head.weight")
        assert sum(cost.layer_flops) == pytest.approx(cost.train_flops, rel=1e-12)
    assert costs[0].replay_flops == 0 < costs[1].replay_flops


@pytest.mark.parametrize(("name", "scenario"), SCENARIOS)
def test_every_benchmark_runs_through(name, scenario, data):
    events = events_of(tiny(benchmark=name, scenario=scenario, epochs=1), data=data)
    assert isinstance(events[-1], RunFinished)
    assert {(e.after, e.on) for e in of_kind(events, Evaluated)} >= {(-1, 0), (-1, 1), (0, 0), (1, 0), (1, 1)}


# -- bad input, and stopping


def test_a_missing_device_is_refused_before_anything_happens(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="device 'cuda:3' is not on this machine"):
        next(esacl.run(tiny(device="cuda:3")))


def test_a_missing_data_set_is_refused_before_anything_happens(tmp_path, monkeypatch):
    monkeypatch.setattr("esacl.datasets.MNIST_MIRRORS", ("http://127.0.0.1:9/",))
    with pytest.raises(DataMissing, match="MNIST"):
        next(esacl.run(tiny(benchmark="split-mnist"), data=tmp_path))


def test_a_stream_knows_its_config_and_starts_nothing_by_itself(monkeypatch):
    monkeypatch.setattr(pipeline, "task_stream", lambda *_: pytest.fail("nobody has asked for an event"))
    config = tiny()
    assert esacl.run(config).config is config


def test_a_closed_run_yields_nothing_more():
    stream = esacl.run(tiny())
    for event in stream:
        if isinstance(event, Stepped):
            break
    stream.close()
    assert list(stream) == []
    unstarted = esacl.run(tiny())
    unstarted.close()
    assert list(unstarted) == []


def test_gradients_are_on_wherever_an_event_is_yielded():
    settings = {"curvature.top": 1, "curvature.levels": 2, "curvature.grid": 3}
    for event in esacl.run(tiny(settings, epochs=1)):
        assert torch.is_grad_enabled(), event


def test_resuming_a_finished_run_only_says_so(default):
    last = of_kind(default, CheckpointReady)[-1]
    assert (last.task, last.epoch) == (2, 0)
    assert events_of(tiny(), last) == [RunFinished()]


def test_auto_is_the_cpu_where_there_is_nothing_else(default, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert events_of(tiny(device="auto")) == default


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "raised", "told"),
    [
        (OutOfMemoryError("CUDA out of memory"), RunFailure, r"out of memory on cpu while 2 images are judged, where "),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), RunFailure, "take another device, or a smaller network or res"),
        (RuntimeError("could not create a primitive"), RunFailure, "take another device"),
        (RuntimeError("shapes do not fit"), RuntimeError, "shapes do not fit"),
    ],
)
def test_out_of_memory_in_evaluation_or_in_placing_does_not_advise_what_changes_nothing(
    tmp_path, monkeypatch, error, raised, told
):
    class Refusing(torch.nn.Linear):
        def forward(self, inputs):
            raise error

    learner = SimpleNamespace(network=Refusing(2, 2), group=Group())
    examples = Examples(torch.zeros(2, 2), torch.zeros(2).long())
    with pytest.raises(raised, match=told) as caught:
        judging._outputs(learner, examples, torch.device("cpu"))
    monkeypatch.setattr(pipeline, "stage_of", lambda *_, **__: Refusing(2, 2)(examples))
    placed = SimpleNamespace(config=tiny(), joint=False)
    with pytest.raises(raised, match="are placed there; take a smaller train_limit" if raised is RunFailure else told):
        pipeline._placed(placed, [SimpleNamespace(train=examples)], 0, torch.device("cpu"))
    if raised is RunFailure:
        assert explain(caught.value, tmp_path) == str(caught.value)
