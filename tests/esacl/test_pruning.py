"""Saliencies against their formulas, and masks counted by hand for every allocation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from esacl.config import ALLOCATION_NAMES, SALIENCY_NAMES
from esacl.errors import InputError
from esacl.pruning import ALLOCATIONS, COUNTS, SALIENCIES, keep_top, saliency
from esacl.seeds import torch_generator

W = {"a": torch.tensor([[3.0, -1.0], [0.5, -2.0]]), "b": torch.tensor([[0.0, -4.0]])}
H = {"a": torch.tensor([[0.0, 9.0], [1.0, 0.0]]), "b": torch.tensor([[5.0, 0.0]])}
G = {"a": torch.tensor([[1.0, -1.0], [4.0, 0.0]]), "b": torch.tensor([[7.0, 0.5]])}


def ingredients() -> dict:
    return {"curvature": H, "gradient": G, "generator": torch_generator(0, "test")}


def values(found: dict[str, Tensor]) -> dict[str, list]:
    return {name: s.tolist() for name, s in found.items()}


# -- saliencies


def test_the_names_are_those_of_the_config():
    assert tuple(SALIENCIES) == SALIENCY_NAMES
    assert set(ALLOCATIONS) == set(ALLOCATION_NAMES)


def test_second_order_is_half_of_damped_curvature_times_the_square():
    found = values(saliency("second-order", W, curvature=H))
    assert found == {"a": [[4.5, 5.0], [0.25, 2.0]], "b": [[0.0, 8.0]]}


def test_magnitude_and_taylor():
    assert values(saliency("magnitude", W)) == {"a": [[3.0, 1.0], [0.5, 2.0]], "b": [[0.0, 4.0]]}
    assert values(saliency("taylor", W, gradient=G)) == {"a": [[3.0, 1.0], [2.0, 0.0]], "b": [[0.0, 2.0]]}


def test_second_order_keeps_another_weight_than_magnitude():
    sparsity = 5 / 6
    by_size = keep_top(saliency("magnitude", {"a": W["a"], "b": W["b"] / 2}), sparsity)
    by_curvature = keep_top(saliency("second-order", {"a": W["a"], "b": W["b"] / 2}, curvature=H), sparsity)
    assert by_size["a"].tolist() == [[True, False], [False, False]]
    assert by_curvature["a"].tolist() == [[False, True], [False, False]]


def test_random_depends_on_the_generator_only():
    one, same = (saliency("random", W, generator=torch_generator(1, "x")) for _ in range(2))
    other = saliency("random", W, generator=torch_generator(2, "x"))
    assert values(one) == values(same) != values(other)


@pytest.mark.parametrize("name", SALIENCIES)
def test_every_saliency_is_finite_not_negative_and_repeatable(name):
    found, again = (saliency(name, W, **ingredients()) for _ in range(2))
    assert values(found) == values(again)
    for key, s in found.items():
        assert s.shape == W[key].shape
        assert bool((s >= 0).all())
        assert bool(s.isfinite().all())


@pytest.mark.parametrize("name", [n for n in SALIENCIES if n != "random"])
def test_a_weight_that_is_zero_is_never_kept_before_one_that_matters(name):
    assert float(saliency(name, W, **ingredients())["b"][0, 0]) == 0


@pytest.mark.parametrize(("name", "lacks"), [("second-order", "curvature"), ("taylor", "gradient")])
def test_a_missing_ingredient_is_named(name, lacks):
    with pytest.raises(InputError, match=f"needs the {lacks}; pass {lacks}="):
        saliency(name, W)


def test_an_unknown_saliency_names_the_choices():
    with pytest.raises(InputError, match=r"unknown saliency 'x'; choose from second-order, magnitude"):
        saliency("x", W)


# -- allocation


def test_global_ranks_all_layers_together():
    mask = keep_top({"a": torch.tensor([[9.0, 1.0], [8.0, 2.0]]), "b": torch.tensor([[7.0, 6.0]])}, 0.5)
    assert mask["a"].tolist() == [[True, False], [True, False]]
    assert mask["b"].tolist() == [[True, False]]


def test_uniform_gives_every_layer_the_same_density():
    scores = {"a": torch.arange(20.0).view(4, 5), "b": 100 + torch.arange(10.0).view(2, 5)}
    mask = keep_top(scores, 0.8, "uniform")
    assert mask["a"].flatten().nonzero()[:, 0].tolist() == [16, 17, 18, 19]
    assert mask["b"].flatten().nonzero()[:, 0].tolist() == [8, 9]


def test_erk_shares_the_budget_by_the_sum_of_dimensions():
    # Without a whole layer the kept weights of a layer are proportional to rows + columns: 20 : 40 here.
    scores = {"a": torch.rand(10, 10), "b": torch.rand(20, 20)}
    mask = keep_top(scores, 0.88, "erk")  # 60 of 500
    assert {name: int(entry.sum()) for name, entry in mask.items()} == {"a": 20, "b": 40}


def test_erk_keeps_a_small_layer_whole_and_shares_what_is_left():
    # 604 weights by 4 : 200 : 100 would be 8 for the first layer, which has 4; the others share 600 as 2 : 1.
    scores = {"a": torch.rand(2, 2), "b": torch.rand(100, 100), "c": torch.rand(50, 50)}
    mask = keep_top(scores, 1 - 604 / 12504, "erk")
    assert {name: int(entry.sum()) for name, entry in mask.items()} == {"a": 4, "b": 400, "c": 200}


def test_erk_counts_every_dimension_of_a_kernel():
    # Raw densities are (out + in + k + k) / size, so kept weights go as 8 + 4 + 3 + 3 = 18 and 12 + 6 = 18.
    scores = {"conv": torch.rand(8, 4, 3, 3), "linear": torch.rand(12, 6)}
    mask = keep_top(scores, 0.9, "erk")  # 36 of 360
    assert {name: int(entry.sum()) for name, entry in mask.items()} == {"conv": 18, "linear": 18}


@st.composite
def layers(draw):
    shapes = draw(st.lists(st.lists(st.integers(1, 7), min_size=2, max_size=4), min_size=1, max_size=5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    return {f"w{i}": torch.rand(shape, generator=generator) for i, shape in enumerate(shapes)}


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@given(scores=layers(), sparsity=st.one_of(st.just(0.0), st.floats(0, 0.999)))
def test_sparsity_is_never_below_the_target_and_no_more_above_than_rounding(allocation, scores, sparsity):
    mask = keep_top(scores, sparsity, allocation)
    wanted = sparsity * mask.total
    removed = mask.total - mask.kept
    one_unit_each = allocation == "neuron" and all(int(entry.flatten(1).any(1).sum()) == 1 for entry in mask.values())
    assert wanted - 1e-4 <= removed or one_unit_each
    assert removed < wanted + len(scores) + 1e-4 or allocation not in COUNTS


@pytest.mark.parametrize("allocation", COUNTS)
@given(scores=layers(), sparsity=st.floats(0, 0.999))
def test_within_a_layer_no_removed_weight_outranks_a_kept_one(allocation, scores, sparsity):
    mask = keep_top(scores, sparsity, allocation)
    groups = [(scores, mask)] if allocation == "global" else [({n: scores[n]}, {n: mask[n]}) for n in scores]
    for s, m in groups:
        kept = torch.cat([s[n][m[n]] for n in s])
        removed = torch.cat([s[n][~m[n]] for n in s])
        if len(kept) and len(removed):
            assert float(kept.min()) >= float(removed.max())


@pytest.mark.parametrize("allocation", ["global", "uniform"])
@given(scores=layers(), low=st.floats(0, 0.99), high=st.floats(0, 0.99))
def test_masks_are_nested(allocation, scores, low, high):
    low, high = sorted((low, high))
    dense, sparse = keep_top(scores, low, allocation), keep_top(scores, high, allocation)
    assert all(not bool((sparse[n] & ~dense[n]).any()) for n in scores)


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("shape", [(1, 6, 1, 3), (2, 8, 7, 8), (9, 9), (1, 1)])
def test_sparsity_0_keeps_everything(allocation, shape):
    # The first two shapes once divided by zero: their own share is 1 but for rounding.
    assert keep_top({"w": torch.rand(shape)}, 0.0, allocation).density == 1


def test_tenths_are_meant_as_tenths():
    # (1 - 0.9) * 100 is 9.99...: ten weights are meant.
    assert keep_top({"w": torch.rand(10, 10)}, 0.9).kept == 10


def test_ties_are_cut_to_the_count():
    assert keep_top({"w": torch.ones(10, 10)}, 0.75).kept == 25


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_sparsity_outside_its_range_is_refused(sparsity):
    with pytest.raises(InputError, match=r"choose a number in \[0, 1\)"):
        keep_top(W, sparsity)


def test_an_unknown_allocation_names_the_choices():
    with pytest.raises(InputError, match=r"unknown allocation 'x'; choose from global, erk, uniform, 2:4, neuron"):
        keep_top(W, 0.5, "x")


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_a_saliency_that_is_not_finite_is_refused(allocation):
    with pytest.raises(InputError, match="not finite"):
        keep_top({"w": torch.tensor([[1.0, float("nan")]])}, 0.5, allocation)
