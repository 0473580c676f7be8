"""The bound by way of the outputs: exact where they are polynomials, above the rise where they are smooth, near it."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from esacl.curvature import loss_rise, output_bound
from esacl.curvature.outputs import _derivatives
from esacl.errors import InputError, RunFailure


def network(depth: int, activation: type[nn.Module] = nn.Identity, seed: int = 0) -> nn.Sequential:
    """`depth` linear layers: without an activation the outputs are polynomials of that degree along any way."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for k in range(depth):
        layers += [nn.Linear(6, 6 if k < depth - 1 else 4), activation() if k < depth - 1 else nn.Identity()]
    return nn.Sequential(*layers).double()


def data(n: int = 30):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 6, generator=generator, dtype=torch.float64), torch.arange(n) % 4


def step(module: nn.Module, size: float, seed: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: size * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for name, p in module.named_parameters()
        if p.ndim > 1
    }


def true_rise(module, inputs, labels, displacement, columns=None, weights=None):
    closed = torch.zeros(len(labels), 4, dtype=torch.bool) if columns is None else ~columns
    fixed = {name: p.detach() for name, p in module.named_parameters()}
    moved = fixed | {name: fixed[name] + d for name, d in displacement.items()}
    after, before = (
        F.cross_entropy(functional_call(module, p, (inputs,)).masked_fill(closed, -1e9), labels, reduction="none")
        for p in (moved, fixed)
    )
    return float(((after - before) * (1 if weights is None else weights)).mean())


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_expanded_outputs_are_the_outputs_where_they_are_polynomials_of_degree_4_at_most(depth):
    module, (inputs, labels) = network(depth), data()
    d = step(module, 0.5)
    found, true = output_bound(module, (inputs, labels), d), true_rise(module, inputs, labels, d)
    assert found.expanded == pytest.approx(true, rel=1e-10)
    assert found.bound >= true - 1e-12
    if depth < 3:  # nothing is left out
        assert found.bound == pytest.approx(true, rel=1e-10)
        assert found.largest_remainder == pytest.approx(0, abs=1e-10)


def test_of_degree_5_the_fifth_term_is_left_out_and_it_holds_while_that_is_no_larger_than_the_two_before():
    module, (inputs, labels) = network(5), data()
    for seed in range(20):
        d = step(module, 0.2, seed)
        found = output_bound(module, (inputs, labels), d)
        true = true_rise(module, inputs, labels, d)
        assert found.bound >= true - 1e-12
        fixed = {name: p.detach() for name, p in module.named_parameters()}
        terms = [f.double() for f in _derivatives(module, fixed, d, inputs)]
        whole = functional_call(module, fixed | {name: fixed[name] + d[name] for name in d}, (inputs,)).detach()
        fifth = whole - sum(term / math.factorial(k) for k, term in enumerate(terms))
        assert found.expanded == pytest.approx(expanded_rise(whole - fifth, terms[0], labels), rel=1e-9)
        assert float(fifth.abs().max()) > 1e-4


def expanded_rise(after, before, labels):
    return float(F.cross_entropy(after, labels) - F.cross_entropy(before, labels))


def cubic_and_quartic(third: float, fourth: float):
    """One example whose logits, 3 and 0, get a cubic and a quartic term along the way, and its displacement."""
    module = network(4)
    with torch.no_grad():
        for p in module.parameters():
            p.zero_()
        module[6].bias[:2] = torch.tensor([3.0, 0.0])
        module[6].weight[:2, 0] = torch.tensor([-third / 2, third / 2])
    d = {f"{2 * k}.weight": torch.zeros(4 if k == 3 else 6, 6, dtype=torch.float64) for k in range(4)}
    for weight in d.values():
        weight[0, 0] = 1.0
    d["6.weight"][:2, 0] = torch.tensor([-fourth / 2, fourth / 2])
    return module, d


def test_what_is_left_out_at_its_worst_by_hand():
    inputs, labels = torch.eye(6, dtype=torch.float64)[:1], torch.tensor([0])
    columns = torch.tensor([[True, True, False, False]])

    def loss(margin):
        return math.log1p(math.exp(-margin))

    # Both terms are in the expansion, and the larger one once more in what may be left out: all against the label.
    for third, fourth, larger in ((0.0, 1.0, 1.0), (0.5, 0.25, 0.5), (0.5, -0.5, 0.5)):
        module, d = cubic_and_quartic(third, fourth)
        found = output_bound(module, (inputs, labels), d, columns=columns)
        after = 3.0 - third - fourth
        assert found.largest_remainder == pytest.approx(larger)
        assert found.expanded == pytest.approx(loss(after) - loss(3.0))
        assert found.expanded == pytest.approx(true_rise(module, inputs, labels, d, columns))
        assert found.bound == pytest.approx(loss(after - larger) - loss(3.0))


@pytest.mark.parametrize("activation", [nn.Softplus, nn.Tanh])
@pytest.mark.parametrize("size", [0.02, 0.1, 0.3])
def test_with_smooth_activations_it_holds_and_is_nearer_than_the_bound_by_curvature(activation, size):
    for seed in range(10):
        module, (inputs, labels) = network(3, activation, seed), data()
        d = step(module, size, seed + 100)
        true = true_rise(module, inputs, labels, d)
        found = output_bound(module, (inputs, labels), d)
        assert found.bound >= true - 1e-9
        assert found.expanded <= found.bound <= found.expanded + found.largest_remainder
        by_curvature = loss_rise(module, F.cross_entropy, (inputs, labels), d).lambda_bound
        assert found.bound - true < (0.1 if size == 0.02 else 1) * (by_curvature - true)


def test_the_derivatives_are_those_of_finite_differences():
    module, (inputs, _) = network(3, nn.Softplus), data(5)
    d, fixed = step(module, 0.3), {name: p.detach() for name, p in module.named_parameters()}
    found = _derivatives(module, fixed, d, inputs)
    h = 0.05
    at = [
        functional_call(module, fixed | {n: fixed[n] + k * h * d[n] for n in d}, (inputs,)).detach()
        for k in range(-3, 4)
    ]
    fourth = (-at[0] + 12 * at[1] - 39 * at[2] + 56 * at[3] - 39 * at[4] + 12 * at[5] - at[6]) / (6 * h**4)
    third = (at[0] - 8 * at[1] + 13 * at[2] - 13 * at[4] + 8 * at[5] - at[6]) / (8 * h**3)
    torch.testing.assert_close(found[4], fourth, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found[3], third, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found[0], module(inputs).detach())


def test_only_columns_that_compete_count_and_weights_weigh():
    module, (inputs, labels) = network(2), data()
    labels = labels % 2
    columns = torch.tensor([True, True, False, False]).expand(30, 4)
    weights = torch.linspace(0, 2, 30, dtype=torch.float64)
    d = step(module, 0.5)
    found = output_bound(module, (inputs, labels, weights), d, columns=columns, chunk=7)
    assert found.bound == pytest.approx(true_rise(module, inputs, labels, d, columns, weights), rel=1e-10)


def test_chunks_change_nothing_and_the_network_is_left_alone():
    module, (inputs, labels) = network(3, nn.Softplus), data()
    before = [p.detach().clone() for p in module.parameters()]
    d = step(module, 0.2)
    found = [output_bound(module, (inputs, labels), d, chunk=chunk) for chunk in (4, 30, 100)]
    for other in found[1:]:
        assert other.bound == pytest.approx(found[0].bound, rel=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters()))
    assert all(p.grad is None for p in module.parameters())


def test_no_displacement_no_rise():
    module, (inputs, labels) = network(3, nn.Softplus), data()
    found = output_bound(module, (inputs, labels), {"0.weight": torch.zeros(6, 6)})
    assert (found.expanded, found.largest_remainder) == (0, 0)
    assert found.bound == pytest.approx(0, abs=1e-15)


def test_it_goes_through_convolutions_pooling_and_batch_statistics():
    torch.manual_seed(0)
    module = (
        nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Softplus(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 4)
        )
        .double()
        .eval()
    )
    inputs, labels = torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.arange(6) % 4
    d = step(module, 0.1)
    true = true_rise(module, inputs, labels, d)
    assert true <= output_bound(module, (inputs, labels), d).bound <= true + 0.2 * abs(true) + 1e-6


def test_bad_input_in_one_line():
    module, (inputs, labels) = network(2), data()
    with pytest.raises(InputError, match=r"'9\.weight' is no parameter of the network"):
        output_bound(module, (inputs, labels), {"9.weight": torch.zeros(2)})
    with pytest.raises(InputError, match="chunk 0 is not a number of examples"):
        output_bound(module, (inputs, labels), {}, chunk=0)
    with pytest.raises(InputError, match="Dropout"):
        output_bound(nn.Sequential(nn.Linear(6, 4), nn.Dropout()), (inputs, labels), {})
    with pytest.raises(RunFailure, match="not finite"):
        output_bound(module, (inputs, labels), {"0.weight": torch.full((6, 6), float("nan"))})
