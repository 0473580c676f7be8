"""Structured masks: counted by hand, held against a slow reading of the rule, nested, and what is out stays out."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import distinct, events_of, label, of_kind, tiny
from torch import Tensor

from esacl.config import RunConfig
from esacl.defaults import STRUCTURED
from esacl.events import CheckpointReady
from esacl.mask import Mask
from esacl.networks import NETWORKS, build, prunable_names
from esacl.pruning import ALLOCATIONS, COUNTS, keep_top
from esacl.sdp import FORMS
from esacl.structure import most_sparsity
from esacl.tasks import task_stream
from esacl.units import Units, units_of

CHAIN = (Units("a", "b"), Units("b", "c"))
levels = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.9]), st.floats(0, 0.999))
structured = pytest.mark.parametrize("allocation", STRUCTURED)


@st.composite
def chains(draw):
    """Saliencies of a convolution, a convolution, a linear layer behind its 2x2 pixels, and a head of 3 logits."""
    channels, more, width = (draw(st.integers(1, 6)) for _ in range(3))
    shapes = {"a": (channels, 2, 3, 3), "b": (more, channels, 1, 2), "c": (width, 4 * more), "head": (3, width)}
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    values = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    coarse = draw(st.booleans())  # many equal ones
    return {name: (4 * s).floor() / 4 if coarse else s for name, s in values.items()}


UNITS = (Units("a", "b"), Units("b", "c"), Units("c", "head"))


def test_the_names_are_those_of_the_allocations():
    assert set(STRUCTURED) == set(ALLOCATIONS) - set(COUNTS)


# -- 2:4


def test_the_two_larger_of_four_stay():
    found = keep_top({"w": torch.tensor([[4.0, 1.0, 3.0, 2.0, 0.0, 9.0, 8.0, 7.0]])}, 0.5, "2:4")
    assert found["w"].int().tolist() == [[1, 0, 1, 0, 0, 1, 1, 0]]


def test_of_equals_the_first_stay():
    assert keep_top({"w": torch.ones(2, 4)}, 0.5, "2:4")["w"].int().tolist() == [[1, 1, 0, 0]] * 2


@pytest.mark.parametrize("shape", [(16, 8, 3, 3), (4, 12, 1, 1), (3, 64, 2, 2)])
def test_of_four_input_channels_at_a_pixel_two_stay(shape):
    """What sparse tensor cores ask for: each output channel and pixel, every four input channels."""
    saliency = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = keep_top({"w": saliency}, 0.5, "2:4")["w"]
    for out in range(shape[0]):
        for y in range(shape[2]):
            for x in range(shape[3]):
                for first in range(0, shape[1], 4):
                    four, kept = (t[out, first : first + 4, y, x] for t in (saliency, found))
                    assert kept.nonzero().flatten().tolist() == sorted(four.topk(2).indices.tolist())


def test_a_kernel_whose_channels_do_not_come_in_fours_is_flattened_to_a_row():
    kernel = torch.arange(12.0).view(1, 3, 2, 2)
    found = keep_top({"w": kernel}, 0.5, "2:4")["w"]
    assert found.flatten().int().tolist() == [0, 0, 1, 1] * 3
    assert keep_top({"w": torch.rand(2, 1, 3, 3)}, 0.5, "2:4")["w"].flatten(1).sum(1).tolist() == [4, 4]


@pytest.mark.parametrize(("width", "kept"), [(4, 2), (5, 2), (6, 3), (7, 3), (8, 4), (27, 13), (9, 4), (3, 1), (2, 1)])
def test_of_what_a_row_ends_with_at_most_half_stays(width, kept):
    mask = keep_top({"w": torch.rand(5, width)}, 0.5, "2:4")
    assert mask["w"].sum(1).tolist() == [kept] * 5


def by_the_rule(row: list[float]) -> list[bool]:
    """2:4 of one row, read off the rule."""
    kept = []
    for start in range(0, len(row), 4):
        group = row[start : start + 4]
        ranked = sorted(range(len(group)), key=lambda i: (-group[i], i))
        kept += [i in ranked[: len(group) // 2] for i in range(len(group))]
    return kept


@given(chains())
def test_the_pattern_is_that_of_the_rule(saliency):
    mask = keep_top(saliency, 0.5, "2:4")
    for name, s in saliency.items():
        by_pixel = s.dim() > 2 and s.shape[1] % 4 == 0
        kept, ranked = ((t.movedim(1, -1).flatten(0, -2) if by_pixel else t.flatten(1)) for t in (mask[name], s))
        assert kept.tolist() == [by_the_rule(row) for row in ranked.tolist()]


@given(chains(), levels)
def test_every_other_level_lies_on_the_way_to_the_pattern_or_within_it(saliency, level):
    pattern, mask = keep_top(saliency, 0.5, "2:4"), keep_top(saliency, level, "2:4")
    for name in saliency:
        inside, outside = (mask[name], pattern[name]) if level >= 0.5 else (pattern[name], mask[name])
        assert not bool((inside & ~outside).any())
    if level < 0.5:
        assert mask.kept == int((1 - level) * mask.total + 1e-6)


def test_below_the_half_the_least_salient_of_the_pattern_goes_first():
    saliency = {"w": torch.tensor([[4.0, 1.0, 3.0, 2.0], [0.5, 9.0, 8.0, 7.0]])}
    assert keep_top(saliency, 1 / 8, "2:4")["w"].int().tolist() == [[1, 1, 1, 1], [0, 1, 1, 1]]
    # Among those that stay 3 and 4 are the least; 7 is larger and gone by the pattern all the same.
    assert keep_top(saliency, 6 / 8, "2:4")["w"].int().tolist() == [[0, 0, 0, 0], [0, 1, 1, 0]]


# -- whole units


def test_units_go_with_the_columns_that_read_them():
    saliency = {
        "a": torch.tensor([[5.0, 5.0], [1.0, 1.0], [3.0, 3.0]]),  # over their mean 3: 1.67, 0.33, 1
        "b": torch.tensor([[2.0, 2.0, 2.0], [9.0, 9.0, 9.0]]),  # over their mean 5.5: 0.36, 1.64
        "c": torch.rand(2, 2),
    }
    mask = keep_top(saliency, 0.25, "neuron", CHAIN)  # 12 of 16 may stay; without the unit of 0.33 there are 12
    assert mask["a"].int().tolist() == [[1, 1], [0, 0], [1, 1]]
    assert mask["b"].int().tolist() == [[1, 0, 1], [1, 0, 1]]
    assert bool(mask["c"].all())
    mask = keep_top(saliency, 0.26, "neuron", CHAIN)  # the one of 0.36 is next: 4 + 2 + 2
    assert mask["b"].int().tolist() == [[0, 0, 0], [1, 0, 1]]
    assert mask["c"].int().tolist() == [[0, 1], [0, 1]]
    assert mask.kept == 8


def test_a_channel_is_read_by_as_many_columns_as_it_has_pixels():
    saliency = {"conv": torch.tensor([1.0, 3.0, 2.0]).view(3, 1, 1, 1), "linear": torch.rand(2, 6)}
    mask = keep_top(saliency, 0.2, "neuron", (Units("conv", "linear"),))
    assert mask["linear"].int().tolist() == [[0, 0, 1, 1, 1, 1]] * 2


def test_a_private_head_is_nobodys_business():
    saliency = {"a": torch.tensor([[1.0, 1.0], [2.0, 2.0]])}
    assert keep_top(saliency, 0.5, "neuron", (Units("a", "head"),))["a"].int().tolist() == [[0, 0], [1, 1]]


@given(chains(), levels)
def test_units_stay_or_go_as_a_whole_and_no_more_weights_stay_than_asked_for(saliency, level):
    mask = keep_top(saliency, level, "neuron", UNITS)
    alive = {one.weight: mask[one.weight].flatten(1).any(1) for one in UNITS}
    columns = {one.reader: alive[one.weight] for one in UNITS}
    for name, entry in mask.items():
        rows = alive.get(name, torch.ones(len(entry), dtype=torch.bool))
        read = columns.get(name, torch.ones(entry.shape[1], dtype=torch.bool))
        read = read.repeat_interleave(entry.shape[1] // len(read))
        expected = (rows[:, None] & read).view(*entry.shape[:2], *[1] * (entry.ndim - 2)).expand(entry.shape)
        assert bool((entry == expected).all()), name
    assert all(bool(one.any()) for one in alive.values())
    one_each = all(int(one.sum()) == 1 for one in alive.values())
    assert mask.kept <= (1 - level) * mask.total + 1e-6 * mask.total or one_each
    assert 1 - mask.density <= most_sparsity(saliency, UNITS) + 1e-12
    if level > most_sparsity(saliency, UNITS):
        assert one_each


@given(chains(), st.floats(0.01, 0.9))
def test_no_unit_goes_that_need_not_and_none_before_one_that_matters_less(saliency, level):
    mask = keep_top(saliency, level, "neuron", UNITS)
    scores = {
        one.weight: (rows := saliency[one.weight].flatten(1).double().mean(1)) / (rows.mean() or 1.0) for one in UNITS
    }
    alive = {name: mask[name].flatten(1).any(1) for name in scores}
    gone = torch.cat([scores[n][~alive[n]] for n in scores])
    # The best of a layer stays in any case.
    stay = [scores[n][i] for n in scores for i in alive[n].nonzero()[:, 0] if i != scores[n].argmax()]
    if len(gone) and stay:
        assert float(gone.max()) <= float(min(stay)) + 1e-6
    if len(gone):
        last = float(gone.max())
        assert any(
            with_unit_back(mask, name, int(i)) > (1 - level) * mask.total - 1e-6
            for name in scores
            for i in (~alive[name] & (scores[name] >= last - 1e-6)).nonzero()[:, 0]
        )


def with_unit_back(mask: Mask, name: str, unit: int) -> int:
    """How many weights are kept once one unit is back."""
    rows = {one.weight: mask[one.weight].flatten(1).any(1) for one in UNITS}
    rows[name] = rows[name].clone()
    rows[name][unit] = True
    a, b, c = (int(rows[key].sum()) for key in "abc")
    return a * 18 + b * a * 2 + c * 4 * b + 3 * c


def test_a_smaller_scale_does_not_cost_a_layer_its_units():
    generator = torch.Generator().manual_seed(0)
    saliency = {"a": torch.rand(20, 5, generator=generator), "b": 1e-6 * torch.rand(20, 20, generator=generator)}
    mask = keep_top(saliency, 0.5, "neuron", (Units("a", "b"), Units("b")))
    assert int(mask["b"].any(1).sum()) > 10


# -- both


@structured
@given(saliency=chains(), one=levels, other=levels)
def test_masks_are_nested(allocation, saliency, one, other):
    less, more = (keep_top(saliency, level, allocation, UNITS) for level in sorted((one, other)))
    assert not any(bool((more[name] & ~less[name]).any()) for name in saliency)


@structured
@given(saliency=chains(), steps=st.lists(st.floats(0, 0.9), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_what_is_out_stays_out_whatever_the_others_have_become(allocation, saliency, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = Mask({name: torch.ones_like(s, dtype=torch.bool) for name, s in saliency.items()})
    for level in sorted(steps):
        now = {name: torch.rand(s.shape, generator=generator) for name, s in saliency.items()}
        marked = {name: torch.where(mask[name], s, -1.0) for name, s in now.items()}
        after = keep_top(marked, level, allocation, UNITS)
        assert not any(bool((after[name] & ~mask[name]).any()) for name in mask)
        mask = after


@structured
def test_a_mask_is_where_its_saliency_is(allocation):
    saliency: dict[str, Tensor] = {"a": torch.rand(4, 8, dtype=torch.float64)}
    assert keep_top(saliency, 0.5, allocation)["a"].device == saliency["a"].device


# -- the units of networks


def network_of(name: str, **fields):
    config = RunConfig(network=name, **fields)
    return build(config, task_stream(config))


def test_the_units_of_each_network():
    assert units_of(network_of("mlp")) == (
        Units("body.hidden1.weight", "body.hidden2.weight"),
        Units("body.hidden2.weight", "head.weight"),
    )
    found = [(one.weight, one.reader) for one in units_of(network_of("small-cnn"))]
    assert found == list(
        itertools.pairwise([*(f"body.conv{i}.weight" for i in (1, 2, 3)), "body.hidden.weight", "head.weight"])
    )
    blocks = [f"body.block{stage}{half}" for stage in (1, 2, 3, 4) for half in "ab"]
    assert [one.weight for one in units_of(network_of("resnet18"))] == [f"{block}.conv1.weight" for block in blocks]
    assert [one.reader for one in units_of(network_of("resnet18"))] == [f"{block}.conv2.weight" for block in blocks]


def test_the_shared_head_loses_no_logit():
    network = network_of("mlp", scenario="class")
    weights = {name: p.detach().abs() for name, p in network.named_parameters() if p.ndim == 2}
    mask = keep_top(weights, 0.95, "neuron", units_of(network))
    assert 1 - mask.density >= 0.95
    assert bool(mask["head.weight"].any(1).all())
    assert not bool(mask["head.weight"].any(0).all())


# -- runs: every form and the one-shot cuts leave the structure that was asked for


def final_weights(settings) -> tuple[RunConfig, dict[str, Tensor]]:
    """The prunable weights that a tiny run ends with."""
    config = tiny(settings)
    last = of_kind(events_of(config), CheckpointReady)[-1]
    names = prunable_names(build(config, task_stream(config)), config.scenario)
    return config, {name: torch.from_numpy(last.tensors[f"network/{name}"]) for name in names}


RUNS = [
    *({"sdp.form": form} for form in FORMS if form != "any"),
    {"sdp.form": "progressive", "sdp.ramp": 1.0, "scenario": "class"},
    {"method": "finetune", "sparsity": 0.5},
    {"method": "ewc", "sparsity": 0.5, "scenario": "class"},
    *({"method": "finetune", "sparsity": 0.5, "epochs": 1, "network": name} for name in NETWORKS),
]


@pytest.mark.parametrize("settings", distinct(RUNS), ids=label)
def test_a_run_ends_with_two_of_every_four(settings):
    _, weights = final_weights({**settings, "pruning.allocation": "2:4", "sparsity": 0.5})
    for name, w in weights.items():
        rows = w.movedim(1, -1).flatten(0, -2) if w.dim() > 2 and w.shape[1] % 4 == 0 else w.flatten(1)
        groups = torch.nn.functional.pad(rows, (0, -rows.shape[1] % 4)).view(len(rows), -1, 4)
        assert int((groups != 0).sum(2).max()) <= 2, name
    assert sum(int((w == 0).sum()) for w in weights.values()) >= 0.5 * sum(w.numel() for w in weights.values())


@pytest.mark.parametrize("settings", distinct(RUNS), ids=label)
def test_a_run_ends_without_whole_units(settings):
    config, weights = final_weights({**settings, "pruning.allocation": "neuron"})
    kept = sum(int((w != 0).sum()) for w in weights.values())
    assert kept <= (1 - config.sparsity) * sum(w.numel() for w in weights.values()) + 1e-6
    units = units_of(build(config, task_stream(config)))
    gone = 0
    for one in units:
        alive = (weights[one.weight] != 0).flatten(1).any(1)
        gone += int((~alive).sum())
        assert bool(alive.any())
        if one.reader in weights:
            read = weights[one.reader].unflatten(1, (len(alive), -1))
            assert not bool(read[:, ~alive].any()), one.reader
    assert gone > 0
