"""Self-distillation: what the network said of today's examples before it learned from them is to stay as it was.

Learning without Forgetting (Li and Hoiem 2017). Nothing is replayed and nothing more is kept for it: the network that
is asked is theta*, which the anchors keep anyway, and it is sparse, so that asking costs little. An anchor guards
weights one by one and to second order; this guards the function, where today's data can see it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from esacl.cost import Ledger
from esacl.stages import Stage

TEMPERATURE = 2.0  # that of the paper, section 3
ASKED_AT_ONCE = 64  # few enough for a CPU's cache


@torch.no_grad()
def asked(network: nn.Module, solution: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Outputs (n, c) for inputs (n, ...) of the network as it was at `solution`.

    Args:
        network: in evaluation mode; what `solution` does not name (private heads) is taken as it is.
        solution: names of parameters and buffers -> their values then.
        inputs: on the network's device.
    """
    then = dict(solution)
    return torch.cat([functional_call(network, then, (part,)) for part in inputs.split(ASKED_AT_ONCE)])


def distillation(outputs: Tensor, told: Tensor, groups: Sequence[Tensor]) -> Tensor:
    """How far each example's outputs have moved on the columns of earlier tasks, in nats; (n,), >= 0.

    T^2 KL(softmax(told / T) || softmax(outputs / T)), summed over groups: the factor T^2 gives it the gradient of a
    squared distance between logits, whatever T is (Hinton et al. 2015, section 2.1).

    Args:
        outputs: (n, c) now.
        told: (n, c) then.
        groups: `Stage.past`: (g, c') each, g groups of c' columns that compete with each other.
    """
    total = torch.zeros(len(outputs), device=outputs.device, dtype=outputs.dtype)
    for columns in groups:
        now, then = ((o[:, columns] / TEMPERATURE).log_softmax(2) for o in (outputs, told))
        total = total + TEMPERATURE**2 * (then.exp() * (then - now)).sum((1, 2))
    return total


@dataclass(frozen=True)
class Teacher:
    """The network as the last task left it.

    Attributes:
        network: the one that is being trained.
        solution: names of parameters and buffers -> their values then.
        densities: kept fraction of each prunable weight, which is what asking costs.
        told: (n, c) of all of today's examples, where they are always seen alike; None where each step crops anew.
    """

    network: nn.Module
    solution: Mapping[str, Tensor]
    densities: Mapping[str, float]
    told: Tensor | None

    def of(self, rows: Tensor, inputs: Tensor, ledger: Ledger) -> Tensor:
        """What it says (b, c) of the examples `rows` (b,), which a step shows as `inputs` (b, ...)."""
        if self.told is not None:
            return self.told[rows]
        ledger.forward(len(rows), self.densities)
        return asked(self.network, self.solution, inputs)


def teacher(
    network: nn.Module, solution: Mapping[str, Tensor], stage: Stage, names: tuple[str, ...], ledger: Ledger | None
) -> Teacher:
    """The teacher of a task.

    Args:
        network: with the private heads of earlier tasks in it.
        solution: what the anchors keep.
        stage: the task that begins.
        names: the prunable weights.
        ledger: whom to bill; None where it was billed before.
    """
    densities = {name: float((solution[name] != 0).float().mean()) for name in names}
    if stage.augment is not None:
        return Teacher(network, solution, densities, None)
    if ledger is not None:
        ledger.forward(len(stage.examples), densities)
    return Teacher(network, solution, densities, asked(network, solution, stage.examples.inputs))


def spare(head: nn.Module, past: Sequence[Tensor]) -> None:
    """Drop the gradients of earlier tasks' private heads: what moved below them is to move back, not they after it."""
    rows = torch.cat([groups.flatten() for groups in past])
    for parameter in head.parameters():
        assert parameter.grad is not None
        parameter.grad[rows] = 0
