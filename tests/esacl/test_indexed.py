"""Indexed images: every bit comes back, in the bytes that a hand counts."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from esacl.indexed import WIDEST, Indexed, indexed_bytes


def photograph(count: int, levels: int, seed: int = 0, channels: int = 3) -> torch.Tensor:
    """Images (n, c, 5, 4) of so many levels, normalised by channel as data sets are: no number is round."""
    raw = torch.randint(levels, (count, channels, 5, 4), generator=torch.Generator().manual_seed(seed))
    mean, sd = torch.tensor([0.49, 0.48, 0.44]), torch.tensor([0.25, 0.24, 0.26])
    return (raw / (levels - 1) - mean[:channels, None, None]) / sd[:channels, None, None]


@given(count=st.integers(1, 5), levels=st.sampled_from([2, 17, 256, 1021]), seed=st.integers(0, 99))
def test_every_image_comes_back_bit_for_bit(count, levels, seed):
    images = photograph(count, levels, seed)
    found = Indexed.of(images)
    assert found.take().equal(images)
    assert found.take(torch.tensor([count - 1])).equal(images[-1:])
    assert len(found) == count


@given(st.data())
def test_what_is_put_in_later_is_there_and_the_rest_unchanged(data):
    levels = data.draw(st.sampled_from([2, 200, 300, 1021]), "levels")
    whole = photograph(4, levels, 1)
    found = Indexed.of(whole)
    for seed in range(2, 6):
        length = len(whole) + data.draw(st.integers(0, 2), "grown by")
        rows = torch.tensor([row >= len(whole) or data.draw(st.booleans(), "replaced") for row in range(length)])
        fresh = photograph(int(rows.sum()), levels, seed)
        whole = torch.cat([whole, whole.new_empty(length - len(whole), *whole.shape[1:])])
        whole[rows] = fresh
        found = found.put(rows, fresh) if len(fresh) else found
        assert found.take().equal(whole)


def test_bytes_are_one_a_pixel_and_the_palette():
    images = torch.arange(256.0).view(1, 1, 16, 16)
    assert Indexed.of(images).nbytes == 256 + 4 * 256
    wider = Indexed.of(images).put(torch.tensor([False, True]), images + 1)  # one value more than a byte can count
    assert wider.nbytes == 2 * 2 * 256 + 4 * 257
    assert wider.take().equal(torch.cat([images, images + 1]))


def test_a_channel_of_too_many_values_is_not_indexed():
    images = torch.arange(float(WIDEST)).view(1, 1, 1, -1)
    assert Indexed.of(images).take().equal(images)
    assert Indexed.of(torch.cat([images, -1 - images])) is None
    assert Indexed.of(images).put(torch.tensor([False, True]), images + 0.5) is None


@given(count=st.integers(1, 5), levels=st.sampled_from([2, 256, 1021]), batch=st.integers(1, 6))
def test_bytes_are_told_without_holding_the_images(count, levels, batch):
    images = photograph(count, levels)
    assert indexed_bytes(images, batch) == Indexed.of(images).nbytes


def test_images_of_too_many_values_take_the_bytes_that_they_have():
    images = torch.rand(1000, 1, 5, 4)
    assert len(images.unique()) > WIDEST
    assert indexed_bytes(images, 100) == images.nbytes
