"""ResNet-18 for 32x32 colour images as torch initialises it: the library's own, for what is timed on a device."""

from torch import nn

from esacl.networks import Network
from esacl.resnet import STAGES, WIDTH, body

__all__ = ["WIDTH", "ResNet18"]


class ResNet18(Network):
    """Images (n, 3, h, w) -> logits (n, outputs); 11,173,962 parameters at width 64 and ten outputs."""

    def __init__(self, outputs: int = 10, width: int = WIDTH) -> None:
        super().__init__(body(3, nn.ReLU, width), STAGES[-1][0] * width, outputs)
