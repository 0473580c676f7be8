"""The bound of a cut's loss rise by way of the outputs, where curvature is measured at all."""

from collections.abc import Generator, Mapping

from torch import Tensor

from esacl.analysis.driving import driven
from esacl.analysis.scene import Scene
from esacl.curvature.outputs import FORWARD_PASSES, bound_steps
from esacl.events import Event


def bound_of(
    scene: Scene, data: tuple[Tensor, ...], displacement: Mapping[str, Tensor]
) -> Generator[Event, None, float | None]:
    """The output bound over `data` (inputs, targets, and weights if any); None where no curvature is asked for."""
    if not scene.config.curvature.top:
        return None
    targets = data[1]
    found = yield from driven(bound_steps(scene.network, data, displacement, columns=scene.criterion.open[targets]))
    scene.ledger.analysis(forward_examples=FORWARD_PASSES * len(targets))
    return found.bound
