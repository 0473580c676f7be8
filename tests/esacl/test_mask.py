"""Mask: counts by hand, set algebra on random masks, and what it refuses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from esacl.errors import InputError
from esacl.mask import Mask

KEPT_3_OF_8 = {"a": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "b": torch.tensor([True, False, False, False])}


@st.composite
def pairs_of_masks(draw):
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    entries = [
        {f"w{i}": torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n))) for i, n in enumerate(sizes)}
        for _ in range(2)
    ]
    return Mask(entries[0]), Mask(entries[1])


def test_counts_by_hand():
    mask = Mask(KEPT_3_OF_8)
    assert (mask.kept, mask.total, mask.density) == (3, 8, 3 / 8)
    assert mask.layer_densities() == {"a": 0.5, "b": 0.25}
    assert list(mask) == ["a", "b"]
    assert mask["a"].dtype == torch.bool


def test_an_empty_mask_keeps_everything():
    assert (Mask({}).kept, Mask({}).total, Mask({}).density) == (0, 0, 1.0)


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, float("nan"), float("inf")])
def test_what_is_not_0_or_1_is_refused(value):
    with pytest.raises(InputError, match=r"'a' holds values other than 0 and 1"):
        Mask({"a": torch.tensor([1.0, value])})


@given(pairs_of_masks())
def test_counts_and_flips_are_set_algebra(masks):
    one, other = masks
    kept = [{(n, i) for n, entry in m.items() for i in entry.nonzero()[:, 0].tolist()} for m in masks]
    assert [one.kept, other.kept] == [len(kept[0]), len(kept[1])]
    assert one.flips(other) == other.flips(one) == len(kept[0] ^ kept[1])
    assert one.flips(one) == 0
    assert 0 <= one.density <= 1


def test_what_is_given_and_what_is_asked_leaves_a_mask_as_it_was():
    given, other = torch.tensor([True, False]), Mask({"a": torch.tensor([False, True])})
    one = Mask({"a": given})
    assert (one.flips(other), one.kept, other.kept) == (2, 1, 1)
    assert one["a"].tolist() == [True, False]
    assert other["a"].tolist() == [False, True]
    assert given.tolist() == [True, False]


def test_apply_sets_removed_weights_to_zero_and_leaves_every_other_bit():
    network = nn.Linear(2, 2)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    keep = torch.tensor([[True, False], [False, True]])
    Mask({"weight": keep}).apply(network)
    assert network.weight[~keep].eq(0).all()
    assert network.weight[keep].equal(before["weight"][keep])
    assert network.bias.equal(before["bias"])
    assert network.weight.requires_grad


def test_to_moves_every_entry():
    moved = Mask(KEPT_3_OF_8).to("meta")
    assert {entry.device.type for entry in moved.values()} == {"meta"}


def test_gradients_are_cut_like_weights_and_a_weight_without_one_is_passed_over():
    mask = Mask({"a": torch.tensor([[True, False], [False, True]]), "b": torch.tensor([True, False])})
    weights = {"a": torch.ones(2, 2, requires_grad=True), "b": torch.ones(2, requires_grad=True)}
    weights["a"].grad = torch.full((2, 2), 3.0)
    mask.apply_to_gradients(weights)
    assert weights["a"].grad.tolist() == [[3, 0], [0, 3]]
    assert weights["b"].grad is None
    assert weights["a"].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("first", [torch.float32, torch.float64])
def test_a_mask_cuts_numbers_of_every_type_and_layout(first):
    kept = torch.rand(4, 3, 2, 2) < 0.5
    mask = Mask({"w": kept})
    for dtype in (first, torch.float64, torch.float32):
        w = torch.rand(4, 3, 2, 2).to(dtype).to(memory_format=torch.channels_last)
        before = w.clone()
        mask.apply_to({"w": w})
        assert w.dtype == dtype
        assert w.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(w, torch.where(kept, before, 0))
