"""The variance gate: unbiased whether it is open or shut, open only where choosing pays."""

import pytest
import torch
import torch.nn.functional as F

from esacl import pipeline
from esacl.break_even import MARGIN, break_even
from esacl.config import RunConfig
from esacl.events import CheckpointReady, CostCounted
from esacl.gate import AVERAGE, MEASURE_EVERY, Gate
from esacl.selection import el2n, inclusion_probabilities, second_moment_ratio

N = 64


def batch(spread: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets, features; `spread` 0: all gradient norms are equal, large: a few dominate."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(N) % 3
    logits = spread * torch.rand(N, 1, generator=generator) * F.one_hot(targets, 3)
    return logits, targets, torch.ones(N, 4)


def choose(gate: Gate, spread: float, step: int = 0, seed: int = 0):
    return gate.choose(*batch(spread), step, torch.Generator().manual_seed(seed), fresh=N)


def test_fraction_1_is_off():
    assert not Gate(1.0).active
    assert Gate(0.5).active


def test_shut_it_asks_for_scores_now_and_then_only_open_always_and_by_chance_never():
    gate, never = Gate(0.25), Gate(0.25, by_score=False)
    assert [step for step in range(60) if gate.asks(step)] == [0, 20, 40]
    choose(gate, 30.0)
    assert all(gate.asks(step) for step in range(60))
    never.ratio = 0.0
    assert not any(never.asks(step) for step in range(60))
    assert not Gate(1.0).asks(0)


@pytest.mark.parametrize(("fraction", "kept"), [(0.25, 32), (0.5, 43), (1.0, 64)])
def test_at_random_as_many_as_the_same_flops_allow(fraction, kept):
    rows = Gate(fraction).at_random(N, torch.Generator().manual_seed(0))
    assert len(rows) == len(set(rows.tolist())) == kept
    assert rows.tolist() == sorted(rows.tolist())
    assert not rows.equal(Gate(fraction).at_random(N, torch.Generator().manual_seed(1))) or kept == N


def test_it_opens_where_a_few_gradients_dominate_and_stays_shut_where_none_does():
    steep, flat = Gate(0.25), Gate(0.25)
    choose(steep, 30.0), choose(flat, 0.0)
    assert steep.ratio < MARGIN * break_even(steep.fraction, steep.backward_to_forward)
    assert steep.open
    assert flat.ratio == pytest.approx(1.0)
    assert not flat.open


@pytest.mark.parametrize("fraction", [0.125, 0.25, 0.5])
@pytest.mark.parametrize("back", [1.34, 2.0])
def test_at_the_break_even_both_ways_have_the_same_variance_at_the_same_flops(fraction, back):
    """Of a mean over m draws the variance is a second moment over m."""
    gate, n = Gate(fraction, backward_to_forward=back), 64_000
    chosen, at_random = fraction * n, len(gate.at_random(n, torch.Generator()))
    assert n + back * chosen == pytest.approx((1 + back) * at_random, rel=1e-4)
    assert break_even(gate.fraction, gate.backward_to_forward) / chosen == pytest.approx(1 / at_random, rel=1e-4)
    gate.ratio = (MARGIN - 0.01) * break_even(gate.fraction, gate.backward_to_forward)
    assert gate.open
    gate.ratio = (MARGIN + 0.01) * break_even(gate.fraction, gate.backward_to_forward)
    assert not gate.open


def test_the_ratio_is_that_of_the_scores():
    gate = Gate(0.25)
    choose(gate, 30.0)
    norms = el2n(*batch(30.0))
    assert gate.ratio == second_moment_ratio(norms, inclusion_probabilities(norms, N // 4))


def test_the_ratio_is_averaged_and_measured_now_and_then():
    gate = Gate(0.25)
    choose(gate, 30.0)
    first = gate.ratio
    choose(gate, 0.0, step=1)
    assert gate.ratio == first
    choose(gate, 0.0, step=MEASURE_EVERY)
    assert gate.ratio == pytest.approx(AVERAGE * first + (1 - AVERAGE) * 1.0)


@pytest.mark.parametrize(("spread", "kept"), [(0.0, N // 2), (30.0, N // 4)])
def test_rows_are_distinct_and_as_many_as_asked_for_or_as_chance_would_take(spread, kept):
    rows, weights = choose(Gate(0.25), spread)
    assert len(rows) == len(set(rows.tolist())) == len(weights) == kept
    assert weights.dtype == torch.float32


def test_a_shut_gate_gives_every_row_the_same_weight_and_an_open_one_does_not():
    assert choose(Gate(0.25), 0.0)[1].tolist() == [1.0] * (N // 2)
    assert float(choose(Gate(0.25), 30.0)[1].std()) > 0.1


def test_a_shut_gate_takes_the_rows_that_chance_takes_though_the_scores_differ():
    gate = Gate(0.25)
    choose(gate, 0.0)  # measured here, not at the next step
    rows, weights = choose(gate, 30.0, step=1, seed=3)
    assert rows.equal(gate.at_random(N, torch.Generator().manual_seed(3)))
    assert weights.tolist() == [1.0] * len(rows)


@pytest.mark.parametrize("settings", [{"method": "joint"}, {"method": "er", "tasks": 2, "buffer": {"size": 50}}])
def test_a_run_whose_gate_stays_shut_is_one_of_selection_by_chance(monkeypatch, settings):
    monkeypatch.setattr("esacl.gate.opens_below", lambda fraction, back: 0.0)
    by_score, by_chance = (
        list(pipeline.run(RunConfig.model_validate({
            **settings, "sparsity": 0, "epochs": 1, "threads": 1, "device": "cpu",
            "ids": {"train_fraction": 0.5, "score": score}, "curvature": {"top": 0, "levels": 0, "grid": 0},
        })))
        for score in ("ggn-trace", "uniform")
    )  # fmt: skip
    weights, others = (
        [e.tensors for e in events if isinstance(e, CheckpointReady)][-1] for events in (by_score, by_chance)
    )
    for name, value in weights.items():
        if name.startswith("network/"):
            assert abs(value - others[name]).max() < 1e-4, name
    bills = [[e for e in events if isinstance(e, CostCounted)][-1].train_flops for events in (by_score, by_chance)]
    assert 1 < bills[0] / bills[1] < 1.02


@pytest.mark.parametrize("spread", [0.0, 30.0])
def test_the_weighted_mean_loss_is_unbiased(spread):
    logits, targets, _ = batch(spread)
    losses = F.cross_entropy(logits, targets, reduction="none").double()
    losses = losses + torch.linspace(0, 1, N)  # where all are equal, something to estimate
    found = []
    for seed in range(1500):
        rows, weights = choose(Gate(0.25), spread, seed=seed)
        found.append(float((weights * losses[rows]).mean()))
    means = torch.tensor(found)
    assert abs(float(means.mean() - losses.mean())) < 4 * float(means.std()) / 1500**0.5


def test_at_least_one_row_is_kept():
    gate = Gate(0.001)
    gate.ratio = 0.0
    assert len(choose(gate, 30.0, step=1)[0]) == 1


def test_the_batch_is_left_alone():
    logits, targets, seen = batch(30.0)
    before = logits.clone()
    Gate(0.5).choose(logits, targets, seen, 0, torch.Generator(), fresh=N)
    assert logits.equal(before)
