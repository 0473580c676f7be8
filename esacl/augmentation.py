"""Augmentation of whole batches on the device they lie on, and the views that contrastive learning compares."""

import torch
from torch import Tensor

PADDING = 4
GREY_PADDING = 2  # of images of 28 and more pixels a side; one pixel for smaller ones, where two are a stroke's width
JITTER = 0.4  # brightness and contrast are multiplied by 1 - 0.4 to 1 + 0.4; Co2L also crops, tints and greys images


def crop_and_flip(
    inputs: Tensor, black: Tensor, generator: torch.Generator, *, padding: int = PADDING, flip: bool = True
) -> Tensor:
    """Each image padded, cropped at random to its size, and mirrored with probability 1/2.

    Args:
        inputs: (n, c, h, w), normalised.
        black: (c,), what a black pixel is after the normalisation; it is what lies around an image.
        generator: on the CPU, so that every device sees the same crops.
        padding: pixels on each side.
        flip: whether images are mirrored at all.

    Returns:
        (n, c, h, w); `inputs` are left as they were.

    Source: the augmentation of He et al. 2016, section 4.2.
    """
    n, c, h, w = inputs.shape
    # Drawn on the CPU; of what follows a device needs no more than these few numbers.
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator).to(inputs.device)
    columns = torch.arange(w, device=inputs.device).expand(n, w)
    if flip:
        mirrored = (torch.rand((n, 1), generator=generator) < 0.5).to(inputs.device)
        columns = torch.where(mirrored, columns.flip(1), columns)
    width = w + 2 * padding
    lines = torch.arange(h, device=inputs.device)
    # One look-up of pixels by their place in the padded image, half the time of one for rows and one for columns.
    places = ((tops + lines)[:, :, None] * width + (lefts + columns)[:, None, :]).view(n, 1, h * w)
    padded = black.to(inputs)[:, None, None].expand(n, c, h + 2 * padding, width).clone()
    padded[:, :, padding:-padding, padding:-padding] = inputs
    return padded.flatten(2).gather(2, places.expand(n, c, h * w)).view(n, c, h, w)


def jittered(inputs: Tensor, black: Tensor, generator: torch.Generator) -> Tensor:
    """Each image (c, h, w) with its brightness, then its contrast, multiplied by a random factor.

    Brightness scales the distance from black (c,), contrast that from the mean of each channel. What comes out whiter
    than white stays so: the normalised range has no edge to clip at that the network would know.
    """
    brightness, contrast = 1 + JITTER * (2 * torch.rand((2, len(inputs), 1, 1, 1), generator=generator) - 1)
    dark = black.to(inputs)[:, None, None]
    lit = dark + brightness.to(inputs) * (inputs - dark)
    mean = lit.mean((2, 3), keepdim=True)
    return mean + contrast.to(inputs) * (lit - mean)


def view(inputs: Tensor, black: Tensor, generator: torch.Generator) -> Tensor:
    """A random view of each image (n, c, h, w), for a loss that holds views of one image together.

    Colour images are cropped, mirrored and jittered. Grey ones are strokes on black, for which a mirror image is
    another sign: they are shifted by a pixel or two and nothing else.
    """
    if inputs.shape[1] > 1:
        return jittered(crop_and_flip(inputs, black, generator), black, generator)
    padding = GREY_PADDING if min(inputs.shape[2:]) >= 28 else 1
    return crop_and_flip(inputs, black, generator, padding=padding, flip=False)
