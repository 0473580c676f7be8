"""A network as named arrays."""

import numpy as np
from torch import nn


def tensors_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Parameters and running statistics by name, float32; what torch counts beside them is left out."""
    named = [*network.named_parameters(), *network.named_buffers()]
    return {name: t.detach().cpu().contiguous().numpy() for name, t in named if t.is_floating_point()}
