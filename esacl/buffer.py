"""Rehearsal memory: a uniform sample of everything seen, by reservoir sampling (Vitter 1985)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from esacl import seeds


class Buffer:
    """At most `size` examples; after n offers each of them is kept with probability size / n.

    The draw of offer number n depends on the seed and n only, so that a resumed run keeps the same examples.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.seen = size, seed, 0
        self.inputs: Tensor | None = None
        self.targets: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.inputs is None else len(self.inputs)

    @property
    def bytes(self) -> int:
        """Size of the kept examples."""
        if self.inputs is None or self.targets is None:
            return 0
        return self.inputs.nbytes + self.targets.nbytes

    def offer(self, inputs: Tensor, targets: Tensor) -> None:
        """Offer the examples of a finished task, in order; inputs (n, c, h, w), targets (n,)."""
        if self.size == 0:
            return
        generator = seeds.torch_generator(self.seed, "buffer", self.seen)
        kept = [] if self.inputs is None or self.targets is None else list(zip(self.inputs, self.targets))
        for example in zip(inputs, targets):
            if len(kept) < self.size:
                kept.append(example)
            else:
                place = int(torch.randint(0, self.seen + 1, (), generator=generator))
                if place < self.size:
                    kept[place] = example
            self.seen += 1
        self.inputs, self.targets = (torch.stack(column) for column in zip(*kept))

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` kept examples, without replacement where there are as many."""
        assert self.inputs is not None, "drawing from an empty buffer"
        assert self.targets is not None, "drawing from an empty buffer"
        rows = torch.randperm(len(self), generator=generator)[:count].to(self.inputs.device)
        return self.inputs[rows], self.targets[rows]

    def state(self) -> dict[str, Tensor]:
        """Tensors to go on from."""
        return {} if self.inputs is None or self.targets is None else {"inputs": self.inputs, "targets": self.targets}

    def load(self, tensors: Mapping[str, Tensor], seen: int) -> None:
        """Go on from `state()`."""
        self.inputs, self.targets, self.seen = tensors.get("inputs"), tensors.get("targets"), seen
