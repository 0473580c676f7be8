"""Self-distillation: what the network said of today's examples before it learned from them is to stay as it was.

Learning without Forgetting (Li and Hoiem 2017). Nothing is replayed and nothing more is kept for it: the network that
is asked is theta*, which the anchors keep anyway, and it is sparse, so that asking costs little. An anchor guards
weights one by one and to second order; this guards the function, where today's data can see it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from esacl import batchnorm
from esacl.cost import Ledger
from esacl.graphed import Answers, Pass
from esacl.group import Group
from esacl.stages import Stage

TEMPERATURE = 2.0  # that of the paper, section 3
ASKED_AT_ONCE = {"cpu": 64}  # few enough for its cache
ASKED_AT_ONCE_ELSEWHERE = 1024


@torch.no_grad()
def asked(network: nn.Module, solution: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Outputs (n, c) for inputs (n, ...) of the network as it was at `solution`.

    BatchNorm normalises by the batch, as it does in the training step that the answer is compared with: else there
    would be a distance, and a gradient, before any weight has moved.

    Args:
        network: what `solution` does not name (private heads) is taken as it is.
        solution: names of parameters -> their values then.
        inputs: on the network's device.
    """
    with batchnorm.by_batch(network, len(inputs), moving=False):
        return cast(Tensor, functional_call(network, dict(solution), (inputs,)))


def distillation(outputs: Tensor, taught: Tensor, groups: Sequence[Tensor]) -> Tensor:
    """How far each example's outputs have moved on the columns of earlier tasks, in nats; (n,), >= 0.

    T^2 KL(softmax(taught / T) || softmax(outputs / T)), a mean over groups: the factor T^2 gives it the gradient of a
    squared distance between logits, whatever T is (Hinton et al. 2015, section 2.1), and a sum would outgrow the loss
    of today's task with every task more.

    Args:
        outputs: (n, c) now.
        taught: (n, c) then.
        groups: `Stage.past`: (g, c') each, g groups of c' columns that compete with each other.
    """
    total = torch.zeros(len(outputs), device=outputs.device, dtype=outputs.dtype)
    for columns in groups:
        now, then = ((o[:, columns] / TEMPERATURE).log_softmax(2) for o in (outputs, taught))
        total = total + TEMPERATURE**2 * (then.exp() * (then - now)).sum((1, 2))
    return total / sum(len(columns) for columns in groups)


@dataclass(frozen=True)
class Teacher:
    """The network as the last task left it.

    Attributes:
        answers: what it says (n, c) of inputs (n, ...).
        densities: kept fraction of each prunable weight, which is what asking costs.
        taught: (n, c) of all of today's examples, where an answer depends on nothing else; None where each step crops
            anew or normalises by its batch.
        group: the processes that train.
    """

    answers: Pass
    densities: Mapping[str, float]
    taught: Tensor | None
    group: Group = field(default_factory=Group)

    def of(self, rows: Tensor, inputs: Tensor, ledger: Ledger) -> Tensor:
        """What it says (b, c) of the examples `rows` (b,), the first of the `inputs` (m, ...) of a step."""
        if self.taught is not None:
            return self.taught[rows]
        ledger.forward(len(inputs), self.densities, item="other")
        return self.group.spread(self.answers, inputs)[: len(rows)]


def teacher(
    network: nn.Module,
    solution: Mapping[str, Tensor],
    stage: Stage,
    names: tuple[str, ...],
    ledger: Ledger | None,
    group: Group | None = None,
) -> Teacher:
    """The teacher of a task.

    Args:
        network: with the private heads of earlier tasks in it.
        solution: what the anchors keep.
        stage: the task that begins.
        names: the prunable weights.
        ledger: whom to bill; None where it was billed before.
        group: the processes that train; default this one.
    """
    group = group or Group()
    densities = {name: float((solution[name] != 0).float().mean()) for name in names}
    answers: Pass = partial(asked, network, solution)
    if stage.augment is not None or batchnorm.layers(network):
        return Teacher(Answers(answers) if type(group) is Group else answers, densities, None, group)
    if ledger is not None:
        ledger.forward(len(stage.examples), densities, item="other")
    inputs = stage.examples.inputs
    size = ASKED_AT_ONCE.get(inputs.device.type, ASKED_AT_ONCE_ELSEWHERE)

    def asked_of(some: Tensor) -> Tensor:
        return torch.cat([answers(part) for part in some.split(size)])

    return Teacher(answers, densities, group.spread(asked_of, inputs), group)


def spare(head: nn.Module, past: Sequence[Tensor]) -> None:
    """Drop the gradients of earlier tasks' private heads: what moved below them is to move back, not they after it."""
    rows = torch.cat([groups.flatten() for groups in past])
    for parameter in head.parameters():
        assert parameter.grad is not None
        parameter.grad[rows] = 0
