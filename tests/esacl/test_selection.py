"""IDS: scores against their definitions, sampling against its probabilities, estimates against the full mean."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from esacl.config import SCORE_NAMES
from esacl.errors import InputError
from esacl.selection import (
    SCORES,
    UNIFORM_SHARE,
    inclusion_probabilities,
    score,
    second_moment_ratio,
    select,
    systematic_sample,
)

N, CLASSES, FEATURES = 7, 3, 4


@pytest.fixture
def example():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(N, CLASSES, generator=generator, dtype=torch.float64)
    seen = torch.randn(N, FEATURES, generator=generator, dtype=torch.float64)
    return logits, torch.arange(N) % CLASSES, seen


def last_layer(outputs: int, seen: Tensor) -> nn.Linear:
    return nn.Linear(seen.shape[1], outputs, dtype=seen.dtype)


# -- scores


def test_the_names_are_those_of_the_config():
    assert tuple(SCORES) == SCORE_NAMES


def test_el2n_is_the_norm_of_the_last_layers_gradient(example):
    logits, targets, seen = example
    layer = last_layer(CLASSES, seen)
    with torch.no_grad():
        layer.weight.zero_(), layer.bias.zero_()
    norms = []
    for i in range(N):
        # A layer whose output is shifted to the wanted logits: the gradient is that of softmax regression.
        loss = F.cross_entropy(layer(seen[i : i + 1]) + logits[i : i + 1], targets[i : i + 1])
        g = torch.autograd.grad(loss, [layer.weight, layer.bias])
        norms.append(float(torch.cat([part.flatten() for part in g]).norm()))
    assert score("el2n", logits, targets, seen).tolist() == pytest.approx(norms, rel=1e-12)


def test_ggn_trace_is_the_trace_of_the_last_layers_gauss_newton_matrix(example):
    logits, targets, seen = example
    traces = []
    for i in range(N):
        z = torch.cat([seen[i], torch.ones(1, dtype=seen.dtype)])
        jacobian = torch.kron(torch.eye(CLASSES, dtype=z.dtype), z[None])  # of the logits by weights and biases
        p = logits[i].softmax(0)
        traces.append(float((jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian).trace()))
    assert score("ggn-trace", logits, targets, seen).tolist() == pytest.approx(traces, rel=1e-12)


def test_ggn_trace_needs_no_label(example):
    logits, targets, seen = example
    assert score("ggn-trace", logits, targets, seen).equal(score("ggn-trace", logits, targets.flip(0), seen))


def test_uniform_is_the_same_for_all(example):
    assert score("uniform", *example).tolist() == [1.0] * N


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_repeatable_not_negative_and_leaves_the_logits_alone(name, example):
    logits, targets, seen = example
    before = logits.clone()
    found = score(name, logits, targets, seen)
    assert found.shape == (N,)
    assert bool(((found >= 0) & found.isfinite()).all())
    assert found.equal(score(name, logits, targets, seen))
    assert logits.equal(before)


@pytest.mark.parametrize("name", SCORES)
def test_closed_columns_do_not_count(name, example):
    logits, targets, seen = example
    closed = torch.cat([logits, torch.full((N, 2), -1e9, dtype=logits.dtype)], 1)
    torch.testing.assert_close(score(name, closed, targets, seen), score(name, logits, targets, seen))


@pytest.mark.parametrize("name", SCORES)
def test_a_score_stays_finite_for_a_network_that_is_sure(name):
    logits = torch.tensor([[1e4, -1e4], [0.0, 0.0]])
    found = score(name, logits, torch.tensor([0, 1]), torch.ones(2, 3))
    assert bool(((found >= 0) & found.isfinite()).all())


def test_an_unknown_score_names_the_choices(example):
    with pytest.raises(InputError, match=r"unknown score 'x'; choose from ggn-trace, el2n, uniform"):
        score("x", *example)


# -- inclusion probabilities


def test_probabilities_by_hand():
    # Three quarters by score (sum 8), one quarter even: shares .75 s / 8 + 1/16, twice.
    pi = inclusion_probabilities(torch.tensor([0.0, 2.0, 2.0, 4.0]), 2)
    assert pi.tolist() == pytest.approx([0.125, 0.5, 0.5, 0.875])


def test_a_share_above_1_is_kept_for_certain_and_the_others_share_the_rest():
    pi = inclusion_probabilities(torch.tensor([100.0, 1.0, 1.0, 1.0, 0.0]), 3)
    assert float(pi[0]) == 1
    assert float(pi.sum()) == pytest.approx(3)
    share = 0.75 * torch.tensor([1.0, 1.0, 1.0, 0.0]) / 103 + 0.25 / 5
    assert pi[1:].tolist() == pytest.approx((2 * share / share.sum()).tolist())


def test_scores_of_zero_are_sampled_evenly():
    assert inclusion_probabilities(torch.zeros(8), 2).tolist() == pytest.approx([0.25] * 8)


score_lists = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), min_size=1, max_size=40)


@given(scores=score_lists, data=st.data())
def test_probabilities_sum_to_the_count_stay_within_1_and_follow_the_scores(scores, data):
    kept = data.draw(st.integers(1, len(scores)))
    pi = inclusion_probabilities(torch.tensor(scores, dtype=torch.float64), kept)
    assert float(pi.sum()) == pytest.approx(kept, rel=1e-9)
    assert 0 < float(pi.min()) <= float(pi.max()) <= 1
    ranked = pi[torch.tensor(scores, dtype=torch.float64).argsort()]
    assert bool((ranked.diff() >= -1e-12).all())
    # The even part bounds every weight kept / (n pi) by 1 / UNIFORM_SHARE.
    assert float((kept / (len(scores) * pi)).max()) <= 1 / UNIFORM_SHARE + 1e-9


# -- systematic sampling


def test_systematic_sampling_keeps_its_probabilities():
    pi = torch.tensor([1.0, 0.9, 0.5, 0.3, 0.2, 0.1], dtype=torch.float64)  # sum 3
    generator, draws = torch.Generator().manual_seed(0), 4000
    hits = torch.zeros(6)
    for _ in range(draws):
        rows = systematic_sample(pi, generator)
        assert len(rows) == 3
        assert bool((rows.diff() > 0).all())
        hits[rows] += 1
    sd = (pi * (1 - pi) / draws).sqrt()
    assert bool(((hits / draws - pi).abs() <= 4 * sd + 1e-12).all())


def test_neighbours_are_not_tied_to_each_other():
    # Without shuffling, two neighbours whose probabilities sum to less than 1 could never be drawn together.
    pi = torch.full((4,), 0.5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    pairs = {tuple(systematic_sample(pi, generator).tolist()) for _ in range(200)}
    assert len(pairs) == 6


@given(scores=score_lists, seed=st.integers(0, 10), data=st.data())
def test_as_many_distinct_rows_as_asked_for(scores, seed, data):
    kept = data.draw(st.integers(1, len(scores)))
    pi = inclusion_probabilities(torch.tensor(scores, dtype=torch.float64), kept)
    rows = systematic_sample(pi, torch.Generator().manual_seed(seed)).tolist()
    assert rows == sorted(set(rows))
    assert len(rows) == kept
    assert 0 <= rows[0] <= rows[-1] < len(scores)


# -- select


def test_the_estimate_is_unbiased():
    rng = np.random.default_rng(0)
    scores = torch.tensor(rng.gamma(0.5, size=60))
    f = torch.tensor(rng.normal(3, 2, size=60)) + scores
    draws = 3000
    found = torch.tensor([float((w * f[rows]).mean()) for rows, w in (select(scores, 0.2, s) for s in range(draws))])
    error = float(found.mean() - f.mean())
    assert abs(error) <= 4 * float(found.std()) / draws**0.5
    # The check has power: forgetting the weights shows.
    plain = torch.tensor([float(f[select(scores, 0.2, s)[0]].mean()) for s in range(300)])
    assert abs(float(plain.mean() - f.mean())) > 20 * float(plain.std()) / 300**0.5


def test_a_score_that_is_proportional_to_f_estimates_it_better_than_random():
    f = torch.tensor(np.random.default_rng(1).gamma(0.3, size=200))
    errors = {
        name: np.std([float((w * f[rows]).mean()) for rows, w in (select(s, 0.1, seed) for seed in range(300))])
        for name, s in (("score", f), ("random", torch.ones(200)))
    }
    assert errors["score"] < 0.5 * errors["random"]


@given(scores=score_lists, seed=st.integers(0, 5))
def test_fraction_1_is_exact(scores, seed):
    rows, weights = select(torch.tensor(scores), 1.0, seed)
    assert rows.tolist() == list(range(len(scores)))
    assert weights.tolist() == [1.0] * len(scores)


def test_uniform_scores_weigh_1():
    rows, weights = select(torch.ones(40), 0.25, 3)
    assert len(rows) == 10
    assert weights.tolist() == pytest.approx([1.0] * 10)


def test_at_least_one_is_kept():
    assert len(select(torch.ones(3), 0.01, 0)[0]) == 1


def test_the_seed_decides():
    scores = torch.rand(50, generator=torch.Generator().manual_seed(0))
    one, same, other = (select(scores, 0.3, seed)[0].tolist() for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(InputError, match=r"choose a number in \(0, 1\]"):
        select(torch.ones(4), fraction, 0)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_scores_that_are_no_scores_are_refused(value):
    with pytest.raises(InputError, match="finite and not negative"):
        select(torch.tensor([1.0, value]), 0.5, 0)


# -- the variance ratio


def test_second_moment_ratio_is_the_expected_square_over_that_of_random():
    # Enumerated for samples of one: E[(g_i / (n pi_i))^2] under pi, over the same under 1/n.
    g, n = np.array([1.0, 2.0, 3.0, 6.0]), 4
    pi = np.array([0.1, 0.2, 0.3, 0.4])
    chosen = sum(p * (x / (n * p)) ** 2 for x, p in zip(g, pi, strict=True))
    random = sum((1 / n) * x**2 for x in g)
    assert second_moment_ratio(torch.tensor(g), torch.tensor(pi)) == pytest.approx(chosen / random, rel=1e-12)
    assert second_moment_ratio(torch.tensor(g), 2 * torch.tensor(pi)) == pytest.approx(chosen / random, rel=1e-12)


@given(norms=st.lists(st.floats(0.01, 100), min_size=2, max_size=20), data=st.data())
def test_no_probabilities_do_better_than_those_proportional_to_the_norms(norms, data):
    g = torch.tensor(norms, dtype=torch.float64)
    best = second_moment_ratio(g, g / g.sum())
    assert best == pytest.approx(float(g.sum() ** 2 / (len(g) * g.square().sum())), rel=1e-9)
    other = torch.tensor(data.draw(st.lists(st.floats(0.01, 1), min_size=len(g), max_size=len(g))))
    assume(float(other.sum()) > 0)
    assert best <= second_moment_ratio(g, other.double() / other.double().sum()) + 1e-9


def test_the_ratio_is_1_where_nothing_can_be_gained():
    even = torch.full((5,), 0.4, dtype=torch.float64)
    assert second_moment_ratio(torch.full((5,), 3.0), even) == pytest.approx(1)
    assert second_moment_ratio(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), even) == pytest.approx(1)
    assert second_moment_ratio(torch.zeros(5), even) == 1
