"""Crops and flips: every one of the 162 views as cut by hand, as often as chance says, the same for a seed."""

import torch

from esacl.augmentation import crop_and_flip, jittered, view
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


def test_a_grey_view_is_a_small_shift_and_no_mirror_image():
    for side, padding in ((8, 1), (28, 2)):
        image = torch.rand(1, side, side, generator=torch_generator(0, "grey"))
        padded = torch.nn.functional.pad(image, [padding] * 4)
        span = range(2 * padding + 1)
        shifts = [padded[:, top : top + side, left : left + side] for top in span for left in span]
        out = view(image.expand(400, -1, -1, -1), torch.zeros(1), torch_generator(0, "x"))
        counts = [int((out == shift).flatten(1).all(1).sum()) for shift in shifts]
        assert sum(counts) == 400
        assert min(counts) > 0


def test_a_jittered_image_keeps_its_colours_between_black_and_its_mean():
    images = torch.rand(50, 3, 6, 6, generator=torch_generator(0, "image")) + BLACK[:, None, None]
    out = jittered(images, BLACK, torch_generator(0, "x"))
    means = (out - BLACK[:, None, None]).mean((2, 3)) / (images - BLACK[:, None, None]).mean((2, 3))
    spreads = out.std((2, 3)) / images.std((2, 3))
    assert float(means.std(1).max()) < 1e-4  # one factor for an image, whatever the channel
    assert float(spreads.std(1).max()) < 1e-4
    contrast = spreads / means
    for factor in (means, contrast):
        assert 0.6 <= float(factor.min()) < 0.7 < 1.3 < float(factor.max()) <= 1.4


def test_two_views_of_a_batch_differ_and_come_again_with_the_generator():
    batch = torch.rand(6, 3, 8, 8)
    first, again = (view(torch.cat([batch, batch]), torch.zeros(3), torch_generator(0, "x")) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[:6], first[6:])
