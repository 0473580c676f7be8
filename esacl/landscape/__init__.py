"""The loss on lines and planes through weight space: theta + a x + b y. The network is only read."""

from esacl.landscape.directions import (
    Direction,
    eigen_direction,
    masked,
    orthogonal_to,
    pruning_direction,
    random_direction,
    task_direction,
)
from esacl.landscape.slices import Slice1D, Slice2D, line_steps, plane_steps, slice_1d, slice_2d

__all__ = [
    "Direction",
    "Slice1D",
    "Slice2D",
    "eigen_direction",
    "line_steps",
    "masked",
    "orthogonal_to",
    "plane_steps",
    "pruning_direction",
    "random_direction",
    "slice_1d",
    "slice_2d",
    "task_direction",
]
