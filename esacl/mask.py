"""Mask: which prunable weights survive."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from esacl.errors import InputError


class Mask(Mapping[str, Tensor]):
    """Parameter name -> bool tensor of that parameter's shape; True = kept.

    Immutable: every operation returns a new mask. Numbers other than 0 and 1 are refused.

    Raises:
        InputError: an entry that is neither bool nor exactly 0/1.
    """

    def __init__(self, entries: Mapping[str, Tensor]) -> None:
        self._entries = {name: _as_bool(name, entry) for name, entry in entries.items()}
        self._factors: dict[str, Tensor] = {}
        self._kept: int | None = None
        self._densities: dict[str, float] | None = None

    def __getitem__(self, name: str) -> Tensor:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def kept(self) -> int:
        """How many weights survive."""
        if self._kept is None:
            # Asked for in every step, and a device has to be waited for to be asked.
            self._kept = _total(entry.sum() for entry in self.values())
        return self._kept

    @property
    def total(self) -> int:
        """How many weights the mask covers."""
        return sum(entry.numel() for entry in self.values())

    @property
    def density(self) -> float:
        """Kept fraction; sparsity is 1 - density. An empty mask has density 1."""
        return self.kept / self.total if self.total else 1.0

    def layer_densities(self) -> dict[str, float]:
        """Kept fraction of each parameter."""
        if self._densities is None:
            means = torch.stack([entry.float().mean() for entry in self.values()]).tolist() if len(self) else []
            self._densities = dict(zip(self, means, strict=True))
        return dict(self._densities)

    def flips(self, other: "Mask") -> int:
        """How many entries differ."""
        return _total((entry ^ other[name]).sum() for name, entry in self.items())

    @torch.no_grad()
    def apply(self, network: nn.Module) -> None:
        """Set every removed weight of the network to exactly zero, in place."""
        self.apply_to(dict(network.named_parameters()))

    @torch.no_grad()
    def apply_to(self, weights: Mapping[str, Tensor]) -> None:
        """The same for parameters by name."""
        for name in self:
            weights[name].mul_(self._factor(name, weights[name]))

    @torch.no_grad()
    def apply_to_gradients(self, weights: Mapping[str, Tensor]) -> None:
        """Set the gradient of every removed weight to zero, in place; of weights that have one."""
        for name in self:
            gradient = weights[name].grad
            if gradient is not None:
                gradient.mul_(self._factor(name, gradient))

    def to(self, device: torch.device | str) -> "Mask":
        """The same mask on another device."""
        return Mask({name: entry.to(device) for name, entry in self.items()})

    def _factor(self, name: str, like: Tensor) -> Tensor:
        """The entry as numbers in the type and the layout of what it multiplies, which is 7 times as fast as bools."""
        known = self._factors.get(name)
        if known is None or (known.dtype, known.device) != (like.dtype, like.device):
            known = self._factors[name] = torch.empty_like(like, requires_grad=False).copy_(self[name])
        return known


def _total(counts: Iterable[Tensor]) -> int:
    """Their sum as a number; a device is waited for once, not for each."""
    return sum(torch.stack(each).tolist()) if (each := list(counts)) else 0


def kept_of(total: int, density: float) -> int:
    """How many of `total` weights stay at a density, rounded down."""
    # The small term absorbs binary fractions: (1 - .9) * 100 is 9.999..., and 10 are meant.
    return min(total, int(total * density + 1e-6))


def _as_bool(name: str, entry: Tensor) -> Tensor:
    if entry.dtype != torch.bool and not bool(((entry == 0) | (entry == 1)).all()):
        raise InputError(f"mask of {name!r} holds values other than 0 and 1; a mask is a bool tensor")
    return entry.detach().to(torch.bool)
