"""The linear classifier that is learned on frozen features once a representation stands."""

import torch
from torch import Tensor, nn

from esacl.criterion import Criterion

EPOCHS = 50  # of as many draws as there are examples; on split-digits 100, as published, gain nothing and 20 lose 4%
BATCH = 64
RATE = 1.0  # over the mean squared length of the features: a step is then the same whatever their scale
MOMENTUM = 0.9


def fit(head: nn.Linear, seen: Tensor, targets: Tensor, criterion: Criterion, generator: torch.Generator) -> int:
    """Learn the head from where it stands, by SGD with a rate that falls to 0; how many examples it saw.

    Each draw takes a class by chance and then one of its examples, with replacement: the few of the past weigh as much
    as today's many (as Co2L samples). A class without an example keeps its row in task-IL.

    Args:
        head: (f -> c).
        seen: features (n, f).
        targets: (n,).
        criterion: the columns that each example competes among.
        generator: on the CPU.
    """
    labels = targets.cpu()
    weights = (1 / labels.bincount().clamp(min=1))[labels].float()
    rate = RATE / (1 + float(seen.square().sum(1).mean()))
    optimiser = torch.optim.SGD(head.parameters(), lr=rate, momentum=MOMENTUM)
    for epoch in range(EPOCHS):
        rows = torch.multinomial(weights, len(targets), replacement=True, generator=generator).to(targets.device)
        batches = rows.split(BATCH)
        for i, batch in enumerate(batches):
            optimiser.param_groups[0]["lr"] = rate * (1 - (epoch + i / len(batches)) / EPOCHS)
            optimiser.zero_grad()
            criterion(head(seen[batch]), targets[batch]).backward()
            optimiser.step()
    optimiser.zero_grad()
    return EPOCHS * len(targets)
