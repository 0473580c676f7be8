"""What an analysis looks at beyond what every run measures by itself."""

import re
from dataclasses import dataclass

from esacl.errors import InputError

AXES = ("pruning", "eigen1..eigen9", "random1..random9", "task")
PROBES = 8


@dataclass(frozen=True)
class Look:
    """What to look at beyond what every run measures by itself.

    Raises:
        InputError: an axis that does not exist, twice the same one, one without the other, a number out of range.
    """

    x: str | None = None  # a plane through two directions of AXES by name; None: the planes that every run slices
    y: str | None = None
    at: str = "dense"  # the point that the plane goes through: "dense" | "pruned"
    probes: int = 0  # random vectors for the density of the spectrum; 0 = none
    check: bool = False  # whether PyHessian repeats the largest eigenvalues
    compare: bool = False  # every saliency with every allocation instead of the run's own curve
    exact: float | None = None  # one cut at this sparsity instead of the curve

    def __post_init__(self) -> None:
        if (self.x is None) != (self.y is None):
            raise InputError("a plane has two axes; give both --x and --y")
        for name in (self.x, self.y):
            if name is not None and not re.fullmatch(r"pruning|task|eigen[1-9]|random[1-9]", name):
                raise InputError(f"unknown axis {name!r}; choose from {', '.join(AXES)}")
        if self.x is not None and self.x == self.y:
            raise InputError(f"both axes are {self.x!r}, which is a line; choose two")
        if self.at not in ("dense", "pruned"):
            raise InputError(f"unknown point {self.at!r}; choose dense or pruned")
        if "pruning" in (self.x, self.y) and self.at == "pruned":
            raise InputError("the pruning displacement leads out of the mask; look at it from the dense point")
        if self.probes == 1 or not 0 <= self.probes <= 1000:
            raise InputError(f"probes {self.probes} is out of range; choose 0 (no density) or 2 to 1000")
        if self.compare and self.exact is not None:
            raise InputError("--compare looks at all levels and --exact at one; choose one of them")
        if self.exact is not None and not 0 <= self.exact < 1:
            raise InputError(f"--exact {self.exact} is no sparsity; choose a number in [0, 1)")
