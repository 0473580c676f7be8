"""Rehearsal memory: a uniform sample of everything seen, by reservoir sampling (Vitter 1985)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from esacl import seeds
from esacl.indexed import Indexed


@dataclass(frozen=True)
class Kept:
    """Examples of the buffer: inputs (n, c, h, w), targets (n,), and the logits (n, outputs) kept with them, if any."""

    inputs: Tensor
    targets: Tensor
    logits: Tensor | None = None

    def take(self, rows: Tensor) -> "Kept":
        """Those at `rows` (m,)."""
        return Kept(self.inputs[rows], self.targets[rows], None if self.logits is None else self.logits[rows])

    def others(self) -> dict[str, Tensor]:
        """What is kept beside the inputs, by name."""
        return {"targets": self.targets} | ({} if self.logits is None else {"logits": self.logits})


class Buffer:
    """At most `size` examples; after n offers each of them is kept with probability size / n.

    The draw of offer number n depends on the seed and n only, so that a resumed run keeps the same examples. Images
    of few values are held as such (`Indexed`), in a quarter of the bytes, and come back without a bit changed.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.seen = size, seed, 0
        self._inputs: Tensor | Indexed | None = None
        self._others: dict[str, Tensor] = {}  # targets, and logits where they are kept

    def __len__(self) -> int:
        return 0 if self._inputs is None else len(self._inputs)

    @property
    def kept(self) -> Kept | None:
        """All that is kept; None while that is nothing."""
        return None if self._inputs is None else self._at(slice(None))

    @property
    def targets(self) -> Tensor:
        """Targets (n,) of all that is kept, which is something."""
        return self._others["targets"]

    @property
    def bytes(self) -> int:
        """Bytes in which the kept examples are held."""
        return 0 if self._inputs is None else self._inputs.nbytes + sum(t.nbytes for t in self._others.values())

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
        self._take_in(Kept(inputs, targets, logits), places[:filled])

    def _take_in(self, offered: Kept, places: Tensor) -> None:
        fresh, device = places >= 0, offered.targets.device
        if not bool(fresh.any()):
            return
        new = offered.take(places[fresh].to(device))
        fresh = fresh.to(device)
        if self._inputs is None:
            indexed = Indexed.of(new.inputs)
            self._inputs, self._others = new.inputs if indexed is None else indexed, new.others()
            return
        indexed = self._inputs.put(fresh, new.inputs) if isinstance(self._inputs, Indexed) else None
        self._inputs = _put(self._images(), fresh, new.inputs) if indexed is None else indexed
        self._others = {name: _put(self._others[name], fresh, tensor) for name, tensor in new.others().items()}

    def draw(self, count: int, generator: torch.Generator) -> Kept:
        """`count` kept examples, without replacement where there are as many."""
        assert self._inputs is not None, "drawing from an empty buffer"
        return self._at(torch.randperm(len(self), generator=generator)[:count].to(self._others["targets"].device))

    def _at(self, rows: Tensor | slice) -> Kept:
        return Kept(self._images(rows), **{name: tensor[rows] for name, tensor in self._others.items()})

    def _images(self, rows: Tensor | slice = slice(None)) -> Tensor:
        assert self._inputs is not None, "nothing is kept yet"
        return self._inputs.take(rows) if isinstance(self._inputs, Indexed) else self._inputs[rows]

    def state(self) -> dict[str, Tensor]:
        """Tensors to go on from."""
        if self._inputs is None:
            return {}
        if isinstance(self._inputs, Indexed):
            return {"palette": self._inputs.palette, "codes": self._inputs.codes, **self._others}
        return {"inputs": self._inputs, **self._others}

    def load(self, tensors: Mapping[str, Tensor], seen: int) -> None:
        """Go on from `state()`."""
        self._others, self.seen = dict(tensors), seen
        if "codes" in tensors:
            self._inputs = Indexed(self._others.pop("palette"), self._others.pop("codes"))
        else:
            self._inputs = self._others.pop("inputs", None)


def _put(old: Tensor, rows: Tensor, new: Tensor) -> Tensor:
    """`old` (n, ...) with `new` at the true places of `rows`, which may go beyond n."""
    grown = torch.cat([old, old.new_empty(len(rows) - len(old), *old.shape[1:])])
    grown[rows] = new
    return grown
