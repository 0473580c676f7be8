"""Rehearsal memory: a uniform sample of everything seen, by reservoir sampling (Vitter 1985)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from esacl import seeds


@dataclass(frozen=True)
class Kept:
    """Examples of the buffer: inputs (n, c, h, w), targets (n,), and the logits (n, outputs) kept with them, if any."""

    inputs: Tensor
    targets: Tensor
    logits: Tensor | None = None

    def take(self, rows: Tensor) -> "Kept":
        """Those at `rows` (m,)."""
        return Kept(self.inputs[rows], self.targets[rows], None if self.logits is None else self.logits[rows])

    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        found = {"inputs": self.inputs, "targets": self.targets}
        return found if self.logits is None else {**found, "logits": self.logits}


class Buffer:
    """At most `size` examples; after n offers each of them is kept with probability size / n.

    The draw of offer number n depends on the seed and n only, so that a resumed run keeps the same examples.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.seen = size, seed, 0
        self.kept: Kept | None = None

    def __len__(self) -> int:
        return 0 if self.kept is None else len(self.kept.targets)

    @property
    def bytes(self) -> int:
        """Size of the kept examples."""
        return sum(tensor.nbytes for tensor in self.state().values())

    def offer(self, inputs: Tensor, targets: Tensor, logits: Tensor | None = None) -> None:
        """Offer examples, in order: inputs (n, c, h, w), targets (n,), and always or never logits (n, outputs)."""
        if self.size == 0:
            return
        generator = seeds.torch_generator(self.seed, "buffer", self.seen)
        places = torch.full((self.size,), -1, dtype=torch.int64)  # which of the offered takes each place, -1: none
        filled = len(self)
        for number in range(len(targets)):
            if filled < self.size:
                place, filled = filled, filled + 1
            else:
                place = int(torch.randint(0, self.seen + 1, (), generator=generator))
            if place < self.size:
                places[place] = number
            self.seen += 1
        self._take_in(Kept(inputs, targets, logits), places[:filled].to(targets.device))

    def _take_in(self, offered: Kept, places: Tensor) -> None:
        fresh = places >= 0
        if self.kept is None:
            self.kept = offered.take(places)
        elif bool(fresh.any()):
            old, new = self.kept.tensors(), offered.take(places[fresh]).tensors()
            grown = len(places) - len(self)
            found = {n: torch.cat([t, t.new_empty(grown, *t.shape[1:])]) if grown else t for n, t in old.items()}
            for name, tensor in found.items():
                tensor[fresh] = new[name]
            self.kept = Kept(**found)

    def draw(self, count: int, generator: torch.Generator) -> Kept:
        """`count` kept examples, without replacement where there are as many."""
        assert self.kept is not None, "drawing from an empty buffer"
        rows = torch.randperm(len(self), generator=generator)[:count].to(self.kept.targets.device)
        return self.kept.take(rows)

    def state(self) -> dict[str, Tensor]:
        """Tensors to go on from."""
        return {} if self.kept is None else self.kept.tensors()

    def load(self, tensors: Mapping[str, Tensor], seen: int) -> None:
        """Go on from `state()`."""
        self.kept, self.seen = Kept(**tensors) if tensors else None, seen
