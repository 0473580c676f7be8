"""ResNet-18 for 32x32 images: the stem is one 3x3 convolution, and nothing is pooled before the end.

Source: He et al. 2016, Deep Residual Learning for Image Recognition, with the widths of its table 1 and the stem of its
section 4.2.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

WIDTH = 64
STAGES = ((1, 1), (2, 2), (4, 2), (8, 2))  # channels over the width, stride of the first of two blocks


class Block(nn.Module):
    """Two 3x3 convolutions with BatchNorm and a shortcut: (n, inside, h, w) -> (n, outside, h / stride, w / stride)."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inside != outside:
            projection = nn.Conv2d(inside, outside, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outside))

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (n, outside, h / stride, w / stride). Nothing in place: it is differentiated twice."""
        inner = self.norm2(self.conv2(relu(self.norm1(self.conv1(inputs)))))
        return relu(inner + self.shortcut(inputs))


class ResNet18(nn.Module):
    """Images (n, 3, h, w) -> logits (n, outputs); 11,173,962 parameters at width 64 and ten outputs."""

    def __init__(self, outputs: int = 10, width: int = WIDTH) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        blocks, inside = [], width
        for factor, stride in STAGES:
            blocks += [Block(inside, factor * width, stride), Block(factor * width, factor * width, 1)]
            inside = factor * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inside, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, outputs)."""
        features = self.blocks(self.stem(inputs))
        return cast(Tensor, self.head(torch.mean(features, dim=(2, 3))))
