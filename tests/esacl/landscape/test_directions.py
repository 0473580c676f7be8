import copy

import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import random_mask, small_cnn, small_data, small_network
from torch import nn

from esacl.curvature import hessian, top_eigenpairs
from esacl.errors import InputError
from esacl.landscape import directions
from esacl.mask import Mask


@pytest.mark.parametrize("build", [small_network, small_cnn])
def test_each_row_of_a_random_direction_has_the_norm_of_the_weights_row(build):
    network = build()
    direction = directions.random_direction(network, 0)
    assert list(direction) == [name for name, _ in network.named_parameters()]
    for name, weight in network.named_parameters():
        if weight.dim() < 2:
            assert not direction[name].any()
        else:
            torch.testing.assert_close(direction[name].flatten(1).norm(dim=1), weight.detach().flatten(1).norm(dim=1))
            assert direction[name].flatten(1).std() > 0


def test_norm_layers_stay_where_they_are():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.GroupNorm(1, 3))
    direction = directions.random_direction(network, 0)
    assert {name for name, tensor in direction.items() if tensor.any()} == {"0.weight"}


def test_a_masked_direction_stays_on_the_mask_with_the_norm_of_the_surviving_rows():
    network = small_network()
    mask = Mask(random_mask(network, 0.3))
    mask.apply(network)
    direction = directions.random_direction(network, 0, mask)
    for name, entry in mask.items():
        assert not direction[name][~entry].any()
        weight = dict(network.named_parameters())[name].detach()
        torch.testing.assert_close(direction[name].norm(dim=1), weight.norm(dim=1))


def test_rows_without_weights_get_a_zero_direction_and_no_nan():
    network = small_network()
    mask = {"1.weight": torch.zeros(10, 16, dtype=torch.bool)}
    mask["1.weight"][3, 5] = True
    Mask(mask).apply(network)
    direction = directions.random_direction(network, 0, mask)["1.weight"]
    assert direction.isfinite().all()
    assert direction.nonzero().tolist() == [[3, 5]]
    unmasked = directions.random_direction(network, 0)["1.weight"]
    assert unmasked.isfinite().all()
    assert not unmasked[4].any()


def test_the_seed_decides_and_the_global_random_numbers_do_not():
    network = small_network()
    state = torch.get_rng_state()
    first, again, other = (directions.random_direction(network, seed)["1.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    cosine = float((first * other).sum() / first.norm() / other.norm())
    assert abs(cosine) < 0.3


def test_the_pruning_direction_leads_to_the_pruned_network():
    network = small_network()
    mask = Mask(random_mask(network, 0.3))
    direction = directions.pruning_direction(network, mask)
    assert set(direction) == set(mask)
    pruned = copy.deepcopy(network)
    mask.apply(pruned)
    for name, tensor in direction.items():
        before, after = (dict(net.named_parameters())[name].detach() for net in (network, pruned))
        assert torch.equal(before + tensor, after)
        assert not tensor.requires_grad


def test_a_task_direction_leads_from_one_solution_to_the_other():
    a, b = small_network(seed=0), small_network(seed=1)
    direction = directions.task_direction(a, b)
    for name, tensor in direction.items():
        torch.testing.assert_close(a.get_parameter(name) + tensor, b.get_parameter(name))
    from_dicts = directions.task_direction(dict(a.named_parameters()), b.state_dict())
    assert all(torch.equal(from_dicts[name], tensor) for name, tensor in direction.items())


def test_an_eigen_direction_keeps_its_length_and_the_mask():
    network, data = small_network(), small_data()
    mask = random_mask(network, 0.3)
    Mask(mask).apply(network)
    operator = hessian(network, F.cross_entropy, data, mask)
    found = top_eigenpairs(operator, 1)
    direction = directions.eigen_direction(operator, found.vectors[:, 0])
    assert sum(float(t.square().sum()) for t in direction.values()) == pytest.approx(1)
    assert all(not direction[name][~entry].any() for name, entry in mask.items())


def test_orthogonal_to_removes_exactly_the_other_part():
    a = {"p": torch.tensor([1.0, 2.0]), "q": torch.tensor([3.0])}
    b = {"p": torch.tensor([1.0, 0.0]), "r": torch.tensor([2.0])}
    left = directions.orthogonal_to(a, b)
    assert sum(float((left[name] * b[name]).sum()) for name in b) == pytest.approx(0, abs=1e-7)
    torch.testing.assert_close(left["p"], torch.tensor([0.8, 2.0]))
    torch.testing.assert_close(left["q"], torch.tensor([3.0]))
    torch.testing.assert_close(left["r"], torch.tensor([-0.4]))
    nothing = {"p": torch.zeros(2)}
    assert torch.equal(directions.orthogonal_to(a, nothing)["p"], a["p"])


def test_bad_input_is_refused():
    network = small_network()
    with pytest.raises(InputError, match="'nope' is no parameter"):
        directions.random_direction(network, 0, {"nope": torch.ones(1)})
    with pytest.raises(InputError, match="has shape"):
        directions.pruning_direction(network, {"1.weight": torch.ones(2, 2)})
    with pytest.raises(InputError, match="in one solution only"):
        directions.task_direction(network, small_cnn())
    with pytest.raises(InputError, match="has shape"):
        directions.task_direction({"p": torch.ones(2)}, {"p": torch.ones(3)})
    operator = hessian(network, F.cross_entropy, small_data())
    with pytest.raises(InputError, match="takes"):
        directions.eigen_direction(operator, torch.ones(3))


def test_a_mask_that_keeps_nothing_has_no_direction_inside():
    network = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(InputError, match="the mask keeps no weight, so no direction stays inside it"):
        directions.random_direction(network, 0, {"0.weight": torch.zeros(2, 3, dtype=torch.bool)})
