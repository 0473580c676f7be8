"""ResNet-18 for small images: the stem is one 3x3 convolution, and nothing is pooled before the end.

Source: He et al. 2016, Deep Residual Learning for Image Recognition, with the widths of its table 1 and the stem of its
section 4.2.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

WIDTH = 64
STAGES = ((1, 1), (2, 2), (4, 2), (8, 2))  # channels over the width, stride of the first of two blocks

Activation = Callable[[], nn.Module]


class Block(nn.Module):
    """Two 3x3 convolutions with BatchNorm and a shortcut: (n, inside, h, w) -> (n, outside, h / stride, w / stride)."""

    def __init__(self, inside: int, outside: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.activation1 = activation()
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inside != outside:
            projection = nn.Conv2d(inside, outside, 1, stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=projection, norm=nn.BatchNorm2d(outside)))
        self.activation2 = activation()

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (n, outside, h / stride, w / stride). Nothing in place: it is differentiated twice."""
        inner = self.norm2(self.conv2(self.activation1(self.norm1(self.conv1(inputs)))))
        return cast(Tensor, self.activation2(inner + self.shortcut(inputs)))


def body(channels: int, activation: Activation, width: int = WIDTH) -> nn.Sequential:
    """Images (n, channels, h, w) -> features (n, 8 width), the means of the last maps; any h, w >= 1."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        stem=nn.Conv2d(channels, width, 3, 1, 1, bias=False), norm=nn.BatchNorm2d(width), activation=activation()
    )
    inside = width
    for number, (factor, stride) in enumerate(STAGES, start=1):
        parts[f"block{number}a"] = Block(inside, factor * width, stride, activation)
        parts[f"block{number}b"] = Block(factor * width, factor * width, 1, activation)
        inside = factor * width
    parts["pool"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()
    return nn.Sequential(parts)
