"""Crops and flips: every one of the 162 views as cut by hand, as often as chance says, the same for a seed."""

import torch

from esacl.augmentation import crop_and_flip
from esacl.seeds import torch_generator

BLACK = torch.tensor([-1.5, 0.25, 7.0])


def views(image, black):
    """All crops of the padded image (c, h, w) and their mirror images, one by one."""
    _, h, w = image.shape
    padded = black[:, None, None].repeat(1, h + 8, w + 8)
    padded[:, 4 : 4 + h, 4 : 4 + w] = image
    crops = [padded[:, top : top + h, left : left + w] for top in range(9) for left in range(9)]
    return crops + [crop.flip(2) for crop in crops]


def test_every_image_is_one_of_its_162_views_and_each_of_them_occurs_as_often():
    image = torch.rand(3, 5, 7, generator=torch_generator(0, "image"))
    n = 8100
    out = crop_and_flip(image.expand(n, -1, -1, -1), BLACK, torch_generator(0, "x"))
    assert out.shape == (n, 3, 5, 7)
    counts = torch.tensor([int((out == view).flatten(1).all(1).sum()) for view in views(image, BLACK)])
    assert int(counts.sum()) == n  # all of them, exactly, and no view twice
    # chi-square of 161 degrees of freedom: mean 161, sd 18; 240 is passed once in 20,000
    assert float(((counts - n / 162) ** 2 / (n / 162)).sum()) < 240


def test_images_of_a_batch_are_drawn_one_by_one():
    image = torch.rand(1, 3, 6, 6, generator=torch_generator(0, "image"))
    out = crop_and_flip(image.expand(40, -1, -1, -1), BLACK, torch_generator(0, "x"))
    assert len({view.numpy().tobytes() for view in out}) > 25


def test_the_same_generator_gives_the_same_views_and_leaves_the_batch_alone():
    batch = torch.rand(6, 1, 4, 4)
    before, state = batch.clone(), torch.random.get_rng_state()
    first, again, other = (crop_and_flip(batch, torch.zeros(1), torch_generator(0, name)) for name in "aab")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(batch, before)
    assert torch.equal(state, torch.random.get_rng_state())
