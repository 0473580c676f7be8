"""Self-distillation: the divergence against a sum by hand, the teacher, what is spared, and what it is for."""

import math

import pytest
import torch
from test_training import learn, learner_of, stage
from tiny_runs import events_of, of_kind, tiny
from torch import nn

from esacl.distillation import TEMPERATURE, asked, distillation, spare
from esacl.errors import InputError
from esacl.events import CheckpointReady, CostCounted, Evaluated
from esacl.records import read_config_file
from esacl.replay import Batch


def by_hand(outputs, told, groups) -> list[float]:
    found = []
    for now, then in zip(outputs.tolist(), told.tolist()):
        total = 0.0
        for columns in groups:
            p, q = ([math.exp(values[c] / TEMPERATURE) for c in columns] for values in (then, now))
            p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
            total += TEMPERATURE**2 * sum(a * math.log(a / b) for a, b in zip(p, q))
        found.append(total / len(groups))
    return found


def test_it_is_the_mean_divergence_of_the_groups_by_hand():
    rng = torch.Generator().manual_seed(0)
    outputs, told = torch.randn(2, 5, 8, generator=rng, dtype=torch.float64)
    groups = [[0, 1], [2, 3], [4, 5, 6]]
    bundled = (torch.tensor(groups[:2]), torch.tensor(groups[2:]))
    assert distillation(outputs, told, bundled).tolist() == pytest.approx(by_hand(outputs, told, groups), rel=1e-12)
    assert distillation(told, told, bundled).tolist() == [0.0] * 5
    moved = outputs.clone()
    moved[:, 7] += 3  # no group's
    moved[:, :2] += 1  # a softmax does not see a shift of all
    torch.testing.assert_close(distillation(moved, told, bundled), distillation(outputs, told, bundled))


def test_its_gradient_is_that_of_finite_differences():
    outputs = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    told, groups = torch.randn(3, 6, dtype=torch.float64), (torch.tensor([[0, 1], [2, 3]]),)
    assert torch.autograd.gradcheck(lambda o: distillation(o, told, groups), (outputs,))


def test_asking_looks_through_the_weights_of_then_and_changes_none():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    inputs = torch.randn(130, 3)
    solution = {name: p.detach().clone() for name, p in network.named_parameters() if name != "2.bias"}
    with torch.no_grad():
        then = network(inputs)
        network[0].weight.add_(1)
        network[2].bias.add_(1)  # a private head, say: taken as it is
        now = network(inputs)
    torch.testing.assert_close(asked(network, solution, inputs), then + 1)
    with torch.no_grad():
        assert torch.equal(network(inputs), now)


def test_only_the_heads_of_earlier_tasks_are_spared():
    head = nn.Linear(3, 5)
    head(torch.randn(4, 3)).square().sum().backward()
    spare(head, (torch.tensor([[0, 1], [3, 4]]),))
    assert [bool(row.any()) for row in head.weight.grad] == [False, False, True, False, False]
    assert [bool(value) for value in head.bias.grad] == [False, False, True, False, False]


@pytest.mark.parametrize("scenario", ["task", "class", "domain"])
def test_columns_of_the_past(scenario):
    config = tiny(scenario=scenario, tasks=3)
    _, stream = learner_of(config)
    past = [[g.tolist() for g in stage(config, stream, task).past] for task in range(3)]
    expected = {
        "task": [[], [[[0, 1]]], [[[0, 1], [2, 3]]]],
        "class": [[], [[[0, 1]]], [[[0, 1, 2, 3]]]],
        "domain": [[], [], []],
    }
    assert past == expected[scenario]


def second_task(**settings):
    learner, stream = learner_of(config := tiny(settings))
    learn(learner, config, stream)
    learner.consolidate(stage(config, stream, 0))
    before = {name: p.detach().clone() for name, p in learner.parameters.items()}
    spent = learner.ledger.examples_forward, learner.ledger.bill["other"]
    learn(learner, config, stream, 1)
    return learner, stream, before, spent


def test_private_heads_stay_and_what_they_say_of_new_examples_moves_less():
    moved = {}
    for strength in (0.0, 3.0):
        settings = {"anchor.strength": 0.0, "anchor.distillation": strength, "epochs": 8, "sparsity": 0.0}
        learner, stream, before, _ = second_task(**settings)
        assert torch.equal(learner.parameters["head.weight"][:2], before["head.weight"][:2])
        assert not torch.equal(learner.parameters["head.weight"][2:4], before["head.weight"][2:4])
        assert not torch.equal(learner.parameters["body.hidden1.weight"], before["body.hidden1.weight"])
        inputs = stream[1].train.inputs
        with torch.no_grad():
            told, groups = asked(learner.network, before, inputs), (torch.tensor([[0, 1]]),)
            moved[strength] = float(distillation(learner.network(inputs), told, groups).mean())
    assert 0 < moved[3.0] < 0.5 * moved[0.0]


@pytest.mark.parametrize(("augment", "times"), [("none", 1), ("crop-flip", 2)])
def test_asking_is_billed_at_the_density_of_the_network_that_is_asked(augment, times):
    """Once where the examples always look alike, in every epoch where each step crops anew."""
    learner, stream, _, (examples, spent) = second_task(augment=augment)
    asked_about = times * len(stream[1].train)
    assert learner.ledger.examples_forward - examples == 2 * len(stream[1].train) + asked_about
    layers, solution = learner.ledger._layers, learner.anchors.solution  # less what read the dead units of the cut
    sparse = sum(
        f.forward * (float((solution[name] != 0).float().mean()) if name in learner.weights else 1.0)
        for name, f in layers.items()
    )
    assert learner.ledger.bill["other"] - spent == pytest.approx(asked_about * sparse)


def test_without_an_anchor_the_solution_is_kept_for_it_and_counted():
    events = events_of(tiny({"anchor.strength": 0.0}))
    state, cost = of_kind(events, CheckpointReady)[-1], of_kind(events, CostCounted)[-1]
    kept = {name: t for name, t in state.tensors.items() if name.startswith("anchors/")}
    assert {name.split("/")[1] for name in kept} == {"solution"}
    assert cost.anchors_bytes == 4 * sum(int((t != 0).sum()) for t in kept.values())
    off = of_kind(events_of(tiny({"anchor.strength": 0.0, "anchor.distillation": 0.0})), CostCounted)[-1]
    assert off.anchors_bytes == 0


def test_it_holds_an_earlier_task_that_nothing_else_holds():
    alone = {"anchor.strength": 0.0, "epochs": 30, "train_limit": None, "lr": 0.1, "sparsity": 0.0}
    accuracy = {}
    for strength in (0.0, 1.0):
        events = of_kind(events_of(tiny(alone | {"anchor.distillation": strength}, tasks=3)), Evaluated)
        accuracy[strength] = sum(e.accuracy for e in events if e.after == 2 and e.on < 2)
    assert accuracy[1.0] > accuracy[0.0] + 0.5


def test_a_run_from_before_there_was_distillation_did_without(tmp_path):
    import json

    fields = tiny().to_dict()
    del fields["anchor"]["distillation"], fields["sdp"]["cut"]
    (tmp_path / "config.json").write_text(json.dumps(fields))
    config = read_config_file(tmp_path)
    assert (config.sdp.cut, config.anchor.distillation) == (1.0, 0.0)
    assert (tiny().sdp.cut, tiny().anchor.distillation) == (0.25, 1.0)


def test_a_run_from_before_there_was_a_resolution_saw_images_as_published(tmp_path):
    import json

    fields = tiny({"benchmark": "split-tiny-imagenet"}).to_dict()
    assert fields.pop("resolution") == 32
    (tmp_path / "config.json").write_text(json.dumps(fields))
    assert read_config_file(tmp_path).resolution == 64


@pytest.mark.parametrize("settings", [{"method": "ewc"}, {"sdp.form": "progressive"}, {"sparsity": 0.0}])
def test_only_a_form_with_one_cut_can_be_cut_early(settings):
    assert tiny(settings).sdp.cut == 1.0
    with pytest.raises(InputError, match=r"sdp\.cut: 0\.5 will not do"):
        tiny(settings | {"sdp.cut": 0.5})


def test_the_anchor_is_weak_beside_distillation_and_strong_alone():
    assert tiny().anchor.strength == tiny(scenario="class").anchor.strength == 0.1
    assert tiny(scenario="domain").anchor.strength == tiny({"anchor.distillation": 0.0}).anchor.strength == 3.0
    assert tiny(method="ewc").anchor.strength == 3.0


def test_what_is_replayed_does_not_weaken_it_where_ids_chooses_in_training(monkeypatch):
    learner, stream = learner_of(config := tiny({"ids.train_fraction": 0.5, "anchor.distillation": 2.0}))
    now, rng = stage(config, stream, 1), torch.Generator()
    inputs, targets = now.examples.inputs[:12], now.examples.targets[:12]
    batch, everything = Batch(inputs, targets, fresh=8), (torch.arange(12), torch.ones(12))
    monkeypatch.setattr(learner.gate, "choose", lambda *_, **__: everything)
    told = torch.randn(8, 4)
    with torch.no_grad():
        without, _, outputs = learner._loss(now, batch, None, rng, 0)
        with_it, _, _ = learner._loss(now, batch, told, rng, 0)
    expected = 2.0 * float(distillation(outputs[:8], told, now.past).mean())
    assert float(with_it - without) == pytest.approx(expected, rel=1e-5)
