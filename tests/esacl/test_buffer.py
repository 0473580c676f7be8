"""Reservoir sampling: uniform by a chi-square test, and the same whatever it is interrupted by."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from esacl import indexed
from esacl.buffer import Buffer


def examples(first: int, last: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (n, 1, 1, 1) that hold their own number; targets are ten times it."""
    numbers = torch.arange(first, last)
    return numbers.float().view(-1, 1, 1, 1), 10 * numbers


def kept(buffer: Buffer) -> list[int]:
    found = buffer.kept
    assert found.inputs.flatten().mul(10).equal(found.targets.float())  # inputs and targets stay together
    return [int(x) for x in found.inputs.flatten()]


@pytest.mark.parametrize("at_once", [1, 6])
def test_every_offer_is_kept_with_the_same_probability(at_once):
    offers, size, runs = 12, 4, 1500
    counts = torch.zeros(offers)
    for seed in range(runs):
        buffer = Buffer(size, seed)
        for first in range(0, offers, at_once):
            buffer.offer(*examples(first, first + at_once))
        counts[kept(buffer)] += 1
    assert counts.sum() == runs * size
    # Each count is near runs * size / offers. Fixed seeds: this either always passes or never.
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


@given(size=st.integers(1, 6), tasks=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 20))
def test_it_keeps_distinct_examples_and_all_while_they_fit(size, tasks, seed):
    buffer, first = Buffer(size, seed), 0
    for count in tasks:
        buffer.offer(*examples(first, first + count))
        first += count
        assert len(buffer) == len(set(kept(buffer))) == min(size, first)
        assert set(kept(buffer)) <= set(range(first))
        assert buffer.seen == first


def test_size_0_keeps_nothing():
    buffer = Buffer(0, 0)
    buffer.offer(*examples(0, 5))
    assert (len(buffer), buffer.bytes, buffer.state()) == (0, 0, {})


def test_bytes_are_those_of_inputs_and_targets():
    buffer = Buffer(3, 0)
    buffer.offer(*examples(0, 3))
    assert buffer.bytes == 3 * (1 + 8) + 3 * 4  # a code and a target each, and the three values that they have


def test_logits_stay_with_their_examples():
    buffer = Buffer(5, 0)
    for first in (0, 8, 16):
        inputs, targets = examples(first, first + 8)
        buffer.offer(inputs, targets, inputs.view(-1, 1).repeat(1, 3))
        assert buffer.kept.logits.equal(buffer.kept.inputs.view(-1, 1).repeat(1, 3))
    drawn = buffer.draw(3, torch.Generator().manual_seed(0))
    assert drawn.logits[:, 0].equal(drawn.inputs.flatten())
    values = len(buffer.state()["palette"][0])
    assert 5 <= values < 24  # those that came in; 24 were offered
    assert buffer.bytes == 5 * (1 + 8 + 12) + 4 * values
    again = Buffer(5, 0)
    again.load(buffer.state(), buffer.seen)
    assert again.kept.logits.equal(buffer.kept.logits)


def test_an_interrupted_reservoir_goes_on_the_same():
    whole, first = Buffer(4, 1), Buffer(4, 1)
    for buffer in (whole, first):
        buffer.offer(*examples(0, 10))
    resumed = Buffer(4, 1)
    resumed.load({name: t.clone() for name, t in first.state().items()}, first.seen)
    for buffer in (whole, resumed):
        buffer.offer(*examples(10, 30))
    assert kept(whole) == kept(resumed)


def test_drawing_is_without_replacement_and_follows_its_generator():
    buffer = Buffer(6, 0)
    buffer.offer(*examples(0, 6))
    draws = [buffer.draw(4, torch.Generator().manual_seed(seed)).targets.tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0])) == 4
    assert len(buffer.draw(99, torch.Generator()).inputs) == 6


def test_drawing_from_an_empty_buffer_is_a_mistake():
    with pytest.raises(AssertionError, match="empty buffer"):
        Buffer(3, 0).draw(1, torch.Generator())


def test_images_of_many_values_are_kept_as_they_are(monkeypatch):
    monkeypatch.setattr(indexed, "WIDEST", 12)
    buffer, plain = Buffer(8, 3), []
    for first in range(0, 40, 4):  # after a while the numbers are too many to be indexed
        buffer.offer(*examples(first, first + 4))
        plain.append("inputs" in buffer.state())
    assert not plain[0]
    assert plain[-1]
    assert plain == sorted(plain)
    assert len(set(kept(buffer))) == 8
    assert buffer.bytes == 8 * (4 + 8)


def test_a_state_from_before_images_were_indexed_goes_on():
    buffer, older = Buffer(4, 1), Buffer(4, 1)
    buffer.offer(*examples(0, 10))
    older.load({"inputs": buffer.kept.inputs, "targets": buffer.kept.targets}, buffer.seen)
    for one in (buffer, older):
        one.offer(*examples(10, 30))
    assert kept(buffer) == kept(older)
