"""Indexed images: each channel's distinct values once, and for every pixel which of them it is. Nothing is rounded."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

WIDEST = 4096  # values a channel; an image of 8 bits has 256, one averaged over blocks of four 1,021


@dataclass(frozen=True)
class Indexed:
    """Images as a palette and codes.

    `palette` (c, k) holds the values of each channel, ascending, filled up with infinity; `codes` (n, c, ...) are
    uint8 while a channel has at most 256 values, else int16.
    """

    palette: Tensor
    codes: Tensor

    @classmethod
    def of(cls, images: Tensor) -> Self | None:
        """The images (n, c, ...), which are finite, indexed; None where a channel has more than `WIDEST` values."""
        palette = _joined(images.new_empty(images.shape[1], 0), images)
        return None if palette is None else cls(palette, _found(palette, images))

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def nbytes(self) -> int:
        """Bytes of palette and codes."""
        return self.palette.nbytes + self.codes.nbytes

    def take(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """The images at `rows`, every number as it was."""
        return _looked_up(self.palette, self.codes[rows])

    def put(self, rows: Tensor, images: Tensor) -> Self | None:
        """With `images` (m, c, ...) at the true places of `rows` (n,) bool, which may go beyond the present ones.

        None where a channel would have more than `WIDEST` values.
        """
        codes, palette, fresh = self.codes, self.palette, _found(self.palette, images)
        if not bool((_looked_up(palette, fresh) == images).all()):
            wider = _joined(palette, images)
            if wider is None:
                return None
            moved = _found(wider, palette.T).T
            codes = _looked_up(moved, codes)  # where the values that they stand for are now
            palette, fresh = wider, _found(wider, images)
        grown = torch.cat([codes, codes.new_empty(len(rows) - len(codes), *codes.shape[1:])])
        grown[rows] = fresh
        return type(self)(palette, grown)


def indexed_bytes(images: Tensor, batch: int = 1000) -> int:
    """The bytes in which images (n, c, ...) can be held: indexed, or as they are where they have too many values.

    They are looked at by `batch`, since nobody keeps them.
    """
    palette = images.new_empty(images.shape[1], 0)
    for some in images.split(batch):
        wider = _joined(palette, some)
        if wider is None:
            return images.nbytes
        palette = wider
    return palette.nbytes + images.numel() * _code(palette).itemsize


def _joined(palette: Tensor, images: Tensor) -> Tensor | None:
    """Every value of the palette (c, k) and of the images (n, c, ...); None where they are too many."""
    channels = zip(palette, images.movedim(1, 0), strict=True)
    values = [torch.unique(torch.cat([known[known.isfinite()], channel.flatten()])) for known, channel in channels]
    width = max(len(found) for found in values)
    if width > WIDEST:
        return None
    filled = palette.new_full((len(values), width), torch.inf)
    for row, found in zip(filled, values, strict=True):
        row[: len(found)] = found
    return filled


def _found(palette: Tensor, images: Tensor) -> Tensor:
    """The code of every number of `images` (n, c, ...): its place in the palette, or the nearest above it."""
    channels = images.movedim(1, 0).flatten(1).contiguous()
    places = torch.searchsorted(palette.contiguous(), channels).clamp(max=palette.shape[1] - 1)
    coded = places.to(_code(palette))
    return coded.view(images.shape[1], len(images), *images.shape[2:]).movedim(0, 1).contiguous()


def _code(palette: Tensor) -> torch.dtype:
    return torch.uint8 if palette.shape[1] <= 256 else torch.int16


def _looked_up(palette: Tensor, codes: Tensor) -> Tensor:
    places = codes.movedim(1, 0).flatten(1).long()
    found = palette.gather(1, places)
    return found.view(codes.shape[1], len(codes), *codes.shape[2:]).movedim(0, 1).contiguous()
