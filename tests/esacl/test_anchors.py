"""Anchors: the Fisher diagonal against exact enumeration, rank-1 factors, the proximal pull in closed form."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from esacl.anchors import Anchors, fisher_diagonal, guard_idle, pull_rate, rank_one
from esacl.mask import Mask

NAMES = ("0.weight", "0.bias", "2.weight", "2.bias")


@pytest.fixture
def problem():
    """A small network in float64, 12 inputs, and importance weights of mean 1."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    inputs = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    weights = 0.2 + torch.rand(12, generator=generator, dtype=torch.float64)
    return network, inputs, weights / weights.mean()


def exact_diagonal(network, inputs, weights) -> dict[str, Tensor]:
    """mean_i w_i sum_y p(y | x_i) (d log p(y | x_i) / d theta)^2, every example and label by itself."""
    parameters = dict(network.named_parameters())
    totals = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for x, weight in zip(inputs, weights, strict=True):
        for label in range(3):
            log_p = network(x[None]).log_softmax(1)[0, label]
            gradients = torch.autograd.grad(log_p, list(parameters.values()))
            for name, g in zip(parameters, gradients, strict=True):
                totals[name] += weight * log_p.detach().exp() * g.square() / len(inputs)
    return totals


def estimate(network, inputs, weights, *, batches, batch_size, seed=0, names=NAMES):
    generator = torch.Generator().manual_seed(seed)
    return fisher_diagonal(
        network,
        network,
        inputs,
        weights,
        names,
        batches=batches,
        batch_size=batch_size,
        generator=generator,
    )


def flat(values: dict[str, Tensor]) -> Tensor:
    return torch.cat([values[name].flatten() for name in NAMES])


# -- Fisher information


@pytest.mark.parametrize("weighted", [False, True])
def test_fisher_is_unbiased_for_the_exact_diagonal(problem, weighted):
    network, inputs, weights = problem
    weights = weights if weighted else torch.ones(12, dtype=torch.float64)
    exact = flat(exact_diagonal(network, inputs, weights))
    runs = torch.stack([
        flat(estimate(network, inputs, weights, batches=30, batch_size=6, seed=s)) for s in range(20)
    ])  # fmt: skip
    error = (runs.mean(0) - exact) / (runs.std(0) / 20**0.5)
    assert float(error.abs().max()) < 4.5  # 31 t-values
    assert float((runs.mean(0).sum() / exact.sum() - 1).abs()) < 0.05


def test_a_network_that_is_sure_is_measured_all_the_same(problem):
    # What information there is lies with labels so rare that a sample of them would be luck.
    network, inputs, weights = problem
    with torch.no_grad():
        network[2].weight.mul_(8)
    exact = float(flat(exact_diagonal(network, inputs, weights)).sum())
    assert float(network(inputs).detach().softmax(1).amax(1).median()) > 0.99
    sums = [float(flat(estimate(network, inputs, weights, batches=12, batch_size=12, seed=s)).sum()) for s in range(20)]
    assert all(0.1 * exact < total < 5 * exact for total in sums)
    assert sum(sums) / 20 == pytest.approx(exact, rel=0.3)


def test_weights_enter_under_the_square_root(problem):
    # One example a batch: with signs times w_i in place of sqrt(w_i) the estimate would be 4 times, not twice.
    network, inputs, _ = problem
    plain = estimate(network, inputs, torch.ones(12).double(), batches=12, batch_size=1)
    twice = estimate(network, inputs, torch.full((12,), 2.0).double(), batches=12, batch_size=1)
    torch.testing.assert_close(flat(twice), 2 * flat(plain))


def test_fisher_measures_the_named_parameters_and_leaves_the_network_alone(problem):
    network, inputs, weights = problem
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    found = estimate(network, inputs, weights, batches=2, batch_size=4, names=("2.bias", "0.weight"))
    assert set(found) == {"2.bias", "0.weight"}
    for name, p in network.named_parameters():
        assert p.equal(before[name])
        assert p.grad is None
        if name in found:
            assert found[name].shape == p.shape
            assert bool((found[name] >= 0).all())


def test_fisher_takes_a_batch_larger_than_the_data(problem):
    network, inputs, weights = problem
    assert float(flat(estimate(network, inputs, weights, batches=3, batch_size=500)).sum()) > 0


# -- rank one


def test_rank_one_is_exact_on_a_rank_one_matrix():
    values = torch.outer(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0]))
    torch.testing.assert_close(rank_one(values, torch.ones(3, 2, dtype=torch.bool)), values)


def test_rank_one_of_a_kernel_counts_kernels_as_rows():
    rows, columns = torch.rand(4), torch.rand(2 * 3 * 3)
    values = torch.outer(rows, columns).view(4, 2, 3, 3)
    found = rank_one(values, torch.ones_like(values, dtype=torch.bool))
    assert found.shape == values.shape
    torch.testing.assert_close(found, values)


def test_rank_one_by_hand_where_some_are_kept_out():
    # Inside: 2 and 4 in row 0, 6 in row 1: (1, 1.5) x (2, 4), whatever is outside.
    values = torch.tensor([[2.0, 4.0], [9.0, 6.0]])
    where = torch.tensor([[True, True], [False, True]])
    torch.testing.assert_close(rank_one(values, where), torch.tensor([[2.0, 4.0], [0.0, 6.0]]))


def test_rank_one_leaves_a_lonely_coordinate_what_it_is():
    """Five coordinates, none of which shares a row or a column with another."""
    values = torch.diag(torch.tensor([5.0, 1.0, 2.0, 3.0, 4.0]))
    torch.testing.assert_close(rank_one(values, torch.eye(5, dtype=torch.bool)), values)


@given(seed=st.integers(0, 100), density=st.floats(0.02, 1))
def test_what_is_fitted_again_and_again_does_not_grow(seed, density):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(8, 12, generator=generator, dtype=torch.float64) ** 6  # few of them count
    where = torch.rand(8, 12, generator=generator) < density
    total, fitted = float((values * where).sum()), values
    for _ in range(10):
        fitted = rank_one(fitted, where)
        assert float(fitted.sum()) == pytest.approx(total)
        assert float(fitted.max()) <= total * (1 + 1e-9)


def test_rank_one_is_exact_where_the_values_inside_are_of_rank_one():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(8, generator=generator), torch.rand(12, generator=generator)
    where = torch.rand(8, 12, generator=generator) < 0.7
    values = torch.outer(a, b) * where
    torch.testing.assert_close(rank_one(values, where), values, rtol=1e-4, atol=1e-6)


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 100))
def test_rank_one_keeps_the_total_the_rows_and_the_columns(rows, columns, seed):
    values = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = rank_one(values, torch.ones(rows, columns, dtype=torch.bool))
    torch.testing.assert_close(found.sum(0), values.sum(0))
    torch.testing.assert_close(found.sum(1), values.sum(1))


@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 5)), seed=st.integers(0, 100))
def test_rank_one_is_not_negative_and_zero_outside(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    values, where = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator) < 0.5
    found = rank_one(values, where)
    assert bool((found >= 0).all())
    assert not bool(found[~where].any())


@pytest.mark.parametrize("inside", [True, False])
def test_rank_one_of_nothing_is_zero(inside):
    values = torch.zeros(2, 3) if inside else torch.ones(2, 3)
    assert not rank_one(values, torch.full((2, 3), inside)).any()


def test_an_idle_unit_counts_as_much_as_a_typical_one():
    # Column sums 4, 0, 8: the typical one is (16 + 64) / 12 = 20/3, of which the rows get 3/12 and 9/12.
    guarded = guard_idle(torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 6.0]]))
    torch.testing.assert_close(guarded, torch.tensor([[5 / 3, 5 / 3, 2.0], [5.0, 5.0, 6.0]]))


def test_a_layer_without_idle_units_and_one_without_information_are_left_alone():
    even = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
    assert guard_idle(even).equal(even)
    assert not guard_idle(torch.zeros(2, 3)).any()


def test_more_idle_units_do_not_weaken_the_guard():
    busy = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    few, many = (guard_idle(F.pad(busy, (0, idle)))[:, :3] for idle in (1, 50))
    torch.testing.assert_close(few, many)


def test_the_guard_lowers_nothing_and_leaves_alone_what_does_not_matter():
    fisher = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    fisher[1] = 0
    guarded = guard_idle(fisher)
    assert guarded.shape == fisher.shape
    assert bool((guarded >= fisher).all())
    assert not bool(guarded[1].any())


# -- consolidation


def parameters(**values: float) -> dict[str, Tensor]:
    return {name: torch.full((2, 2), value) for name, value in values.items()}


def test_consolidation_adds_fisher_of_mean_1_and_moves_the_solution():
    anchors = Anchors(1.0, compact=False, guard=False)
    anchors.consolidate(parameters(w=1.0), {"w": torch.tensor([[1.0, 3.0], [0.0, 4.0]])}, Mask({}))
    assert anchors.importance["w"].tolist() == [[0.5, 1.5], [0.0, 2.0]]
    weights = parameters(w=7.0)
    anchors.consolidate(weights, {"w": torch.tensor([[10.0, 10.0], [10.0, 10.0]])}, Mask({}))
    assert anchors.importance["w"].tolist() == [[1.5, 2.5], [1.0, 3.0]]
    weights["w"].zero_()
    assert anchors.solution["w"].tolist() == [[7.0, 7.0], [7.0, 7.0]]
    assert anchors.bytes == 2 * 4 * 4


def test_of_a_solution_the_survivors_are_kept_whoever_anchors():
    mask = Mask({"w": torch.tensor([[True, False, False], [False, False, True]])})
    anchors = Anchors(1.0, compact=False, guard=False)
    anchors.consolidate({"w": torch.ones(2, 3) * mask["w"]}, {"w": torch.ones(2, 3)}, mask)
    assert anchors.bytes == 4 * 6 + 4 * 2  # Omega is dense: weights that grow again are held too


def test_the_mean_is_over_survivors_and_the_rest_becomes_rank_one():
    fisher = torch.tensor([[2.0, 1.0], [6.0, 3.0], [8.0, 4.0]])
    mask = Mask({"w": torch.tensor([[True, False], [True, False], [False, False]])})
    anchors = Anchors(1.0, compact=True, guard=True)
    anchors.consolidate({"w": torch.ones(3, 2)}, {"w": fisher}, mask)
    omega = anchors.importance["w"]
    assert omega[mask["w"]].tolist() == [0.5, 1.5]  # the survivors' mean is 4
    torch.testing.assert_close(omega, torch.where(mask["w"], fisher / 4, rank_one(fisher / 4, ~mask["w"])))
    assert bool((omega[~mask["w"]] > 0).all())  # regrown weights are protected too
    assert anchors.bytes == (2 + 4) * 2 + 4 * (3 + 2)


@pytest.mark.parametrize("compact", [True, False])
def test_what_is_counted_as_two_bytes_has_no_more_in_it(compact):
    fisher = {"w": torch.rand(20, 30), "bias": torch.rand(20)}
    anchors = Anchors(1.0, compact=compact, guard=False)
    anchors.consolidate({n: torch.ones_like(f) for n, f in fisher.items()}, fisher, Mask({"w": fisher["w"] > 0.3}))
    alive = anchors.importance["w"][fisher["w"] > 0.3]
    assert bool((alive == alive.bfloat16().float()).all()) == compact
    torch.testing.assert_close(alive, alive.bfloat16().float(), rtol=2**-8, atol=0)
    assert not bool((anchors.importance["bias"] == anchors.importance["bias"].bfloat16().float()).all())


def test_ways_into_idle_units_are_anchored_and_ways_into_black_pixels_are_free():
    fisher = {"first": torch.tensor([[4.0, 0.0], [4.0, 0.0]]), "second": torch.tensor([[4.0, 0.0], [4.0, 0.0]])}
    mask = Mask({name: torch.tensor([[True, False], [False, False]]) for name in fisher})
    anchors = Anchors(1.0, compact=True, guard=True)
    anchors.consolidate({name: torch.ones(2, 2) for name in fisher}, fisher, mask)
    assert [bool(x) for x in anchors.importance["first"].flatten()] == [True, False, True, False]
    assert bool((anchors.importance["second"][1] > 0).all())


def test_every_anchored_parameter_counts_in_the_mean_pruned_or_not():
    fisher = {"w": torch.tensor([[4.0, 100.0]]), "bias": torch.tensor([2.0, 6.0])}
    mask = Mask({"w": torch.tensor([[True, False]])})
    anchors = Anchors(1.0, compact=True, guard=True)
    anchors.consolidate({"w": torch.ones(1, 2), "bias": torch.ones(2)}, fisher, mask)
    assert anchors.importance["bias"].tolist() == [0.5, 1.5]
    assert float(anchors.importance["w"][0, 0]) == 1


def test_no_fisher_information_means_no_importance():
    anchors = Anchors(1.0, compact=True, guard=True)
    anchors.consolidate(parameters(w=1.0), {"w": torch.zeros(2, 2)}, Mask({"w": torch.eye(2, dtype=torch.bool)}))
    assert not anchors.importance["w"].any()


# -- the pull


def anchored(strength: float, omega: float, solution: float) -> Anchors:
    anchors = Anchors(strength, compact=False, guard=False)
    anchors.importance, anchors.solution = parameters(w=omega), parameters(w=solution)
    return anchors


def test_the_pull_is_the_proximal_step():
    weights = parameters(w=5.0, free=5.0)
    anchored(2.0, 3.0, -1.0).pull(weights, rate=0.1)
    q = 0.1 * 2 * 3
    assert weights["w"].flatten().tolist() == pytest.approx([(5 + q * -1) / (1 + q)] * 4)
    assert weights["free"].eq(5).all()


@given(strength=st.floats(1e-3, 1e30), omega=st.floats(0, 1e6), start=st.floats(-10, 10), solution=st.floats(-10, 10))
def test_the_pull_is_stable_for_any_strength(strength, omega, start, solution):
    weights = parameters(w=start)
    anchored(strength, omega, solution).pull(weights, rate=0.05)
    low, high = sorted((start, solution))
    assert bool(((weights["w"] >= low - 1e-5) & (weights["w"] <= high + 1e-5)).all())


def test_a_huge_strength_holds_the_solution():
    weights = parameters(w=5.0)
    anchored(1e6, 1e3, -1.0).pull(weights, rate=0.05)
    assert weights["w"].flatten().tolist() == pytest.approx([-1.0] * 4, abs=1e-5)


def test_the_pull_balances_a_gradient_at_the_same_place_under_any_momentum():
    # With momentum 0.9 a gradient of -1 that stays moves a weight by 10 lr, and a pull to 0 with lambda Omega = 20 by
    # 20 lr w: it rests at 1/2, and is to rest there under any momentum.
    resting = []
    for momentum in (0.0, 0.5, 0.9):
        weights = parameters(w=1.0)
        optimiser = torch.optim.SGD(weights.values(), lr=1e-3, momentum=momentum)
        for _ in range(30_000 if momentum == 0 else 10_000):
            weights["w"].grad = torch.full_like(weights["w"], -1.0)
            optimiser.step()
            anchored(20.0, 1.0, 0.0).pull(weights, rate=pull_rate(1e-3, momentum))
        resting.append(float(weights["w"].flatten()[0]))
    assert resting == pytest.approx([0.5] * 3, rel=0.03)
    assert pull_rate(0.07, 0.9) == 0.07


def test_strength_0_and_no_importance_pull_nothing():
    for anchors in (anchored(0.0, 3.0, -1.0), anchored(2.0, 0.0, -1.0), Anchors(2.0, compact=True, guard=True)):
        weights = parameters(w=5.0)
        anchors.pull(weights, rate=0.1)
        assert weights["w"].eq(5).all()


def test_state_goes_there_and_back():
    one, other = anchored(1.0, 3.0, -1.0), Anchors(1.0, compact=False, guard=False)
    shared = other.importance  # the ranking of weights holds on to it
    other.load(one.state(), 123)
    assert shared["w"].equal(one.importance["w"])
    assert other.solution["w"].equal(one.solution["w"])
    assert other.bytes == 123


def test_the_guard_is_a_switch_of_its_own():
    fisher = {"first": torch.tensor([[1.0, 0.0], [1.0, 2.0]]), "second": torch.tensor([[1.0, 0.0], [1.0, 2.0]])}
    found = {}
    for guard in (True, False):
        anchors = Anchors(1.0, compact=False, guard=guard)
        anchors.consolidate({name: torch.zeros(2, 2) for name in fisher}, fisher, Mask({}))
        found[guard] = anchors.importance
    assert found[True]["first"].equal(fisher["first"])  # its columns are data, and the mean is 1
    assert found[True]["second"].equal(guard_idle(fisher["second"]))
    assert found[False]["second"].equal(fisher["second"])
