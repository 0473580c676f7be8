import copy
import gc
import threading
import weakref

import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import exact_hessian, random_mask, small_cnn, small_data, small_network
from torch import nn

from esacl.curvature import top_eigenpairs
from esacl.curvature.operator import hessian
from esacl.curvature.pyhessian import pyhessian_eigenvalues, pyhessian_steps
from esacl.errors import InputError, RunFailure
from esacl.mask import Mask


@pytest.fixture(autouse=True)
def fewer_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("build", [small_network, small_cnn])
@pytest.mark.parametrize("density", [None, 0.3])
def test_it_agrees_with_lanczos_and_the_exact_spectrum_within_its_tolerance(build, density):
    network, data = build(), small_data()
    mask = None
    if density is not None:
        mask = random_mask(network, density)
        Mask(mask).apply(network)
    found = pyhessian_eigenvalues(network, F.cross_entropy, data, 2, mask=mask)
    ours = top_eigenpairs(hessian(network, F.cross_entropy, data, mask), 2)
    expected = torch.linalg.eigvalsh(exact_hessian(network, F.cross_entropy, data, kept=mask)).flip(0)[:2]
    assert found.converged
    torch.testing.assert_close(found.values, expected, rtol=5e-3, atol=0)
    torch.testing.assert_close(found.values, ours.values, rtol=5e-3, atol=0)
    overlap = (found.vectors.double() * ours.vectors).sum(0).abs()
    assert overlap.min() > 0.99


def test_it_sees_the_restricted_problem_and_not_the_full_one_at_the_sparse_point():
    network, data = small_network(), small_data()
    mask = random_mask(network, 0.15)
    Mask(mask).apply(network)
    full = pyhessian_eigenvalues(network, F.cross_entropy, data, 1)
    inside = pyhessian_eigenvalues(network, F.cross_entropy, data, 1, mask=mask)
    assert len(inside.vectors) == sum(int(m.sum()) for m in mask.values()) + 19
    assert inside.values[0] < 0.95 * full.values[0]


def test_the_restriction_is_taken_where_the_network_stands():
    network, data = small_network(), small_data()
    mask = random_mask(network, 0.3)  # not applied: the removed weights keep their values
    found = pyhessian_eigenvalues(network, F.cross_entropy, data, 1, mask=mask)
    expected = torch.linalg.eigvalsh(exact_hessian(network, F.cross_entropy, data, kept=mask))[-1]
    assert float(found.values[0]) == pytest.approx(float(expected), rel=5e-3)


def test_residuals_are_ours_and_products_count_them():
    network, data = small_network(), small_data()
    found = pyhessian_eigenvalues(network, F.cross_entropy, data, 2, tol=1e-2)
    matrix = exact_hessian(network, F.cross_entropy, data)
    true = (matrix @ found.vectors.double() - found.vectors.double() * found.values).norm(dim=0)
    torch.testing.assert_close(found.residuals, true, rtol=1e-2, atol=1e-4)
    passes = []
    network.register_forward_hook(lambda *_: passes.append(1))
    found = pyhessian_eigenvalues(network, F.cross_entropy, data, 1)
    # Every product of PyHessian is one forward pass of one chunk; then our operator's, two memory probes, one check
    # of linearity and two of the same loss twice.
    assert found.products - 1 == len(passes) - 6


def test_a_stop_by_max_iterations_is_reported():
    network, data = small_network(), small_data()
    found = pyhessian_eigenvalues(network, F.cross_entropy, data, 1, max_iterations=2)
    assert (found.products, found.converged) == (3, False)
    assert found.residuals[0] > 1e-2 * found.values[0]


def test_negative_eigenvalues_come_in_descending_order():
    class Bowl(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))

        def forward(self, inputs):
            return (inputs * self.w.square()).sum(1)

    data = (torch.tensor([[3.0, -4.0, 0.5]]), torch.zeros(1))
    found = pyhessian_eigenvalues(Bowl(), lambda outputs, _: outputs.mean(), data, 2)
    torch.testing.assert_close(found.values, torch.tensor([6.0, -8.0], dtype=torch.float64), rtol=1e-2, atol=0)


@pytest.mark.parametrize("chunk", [None, 7])
def test_weights_and_chunks_pass_through(chunk):
    network, (x, y) = small_network(), small_data()
    weights = torch.rand(24, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2

    def weighted(outputs, targets, weights):
        return (weights * F.cross_entropy(outputs, targets, reduction="none")).mean()

    found = pyhessian_eigenvalues(network, weighted, (x, y, weights), 1, chunk=chunk)
    expected = torch.linalg.eigvalsh(exact_hessian(network, weighted, (x, y, weights)))[-1]
    assert float(found.values[0]) == pytest.approx(float(expected), rel=5e-3)


def test_parameters_out_of_use_do_no_harm():
    network, data = small_network(), small_data()
    expected = pyhessian_eigenvalues(network, F.cross_entropy, data, 1)
    network.register_parameter("unused", nn.Parameter(torch.ones(4, dtype=torch.float64)))
    found = pyhessian_eigenvalues(network, F.cross_entropy, data, 1)
    assert float(found.values[0]) == pytest.approx(float(expected.values[0]), rel=1e-3)
    assert len(found.vectors) == 261


def test_calls_do_not_disturb_each_other_the_network_or_the_global_random_numbers():
    network, data = small_network(), small_data()
    network.train()
    network[1].eval()
    network[1].weight.grad = torch.ones_like(network[1].weight)
    state, before = torch.get_rng_state(), copy.deepcopy(network.state_dict())
    first = pyhessian_eigenvalues(network, F.cross_entropy, data, 2)
    second = pyhessian_eigenvalues(network, F.cross_entropy, data, 2)
    assert torch.equal(first.values, second.values)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network[3].training
    assert not network[1].training
    assert torch.equal(network[1].weight.grad, torch.ones_like(network[1].weight))
    assert all(p.grad is None for name, p in network.named_parameters() if name != "1.weight")
    other = pyhessian_eigenvalues(network, F.cross_entropy, data, 1, seed=1)
    assert not torch.equal(other.vectors[:, 0], first.vectors[:, 0])


def test_nothing_leaks():
    network, data = small_network(), small_data()
    outputs = []
    network.register_forward_hook(lambda module, inputs, output: outputs.append(weakref.ref(output)))
    gc.collect()
    gc.disable()
    try:
        pyhessian_eigenvalues(network, F.cross_entropy, data, 1)
        assert len(outputs) > 3
        assert [ref() for ref in outputs if ref() is not None] == []
    finally:
        gc.enable()


def test_bad_input_is_refused():
    network, data = small_network(), small_data()
    nothing = {name: torch.zeros_like(m) for name, m in random_mask(network, 0.5).items()}
    for arguments, message in (
        ({"k": 0}, "k = 0"),
        ({"k": 258}, "k = 258.*257"),
        ({"k": 1, "tol": 0.0}, "tol 0.0"),
        ({"k": 1, "max_iterations": 1}, "max_iterations 1"),
        ({"k": 1, "mask": nothing}, "keeps no weight"),
    ):
        with pytest.raises(InputError, match=message):
            pyhessian_eigenvalues(network, F.cross_entropy, data, **arguments)
    straight = nn.Sequential(nn.Flatten(), nn.Linear(16, 1)).double()
    with pytest.raises(InputError, match="linear in these parameters"):
        pyhessian_eigenvalues(straight, lambda outputs, _: outputs.mean(), data, 1)
    network.insert(2, nn.Dropout(0.5))
    with pytest.raises(InputError, match="'2' \\(Dropout\\)"):
        pyhessian_eigenvalues(network, F.cross_entropy, data, 1)


def test_a_product_that_is_not_finite_stops_with_one_line():
    network, data = small_network(), small_data()
    with torch.no_grad():
        network[1].weight[0, 0] = float("nan")
    with pytest.raises(RunFailure, match="not finite"):
        pyhessian_eigenvalues(network, F.cross_entropy, data, 1, max_iterations=3)


def test_it_can_be_left_between_two_products_and_draws_nothing_then():
    network, data = small_network(), small_data()
    before, state = threading.active_count(), torch.random.get_rng_state()
    steps = pyhessian_steps(network, F.cross_entropy, data, 5, tol=1e-9, max_iterations=10_000)
    step = next(steps)
    steps.close()
    assert step.total == 50_000
    assert threading.active_count() == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_loss_that_draws_is_refused():
    def noisy(outputs, targets):
        return F.cross_entropy(F.dropout(outputs, training=True), targets)

    with pytest.raises(InputError, match="differs between two evaluations"):
        pyhessian_steps(small_network(), noisy, small_data(), 1)
