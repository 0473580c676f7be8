import math

import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import exact_hessian, random_mask, small_data, small_network

from esacl.curvature import hessian, overlap, top_eigenpairs
from esacl.errors import InputError, RunFailure


def cut(network, density):
    """What pruning at random adds to the weights."""
    parameters = dict(network.named_parameters())
    return {name: -parameters[name].detach() * ~entry for name, entry in random_mask(network, density).items()}


def measured(network, data, d, k=4, **choice):
    operator = hessian(network, F.cross_entropy, data, **choice)
    pairs = top_eigenpairs(operator, k, tol=1e-10)
    return overlap(operator, pairs, d), operator


@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize("names", [None, ["1.weight"], ["3.weight"]])
def test_shares_are_those_of_the_exact_eigenvectors(names, chunk):
    network, data = small_network(), small_data()
    d = {name: step for name, step in cut(network, 0.5).items() if names is None or name in names}
    found, operator = measured(network, data, d, names=names, chunk=chunk)
    matrix = exact_hessian(network, F.cross_entropy, data, names=names)
    flat = operator.flatten(d)
    values, vectors = torch.linalg.eigh(matrix)
    parts = (vectors.T @ flat).square().flip(0)
    assert found.curvature == pytest.approx(float(flat @ matrix @ flat), rel=1e-9)
    assert found.norm == pytest.approx(float(flat.norm()))
    torch.testing.assert_close(found.norm_share, (parts.cumsum(0) / parts.sum())[:4], rtol=1e-5, atol=1e-8)
    expected = (parts * values.flip(0)).cumsum(0)[:4] / found.curvature
    torch.testing.assert_close(found.curvature_share, expected, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(found.random_share, torch.arange(1, 5).double() / len(flat))
    assert found.products == 1


def test_an_eigenvector_lies_in_its_own_span_and_the_next_outside():
    network, data = small_network(), small_data()
    operator = hessian(network, F.cross_entropy, data)
    pairs = top_eigenpairs(operator, 3, tol=1e-10)
    found = overlap(operator, pairs, operator.unflatten(2 * pairs.vectors[:, 1]))
    expected = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(found.norm_share, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.curvature_share, expected, rtol=1e-6, atol=1e-8)
    assert found.curvature == pytest.approx(4 * float(pairs.values[1]))


def test_a_random_direction_has_the_random_share():
    network, data = small_network(), small_data()
    operator = hessian(network, F.cross_entropy, data)
    pairs = top_eigenpairs(operator, 5)
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(257, generator=generator, dtype=torch.float64) for _ in range(300)]
    shares = torch.stack([overlap(operator, pairs, operator.unflatten(draw)).norm_share for draw in draws])
    error = shares.std(0) / len(draws) ** 0.5
    assert bool(((shares.mean(0) - torch.arange(1, 6) / 257).abs() < 4 * error).all())


def test_a_masked_operator_sees_only_what_moves_the_survivors():
    network, data = small_network(), small_data()
    mask = random_mask(network, 0.5)
    found, _ = measured(network, data, cut(network, 0.5), mask=mask)
    assert (found.norm, found.curvature) == (0, 0)
    assert found.norm_share.isnan().all()
    assert found.curvature_share.isnan().all()


def test_curvature_shares_are_undefined_where_there_is_no_curvature_or_a_negative_one():
    network, data = small_network(), small_data()
    operator = hessian(network, F.cross_entropy, data)
    pairs = top_eigenpairs(operator, 2, tol=1e-8)
    values, vectors = torch.linalg.eigh(exact_hessian(network, F.cross_entropy, data))
    assert values[0] < 0
    for column in (0, int(values.abs().argmin())):
        found = overlap(operator, pairs, operator.unflatten(vectors[:, column]))
        assert found.curvature_share.isnan().all()
        torch.testing.assert_close(found.norm_share, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-8)


def test_bad_input_is_refused():
    network, data = small_network(), small_data()
    operator = hessian(network, F.cross_entropy, data)
    pairs = top_eigenpairs(hessian(network, F.cross_entropy, data, names=["1.weight"]), 2)
    with pytest.raises(InputError, match="size 160 for an operator of size 257"):
        overlap(operator, pairs, cut(network, 0.5))
    own = top_eigenpairs(operator, 2)
    with pytest.raises(InputError, match="'nope' is no parameter"):
        overlap(operator, own, {"nope": torch.ones(1)})
    with pytest.raises(RunFailure, match="not finite"):
        overlap(operator, own, {"1.weight": torch.full((10, 16), math.inf)})
