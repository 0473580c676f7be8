"""The training loop against a plain one, and what a step may and may not touch."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import array, events_of, label, of_kind, tiny

from esacl import networks, seeds
from esacl.augmentation import crop_and_flip
from esacl.buffer import Buffer
from esacl.cost import Ledger
from esacl.errors import RunFailure
from esacl.events import CheckpointReady, Evaluated, Pruned, Stepped, TaskFinished
from esacl.flops import count_layers
from esacl.methods import METHODS
from esacl.replay import Batch
from esacl.revival import dead_units
from esacl.schedule import Schedule
from esacl.sdp import FORMS
from esacl.selection import score, select
from esacl.stages import stage_of
from esacl.tasks import task_stream
from esacl.training import Learner
from esacl.units import units_of

CPU = torch.device("cpu")

REHEARSING = ("er", "derpp", "sparcl")


def learner_of(config) -> tuple[Learner, object]:
    """A learner before its first task, and the stream."""
    stream = task_stream(config)
    network = networks.build(config, stream)
    private = networks.private_names(network, config.scenario)
    parts = {
        "network": network,
        "prunable": networks.prunable_in(config, network),
        "shared": tuple(name for name, _ in network.named_parameters() if name not in private),
        "ledger": Ledger(count_layers(network, stream[0].train.inputs[:2])),
    }
    return METHODS[config.method](config, **parts), stream


def stage(config, stream, task: int):
    return stage_of(config, stream, task, CPU, joint=False)


def learn(learner: Learner, config, stream, task: int = 0) -> list:
    return list(learner.learn(stage(config, stream, task), partial(cut_if_early, learner)))


def cut_if_early(learner: Learner):
    """What the pipeline does at a cut that training goes on after, without its measurements."""
    if learner.config.sdp.cut < 1:
        learner.cut(learner.survivors())
    yield from ()


def checkpoints(config) -> list[CheckpointReady]:
    return of_kind(events_of(config), CheckpointReady)


# -- against a plain loop


def test_finetune_is_plain_sgd_with_momentum():
    config = tiny(method="finetune", train_limit=40)
    learner, stream = learner_of(config)
    reference = networks.build(config, stream)
    events = learn(learner, config, stream)
    train = stream[0].train
    optimiser = torch.optim.SGD(reference.parameters(), lr=1.0, momentum=0.9)
    schedule, losses, step = Schedule(2 * 3, config.lr, 0.5), [], 0
    for epoch in range(2):
        order = torch.randperm(40, generator=seeds.torch_generator(0, "batches", 0, epoch))
        for rows in order.split(16):
            optimiser.param_groups[0]["lr"] = schedule.lr(step)
            optimiser.zero_grad()
            loss = F.cross_entropy(reference(train.inputs[rows])[:, [0, 1]], train.targets[rows])
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            step += 1
    assert [e.loss for e in of_kind(events, Stepped)] == pytest.approx(losses, rel=1e-5)
    for name, p in reference.named_parameters():
        torch.testing.assert_close(learner.parameters[name], p, rtol=1e-4, atol=1e-6)


def test_augmented_training_at_a_constant_rate_without_momentum_is_plain_sgd_on_crops():
    fields = {"augment": "crop-flip", "schedule": "constant", "momentum": 0.0}
    config = tiny(fields, method="finetune", train_limit=40, epochs=1)
    learner, stream = learner_of(config)
    reference = networks.build(config, stream)
    events = learn(learner, config, stream)
    train, losses = stream[0].train, []
    optimiser = torch.optim.SGD(reference.parameters(), lr=config.lr)
    order = torch.randperm(40, generator=seeds.torch_generator(0, "batches", 0, 0))
    for step, rows in enumerate(order.split(16)):
        inputs = crop_and_flip(train.inputs[rows], stream.black, seeds.torch_generator(0, "step", 0, step))
        optimiser.zero_grad()
        loss = F.cross_entropy(reference(inputs)[:, [0, 1]], train.targets[rows])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert [e.loss for e in of_kind(events, Stepped)] == pytest.approx(losses, rel=1e-5)
    assert {e.learning_rate for e in of_kind(events, Stepped)} == {config.lr}


@pytest.mark.parametrize("method", ["finetune", "derpp"])
def test_replayed_images_are_augmented_anew_and_kept_as_they_were(method):
    config = tiny({"buffer.size": 20, "augment": "crop-flip"}, method=method)
    learner, stream = learner_of(config)
    learn(learner, config, stream)
    learner.consolidate(stage(config, stream, 0))
    raw, seen = {row.numpy().tobytes() for row in stream[0].train.inputs}, []
    assert {row.numpy().tobytes() for row in learner.buffer.kept.inputs} <= raw
    second = stage(config, stream, 1)
    recording = replace(second, augment=lambda inputs, generator: seen.append(inputs) or inputs)
    list(learner.learn(recording, partial(cut_if_early, learner)))
    fresh = min(config.batch_size, len(second.examples))
    assert len(seen[0]) == fresh * (3 if method == "derpp" else 2)
    assert {row.numpy().tobytes() for row in seen[0][fresh:]} <= raw


def test_every_epoch_sees_every_example_once_in_a_new_order(monkeypatch):
    config = tiny(method="finetune", train_limit=40)
    learner, stream = learner_of(config)
    seen = []
    monkeypatch.setattr(
        Learner, "_step", lambda self, stage, rows, step, schedule: seen.append(rows) or torch.tensor(0.0)
    )
    learn(learner, config, stream)
    assert [len(rows) for rows in seen] == [16, 16, 8] * 2
    epochs = [torch.cat(seen[:3]).tolist(), torch.cat(seen[3:]).tolist()]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(40))
    assert epochs[0] != epochs[1]


def test_steps_are_reported_with_the_mean_loss_since_the_last_report():
    few = of_kind(events_of(tiny(method="finetune", epochs=4)), Stepped)
    assert [e.step for e in few if e.task == 0] == list(range(1, 13))
    config = tiny(method="finetune", epochs=120, batch_size=24, train_limit=48)  # 240 steps, reported by threes
    learner, stream = learner_of(config)
    many = of_kind(learn(learner, config, stream), Stepped)
    assert many[-1].step == many[-1].steps == 240
    assert len(many) <= 240 / 3 + 120
    assert all(a.step < b.step for a, b in pairwise(many))
    assert {e.epoch for e in many} == set(range(120))
    assert all(e.learning_rate == Schedule(240, config.lr, 0.5).lr(e.step - 1) for e in many)


def test_reports_say_what_the_form_and_the_gate_do():
    events = of_kind(events_of(tiny({"ids.train_fraction": 0.5, "sdp.cut": 1.0}, epochs=4, sparsity=0.8)), Stepped)
    assert events[-1].ramp == 1
    assert events[-1].density == pytest.approx(0.2, abs=1e-3)
    assert 0 < events[-1].doomed_share < 1
    assert all(e.selection_ratio > 0 for e in events)
    dense = of_kind(events_of(tiny(method="ewc")), Stepped)
    assert {(e.ramp, e.density, e.flips, e.selection_ratio, e.selection_open) for e in dense} == {
        (0.0, 1.0, 0, None, False)
    }
    assert all(abs(e.doomed_share) < 1e-12 for e in dense)


# -- failure


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_finite_fails_the_run_in_one_line(method):
    config = tiny(method=method)
    learner, stream = learner_of(config)
    with torch.no_grad():
        learner.parameters["head.bias"].fill_(float("nan"))
    with pytest.raises(RunFailure, match=r"in task 0(;| at step 1 of 6;) try a smaller lr than 0.05") as caught:
        learn(learner, config, stream)
    assert "\n" not in str(caught.value)


def test_weights_out_of_range_fail_the_run_though_the_loss_is_finite():
    config = tiny(method="finetune")
    learner, stream = learner_of(config)
    with torch.no_grad():  # an input pixel that is always 0 hides it from the loss
        learner.parameters["body.hidden1.weight"][0, 0] = 1e30
    with pytest.raises(RunFailure, match="share of the weights to be cut became nan"):
        learn(learner, config, stream)


def test_a_run_that_diverges_after_its_last_report_fails_instead_of_recording_nan(monkeypatch):
    def explode(self, mask):
        for weight in self.parameters.values():
            weight.detach().fill_(1e38)

    monkeypatch.setattr(Learner, "cut", explode)
    with pytest.raises(RunFailure, match=r"the loss on task 0 is nan after task 0; try a smaller lr than 0\.05"):
        events_of(tiny(method="finetune"))


# -- what a step may touch


@pytest.mark.parametrize(
    "settings",
    [{"method": m} for m in METHODS if m not in ("joint", *REHEARSING)] + [{"sdp.form": f} for f in FORMS],
    ids=label,
)
def test_private_heads_of_other_tasks_do_not_move(settings):
    config = tiny(settings, tasks=3)
    learner, stream = learner_of(config)
    head = learner.parameters["head.weight"], learner.parameters["head.bias"]
    for task in range(3):
        before = [p.detach().clone() for p in head]
        own, past = list(stream[task].classes), [c for earlier in stream[:task] for c in earlier.classes]
        others = [c for c in range(6) if c not in own]
        if config.sdp.revive and task > 0:  # what was always 0 is read by nobody any more, which changes no output
            dead = dead_units(learner.network, units_of(learner.network)[-1])
            before[0][past] = torch.where(dead, 0.0, before[0][past])
        learn(learner, config, stream, task)
        learner.cut(learner.survivors())
        learner.consolidate(stage(config, stream, task))
        for p, old in zip(head, before):
            assert p[others].equal(old[others])
            assert bool((p[own] != old[own]).any())


@pytest.mark.parametrize("method", ["finetune", *REHEARSING])
def test_with_a_buffer_the_heads_of_earlier_tasks_do_move(method):
    states = checkpoints(tiny({"method": method, "buffer.size": 20}))
    end_of_0, end = states[2].tensors["network/head.weight"], states[-1].tensors["network/head.weight"]
    assert (end_of_0[:2] != end[:2]).any()


@pytest.mark.parametrize("strength", [1.0, 1e5])
def test_progressive_keeps_removed_weights_at_0_whatever_the_anchors_pull(strength):
    settings = {"sdp.form": "progressive", "anchor.strength": strength}
    states = checkpoints(tiny(settings, epochs=4, sparsity=0.8))
    inside = [s for s in states if s.epoch > 0]
    assert {s.task for s in inside} == {0, 1}
    for state in inside:
        for name in (n for n in state.tensors if n.startswith("form/mask/")):
            weights, keep = state.tensors[name.replace("form/mask", "network")], state.tensors[name]
            assert not weights[~keep].any()
    assert all(not s.tensors[n].all() for s in inside[-2:] for n in s.tensors if n == "form/mask/body.hidden1.weight")


@pytest.mark.parametrize("settings", [{"method": "esacl"}, {"method": "ewc"}], ids=label)
def test_a_huge_anchor_holds_the_network_where_it_was(settings):
    states = checkpoints(tiny(settings | {"anchor.strength": 1e6}, sparsity=0.0))
    after_0, after_1 = states[2].tensors, states[-1].tensors
    omega, moved = after_0["anchors/importance/body.hidden2.weight"], "network/body.hidden2.weight"
    heavy = omega > 1
    assert heavy.any()
    assert abs(after_1[moved] - after_0[moved])[heavy].max() < 1e-3
    free = [s.tensors for s in checkpoints(tiny(settings | {"anchor.strength": 0.0}, sparsity=0.0))]
    assert abs(free[-1][moved] - free[2][moved])[heavy].max() > 1e-2


def test_anchors_are_for_shared_parameters_only():
    for scenario, anchored in (("task", False), ("class", True)):
        last = checkpoints(tiny(method="ewc", scenario=scenario))[-1].tensors
        assert ("anchors/importance/head.weight" in last) == anchored
        assert "anchors/importance/body.hidden1.weight" in last


# -- the one-shot cut


@pytest.mark.parametrize("settings", [{"method": m} for m in METHODS] + [{"sdp.form": f} for f in FORMS], ids=label)
@pytest.mark.parametrize("sparsity", [0.0, 0.7])
def test_after_each_task_the_network_stands_at_its_mask(settings, sparsity):
    if settings.get("sdp.form") == "any" and not sparsity:
        pytest.skip("it is for sparse networks, and says so (test_config)")
    events = events_of(tiny(settings, sparsity=sparsity))
    ends = [e for e in of_kind(events, CheckpointReady) if e.epoch == 0]
    for state, finished in zip(ends, of_kind(events, TaskFinished), strict=True):
        cuts = {name.removeprefix("cut/"): t for name, t in state.tensors.items() if name.startswith("cut/")}
        assert bool(cuts) == (sparsity > 0 or settings.get("method") == "packnet")
        weights = {name: state.tensors[f"network/{name}"] for name in cuts}
        assert all(not weights[name][~keep].any() for name, keep in cuts.items())
        if cuts:
            total = sum(keep.size for keep in cuts.values())
            density = (1 - sparsity) * (state.task / 2 if settings.get("method") == "packnet" else 1)
            rounded = len(cuts) if settings.get("method") == "rigl" else 1  # RigL has a budget for each layer
            found = sum(int(keep.sum()) for keep in cuts.values())
            assert density * total - rounded < found <= density * total + 1e-6
            assert "head.weight" not in cuts  # private in task-IL
        assert finished.density <= 1 - sparsity


# -- checkpoints


def test_a_checkpoint_inside_a_task_holds_all_that_a_step_needs():
    states = checkpoints(tiny({"buffer.size": 10, "ids.train_fraction": 0.5, "sdp.cut": 1.0}))
    assert [(s.task, s.epoch) for s in states] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    groups = [{name.split("/")[0] for name in s.tensors} for s in states]
    assert groups[0] == {"network", "momentum", "form"}
    assert groups[2] == {"network", "anchors", "buffer", "cut"}
    assert groups[3] == {"network", "momentum", "form", "anchors", "buffer", "cut"}
    names = {"body.hidden1.weight", "body.hidden1.bias", "head.weight", "head.bias"}
    assert names < {n.removeprefix("network/") for n in states[0].tensors if n.startswith("network/")}
    assert set(states[0].counters) == {
        "flips", "total_flips", "gate_ratio", "buffer_seen", "anchors_bytes", "ledger"
    }  # fmt: skip


def test_a_checkpoint_loaded_into_a_new_learner_comes_out_again():
    config = tiny({"buffer.size": 10, "ids.train_fraction": 0.5, "sdp.cut": 1.0})
    state = checkpoints(config)[4]
    learner, _ = learner_of(config)
    learner.form.begin(1, Schedule(6, config.lr, 0.5))
    learner.load(state)
    again = learner.checkpoint(state.task, state.epoch)
    assert again.counters == state.counters
    assert again.tensors.keys() == state.tensors.keys()
    assert all((again.tensors[name] == state.tensors[name]).all() for name in state.tensors)


# -- what it costs


def test_the_ledger_counts_every_example_that_is_passed_through():
    config = tiny(method="finetune")
    learner, stream = learner_of(config)
    learn(learner, config, stream)
    examples = len(stream[0].train)
    assert learner.ledger.examples_forward == learner.ledger.examples_backward == 2 * examples
    assert learner.ledger.train_flops == learner.ledger.train_flops_dense_sgd > 0


def test_selection_halves_the_backward_pass_and_replay_doubles_the_forward_pass(monkeypatch):
    monkeypatch.setattr("esacl.gate.opens_below", lambda fraction, back: 2.0)  # more than any ratio
    half, stream = learner_of(config := tiny({"ids.train_fraction": 0.5}, method="finetune"))
    learn(half, config, stream)
    assert half.ledger.examples_backward == half.ledger.examples_forward / 2
    back = 1 + 10_400 / 16_800  # of 64-100-100 with 4 outputs: the first layer's inputs need no gradient
    assert half.ledger.backward_to_forward == pytest.approx(back)
    cost = (1 + back / 2) / (1 + back)
    assert half.ledger.train_flops == pytest.approx(cost * half.ledger.train_flops_dense_sgd)
    replay, stream = learner_of(config := tiny({"buffer.size": 16}, method="finetune"))
    learn(replay, config, stream)
    replay.consolidate(stage(config, stream, 0))
    before = replay.ledger.examples_forward
    learn(replay, config, stream, 1)
    assert replay.ledger.examples_forward - before == 2 * before
    assert replay.ledger.train_flops == pytest.approx(1.5 * replay.ledger.train_flops_dense_sgd)


@pytest.mark.parametrize("settings", [{}, {"buffer.size": 16}], ids=["fresh", "replayed beside"])
def test_at_random_costs_what_choosing_does_and_asks_nobody(settings, monkeypatch):
    config = tiny({"ids.train_fraction": 0.25, "ids.score": "uniform"} | settings, method="finetune")
    learner, stream = learner_of(config)
    monkeypatch.setattr(learner.gate, "choose", None)
    learn(learner, config, stream)
    learner.consolidate(stage(config, stream, 0))
    learn(learner, config, stream, 1)
    ledger = learner.ledger
    kept = round((1 + 0.25 * ledger.backward_to_forward) / (1 + ledger.backward_to_forward) * 16)
    assert kept == 9
    passes = 2 if not settings else 3  # of the second task's steps those who are replayed are 9 too
    assert ledger.examples_forward == ledger.examples_backward == kept * 6 * passes
    assert ledger.train_flops == pytest.approx(passes / 2 * kept / 16 * ledger.train_flops_dense_sgd)


def test_who_is_taken_at_random_differs_from_step_to_step_and_old_and_new_stay_together():
    learner, _ = learner_of(tiny({"ids.train_fraction": 0.25, "ids.score": "uniform"}, method="finetune"))
    inputs = torch.arange(32.0)[:, None]
    batch = Batch(inputs, torch.arange(32), fresh=16)
    rows, fewer = learner._at_random(torch.arange(100, 116), batch, torch.Generator().manual_seed(0))
    assert (len(rows), fewer.fresh, len(fewer)) == (9, 9, 18)
    assert (rows - 100).tolist() == fewer.targets[:9].tolist() == fewer.inputs[:9, 0].tolist()
    assert bool((fewer.targets[9:] >= 16).all())
    other, _ = learner._at_random(torch.arange(100, 116), batch, torch.Generator().manual_seed(1))
    assert rows.tolist() != other.tolist()


def test_sparse_steps_are_billed_as_sparse():
    flops = {}
    for form in FORMS:
        learner, stream = learner_of(config := tiny({"sdp.form": form, "sdp.cut": 1.0}, epochs=6, sparsity=0.9))
        learn(learner, config, stream)
        flops[form] = learner.ledger.train_flops / learner.ledger.train_flops_dense_sgd
    assert flops["admm"] == pytest.approx(1)
    assert flops["progressive"] < flops["segment"] < 1


@pytest.mark.parametrize("cut", [0.5, 0.25])
def test_steps_after_the_cut_cost_what_is_left(cut):
    learner, stream = learner_of(config := tiny({"sdp.cut": cut}, epochs=4))
    learn(learner, config, stream)
    layers = count_layers(learner.network, stream[0].train.inputs[:2])
    left = learner.mask.layer_densities()
    dense, sparse = (
        sum((f.forward + f.input_gradient + f.weight_gradient) * share.get(name, 1) for name, f in layers.items())
        for share in ({}, left)
    )
    steps, before = 12, round(12 * cut)
    assert learner.ledger.train_flops == pytest.approx(16 * (before * dense + (steps - before) * sparse))


def test_nothing_that_the_cut_removed_comes_back_before_the_next_task():
    config = tiny({"sdp.cut": 0.5}, epochs=4)
    events = events_of(config)
    for at, event in enumerate(events):
        if not isinstance(event, Pruned):
            continue
        left = sum(
            int((w != 0).sum()) for w in array(events[:at], f"weights-t{event.task}").values() if w.dtype == bool
        )
        later = [e for e in of_kind(events[at:], CheckpointReady) if e.task == event.task and e.epoch]
        assert [e.epoch for e in later] == [3, 4]
        for state in later:
            alive = [
                state.tensors[f"network/{n.removeprefix('cut/')}"][~m]
                for n, m in state.tensors.items()
                if n[:4] == "cut/"
            ]
            assert alive
            assert all((a == 0).all() for a in alive)
            moving = [
                state.tensors[f"momentum/{n.removeprefix('cut/')}"][~m]
                for n, m in state.tensors.items()
                if n[:4] == "cut/"
            ]
            assert all((a == 0).all() for a in moving)
        assert left == sum(int(m.sum()) for n, m in later[-1].tensors.items() if n[:4] == "cut/")


# -- consolidation and rehearsal


def test_no_fisher_information_is_measured_where_nothing_is_anchored():
    counts = []
    for strength in (0.0, 1.0):
        learner, stream = learner_of(config := tiny({"anchor.strength": strength}))
        learner.consolidate(stage(config, stream, 0))
        counts.append((learner.ledger.examples_backward, bool(learner.anchors.importance)))
    assert counts == [(0, False), (12 * 12, True)]  # batches of the 12 of 48 that IDS chose


def test_ewc_measures_fisher_on_all_examples():
    learner, stream = learner_of(config := tiny(method="ewc"))
    learner.consolidate(stage(config, stream, 0))
    assert learner.ledger.examples_backward == 12 * 32


@pytest.mark.parametrize(("score", "even"), [("ggn-trace", False), ("uniform", True)])
@pytest.mark.parametrize("scenario", ["task", "class"])
def test_fisher_information_is_of_the_columns_that_compete_and_the_instances_ids_chose(
    monkeypatch, scenario, score, even
):
    asked = []

    def recorded(network, outputs, inputs, weights, names, **_):
        asked.append((outputs(inputs).softmax(1), inputs, weights))
        return {name: torch.ones_like(p) for name, p in network.named_parameters() if name in names}

    monkeypatch.setattr("esacl.anchors.fisher_diagonal", recorded)
    learner, stream = learner_of(config := tiny({"ids.score": score}, scenario=scenario))
    for task, columns in enumerate([[0, 1], [2, 3] if scenario == "task" else [0, 1, 2, 3]]):
        learner.consolidate(stage(config, stream, task))
        probabilities, inputs, weights = asked[-1]
        expected = learner.network(inputs)[:, columns].softmax(1)
        torch.testing.assert_close(probabilities, expected)
        assert len(inputs) == len(weights) == 12
        assert (float(weights.std()) < 1e-6) == even


def test_no_more_examples_are_scored_for_fisher_information_than_are_enough(monkeypatch):
    asked = []

    def recorded(name, logits, targets, features):
        asked.append(sorted(map(tuple, features.tolist())))
        return score(name, logits, targets, features)

    monkeypatch.setattr("esacl.consolidation.score", recorded)
    bills = []
    for pool, seed in [(48, 0), (20, 0), (20, 0), (20, 1)]:
        monkeypatch.setattr("esacl.consolidation.POOL", pool)
        learner, stream = learner_of(config := tiny(seed=seed))
        learner.consolidate(stage(config, stream, 0))
        bills.append(learner.ledger.bill["scoring"])
    assert [len(scored) for scored in asked] == [48, 20, 20, 20]
    assert bills[1] == pytest.approx(bills[0] * 20 / 48)
    assert asked[1] == asked[2]  # drawn by the seed
    assert len(set(asked[1])) == 20  # without replacement


def test_every_task_of_every_seed_draws_instances_by_a_number_of_its_own(monkeypatch):
    numbers = []

    def recorded(scores, fraction, number):
        numbers.append(number)
        return select(scores, fraction, number)

    monkeypatch.setattr("esacl.consolidation.select", recorded)
    for seed in (0, 1):
        learner, stream = learner_of(config := tiny(seed=seed))
        for task in (0, 1):
            learner.consolidate(stage(config, stream, task))
    assert len(set(numbers)) == 4  # sums of both would meet: seed 0 in task 1 and seed 1 in task 0


def test_the_buffer_is_offered_every_task():
    last = checkpoints(tiny({"buffer.size": 200}))[-1]
    assert last.counters["buffer_seen"] == len(last.tensors["buffer/targets"]) == 2 * 48
    assert sorted(set(last.tensors["buffer/targets"].tolist())) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "logits"),
    [
        ({"buffer.rehearsal": "dark"}, True),
        ({"scenario": "class"}, True),
        ({"scenario": "class", "buffer.rehearsal": "plain", "mask_logits": True}, False),
        ({"scenario": "class", "buffer.rehearsal": "plain", "balance_logits": 1.0}, False),
    ],
)
def test_with_logits_to_keep_or_weighed_the_buffer_is_offered_every_step(settings, logits):
    config = tiny({"buffer.size": 200, **settings})
    last = checkpoints(config)[-1]
    assert last.counters["buffer_seen"] == 2 * 48 * config.epochs
    assert ("buffer/logits" in last.tensors) == logits


def test_every_step_rehearses_other_examples(monkeypatch):
    seen, draw = [], Buffer.draw

    def recorded(self, count, generator):
        rows = draw(self, count, generator)
        seen.append(tuple(rows.inputs.flatten().tolist()))
        return rows

    monkeypatch.setattr(Buffer, "draw", recorded)
    events_of(tiny({"buffer.size": 40}, method="finetune", tasks=3))
    assert len(seen) == len(set(seen)) == 2 * 6


def test_rehearsal_keeps_the_first_task_in_class_il():
    accuracy = {}
    for size in (0, 200):
        settings = {"buffer.size": size, "method": "finetune", "scenario": "class"}
        found = of_kind(events_of(tiny(settings, epochs=8, train_limit=100)), Evaluated)
        accuracy[size] = next(e.accuracy for e in found if (e.after, e.on) == (1, 0))
    assert accuracy[0] < 0.1
    assert accuracy[200] > 0.8


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_anchors_pull_at_the_rate_that_fits_the_momentum(momentum):
    config = tiny({"method": "ewc", "momentum": momentum, "epochs": 1})
    learner, stream = learner_of(config)
    learn(learner, config, stream, 0)
    learner.consolidate(stage(config, stream, 0))
    rates, expected = [], []

    def pull(parameters, rate):
        rates.append(rate)
        expected.append(learner.optimiser.param_groups[0]["lr"] * {0.0: 0.1, 0.9: 1.0}[momentum])

    learner.anchors.pull = pull
    learn(learner, config, stream, 1)
    assert len(rates) == 3
    assert rates == pytest.approx(expected)
