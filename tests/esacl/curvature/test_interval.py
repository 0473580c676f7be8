"""The interval of an eigenvalue estimated from a sample, against the textbook mean and against many draws."""

import math

import pytest
import torch
from torch import nn

from esacl.curvature import eigenvalue_interval, hessian, interval_steps, top_eigenpairs
from esacl.errors import InputError
from esacl.stepwise import finish


class Quadratic(nn.Module):
    """The loss of example i is a_i' theta^2 / 2: its Hessian is diag(a_i), the eigenvalues of a mean the means."""

    def __init__(self, n: int = 1) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(n, dtype=torch.float64))

    def forward(self, inputs):
        return (inputs * self.theta**2).sum(1) / 2


def mean(outputs, targets, weights=None):
    return outputs.mean() if weights is None else (weights * outputs).mean()


def sample(values, weights=None):
    targets = torch.zeros(len(values))
    return (values, targets) if weights is None else (values, targets, weights)


def draw(n, seed, columns=1):
    return 3 + torch.randn(n, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_of_a_mean_it_is_the_textbook_interval():
    a = draw(20, 0)
    found = eigenvalue_interval(Quadratic(), mean, sample(a), groups=20)
    assert float(found.values) == pytest.approx(float(a.mean()))
    assert float(found.bias) == pytest.approx(0, abs=1e-12)
    assert float(found.standard_error) == pytest.approx(float(a.std()) / math.sqrt(20))
    t_95_of_19 = 2.093024  # Student's table
    assert float(found.high - found.low) == pytest.approx(2 * t_95_of_19 * float(a.std()) / math.sqrt(20), rel=1e-5)
    assert (found.examples, found.level, found.converged) == (20, 0.95, True)


def test_a_sample_that_is_most_of_its_pool_is_known_better():
    a = draw(20, 1)
    whole, part = (eigenvalue_interval(Quadratic(), mean, sample(a), pool=pool) for pool in (None, 25))
    assert float(part.standard_error) == pytest.approx(float(whole.standard_error) * math.sqrt(0.2))
    all_of_it = eigenvalue_interval(Quadratic(), mean, sample(a), pool=20)
    assert float(all_of_it.high - all_of_it.low) == 0


def test_95_percent_intervals_hold_the_truth_in_95_percent_of_the_draws():
    held = 0
    for seed in range(300):
        found = eigenvalue_interval(Quadratic(), mean, sample(draw(30, seed)), groups=10, seed=seed)
        held += float(found.low) <= 3 <= float(found.high)
    assert 0.95 * 300 - 4 * math.sqrt(300 * 0.95 * 0.05) < held


def test_the_excess_of_the_largest_of_many_is_seen():
    """Ten eigenvalues that are all 3 in the pool: the largest of a sample's is far above."""
    raw, corrected = [], []
    for seed in range(40):
        found = eigenvalue_interval(Quadratic(10), mean, sample(draw(40, seed, 10)), seed=seed, tol=1e-8)
        raw.append(float(found.values) - 3)
        corrected.append(float(found.values - found.bias) - 3)
    assert sum(raw) / 40 > 0.2
    assert abs(sum(corrected)) < abs(sum(raw)) / 2


def test_weights_count():
    a = draw(12, 2)
    twice = torch.linspace(0.5, 1.5, 12, dtype=torch.float64)
    found = eigenvalue_interval(Quadratic(), mean, sample(a, twice), groups=12)
    products = a[:, 0] * twice
    assert float(found.values) == pytest.approx(float(products.mean()))
    assert float(found.standard_error) == pytest.approx(float(products.std()) / math.sqrt(12))


def test_of_a_network_its_values_are_those_of_lanczos_and_its_products_all_that_were_spent():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    data = torch.randn(40, 6, dtype=torch.float64), torch.arange(40) % 3
    before = [p.clone() for p in network.parameters()]
    found = eigenvalue_interval(network, nn.functional.cross_entropy, data, 2, groups=4, pool=400)
    alone = top_eigenpairs(hessian(network, nn.functional.cross_entropy, data), 2)
    assert found.values.tolist() == pytest.approx(alone.values.tolist())
    assert alone.products < found.products < 8 * alone.products
    assert (found.low < found.values - found.bias).all()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters()))


def test_a_step_is_one_product():
    a = draw(12, 3, 4)
    steps = list(interval_steps(Quadratic(4), mean, sample(a), groups=3, tol=1e-9))
    assert len(steps) == 4 * 4  # four Lanczos runs of four products: the whole space
    assert [step.done for step in steps] == sorted(step.done for step in steps)


def test_the_network_may_move_on_between_two_steps():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    data = torch.randn(40, 6, dtype=torch.float64), torch.arange(40) % 3
    still = eigenvalue_interval(network, nn.functional.cross_entropy, data, groups=4)
    steps = interval_steps(network, nn.functional.cross_entropy, data, groups=4)
    next(steps)
    with torch.no_grad():
        network[0].weight.mul_(3)
    moved = finish(steps)
    assert float(moved.low) == pytest.approx(float(still.low))
    assert float(moved.high) == pytest.approx(float(still.high))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"level": 1.0}, r"level 1.0 is out of range; choose a number between 0 and 1"),
        ({"groups": 2}, r"groups 2 of 12 examples; choose 3 to 12"),
        ({"groups": 13}, r"groups 13 of 12 examples; choose 3 to 12"),
        ({"pool": 11}, r"pool 11 is smaller than the sample of 12"),
        ({"k": 2}, r"k = 2 eigenpairs of an operator of size 1"),
    ],
)
def test_bad_input_is_refused_at_the_call(more, message):
    with pytest.raises(InputError, match=message):
        interval_steps(Quadratic(), mean, sample(draw(12, 4)), **more)
