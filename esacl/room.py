"""How many bytes a run can have to keep by its config alone: no torch, no data. Bounds, and generous ones.

What somebody hands on as a run of a small network is not to fill a disk or a memory before it turns out to be none.
"""

from esacl import checkpoints, narrowest
from esacl.config import RunConfig

PER_PARAMETER = 64  # bytes in a state: sixteen numbers, of which no method keeps ten
_PER_WEIGHT = 32  # in an array file: weights, curvature, saliency, mask, and what the levels of a curve leave
_PER_EXAMPLE = 512  # in an array file: scores, places on the maps, what each way of choosing takes
_SIDE = 201 * 201 * 8 * 24  # bytes of the planes that one analysis can be asked for
_FEW = 16 * 2**20  # small pictures of examples, names, notes: what no size tells
_ANALYSES = 256 * 2**20  # of all arrays that were asked for after the run


def parameters(config: RunConfig) -> int | None:
    """The most parameters and running statistics of the network; None where it is not known."""
    weights = narrowest.most_weights(config)
    return None if weights is None else weights + weights // 20 + 1000  # biases, and what belongs to BatchNorm


def most_of_state(config: RunConfig) -> int | None:
    """The most bytes of one checkpoint."""
    count = parameters(config)
    if count is None:
        return None
    image = 4 * (3 * config.resolution**2 + 2 * narrowest.MOST_CLASSES)
    return PER_PARAMETER * count + config.buffer.size * image + _FEW


def most_of_arrays(config: RunConfig) -> int | None:
    """The most bytes of the arrays in one file, packed or not."""
    count = parameters(config)
    return None if count is None else _PER_WEIGHT * count + _PER_EXAMPLE * config.curvature.examples + _SIDE + _FEW


def most_together(config: RunConfig) -> int | None:
    """The most bytes of all checkpoints and arrays of a run."""
    state, arrays = most_of_state(config), most_of_arrays(config)
    if state is None or arrays is None:
        return None
    return (checkpoints.KEPT + 1) * state + config.tasks * arrays + _ANALYSES
