"""Augmentation of whole batches on the device they lie on."""

import torch
from torch import Tensor

PADDING = 4


def crop_and_flip(inputs: Tensor, black: Tensor, generator: torch.Generator) -> Tensor:
    """Each image padded by 4, cropped at random to its size, and mirrored with probability 1/2.

    Args:
        inputs: (n, c, h, w), normalised.
        black: (c,), what a black pixel is after the normalisation; it is what lies around an image.
        generator: on the CPU, so that every device sees the same crops.

    Returns:
        (n, c, h, w); `inputs` are left as they were.

    Source: the augmentation of He et al. 2016, section 4.2.
    """
    n, c, h, w = inputs.shape
    tops, lefts = torch.randint(0, 2 * PADDING + 1, (2, n, 1), generator=generator)
    mirrored = torch.rand((n, 1), generator=generator) < 0.5
    columns = torch.where(mirrored, torch.arange(w - 1, -1, -1), torch.arange(w))
    rows = (tops + torch.arange(h)).to(inputs.device)
    columns = (lefts + columns).to(inputs.device)
    padded = black.to(inputs)[:, None, None].expand(n, c, h + 2 * PADDING, w + 2 * PADDING).clone()
    padded[:, :, PADDING:-PADDING, PADDING:-PADDING] = inputs
    cropped = padded.gather(2, rows[:, None, :, None].expand(n, c, h, w + 2 * PADDING))
    return cropped.gather(3, columns[:, None, None, :].expand(n, c, h, w))
