"""Affine: start + a_1 step_1 + a_2 step_2 + ... of many tensors at once, at one point after the other."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Affine:
    """Named tensors that are affine in the coordinates.

    Points come row by row, so what all axes but the first contribute is kept until one of them changes.

    Args:
        start: {name: tensor} at the origin.
        steps: {name: tensor} of each axis; a name may be missing.
        out: {name: tensor} to write what moves to; by default tensors of its own, made when first written to.
        floor: names that must not fall below zero (variances).
    """

    def __init__(
        self,
        start: Mapping[str, Tensor],
        steps: Sequence[Mapping[str, Tensor]],
        out: Mapping[str, Tensor] | None = None,
        floor: frozenset[str] = frozenset(),
    ) -> None:
        self._start, self._steps, self._floor = start, steps, floor
        self._moved = [name for name in start if any(name in step for step in steps)]
        self._given = out
        self._out: dict[str, Tensor] = {}
        self._base: dict[str, Tensor] = {}
        self._row: tuple[float, ...] | None = None

    @property
    def moved(self) -> tuple[str, ...]:
        """The names that some axis moves."""
        return tuple(self._moved)

    def write(self, at: Sequence[float]) -> dict[str, Tensor]:
        """The tensors at the coordinates, written to `out`; valid until the next call."""
        if self._row is None:
            rooms = {name: torch.empty_like(self._start[name]) for name in self._moved} if self._given is None else {}
            self._out = {**self._start, **(self._given or {}), **rooms}
            self._base = {name: self._room(name) for name in self._moved}
        row = tuple(at[1:])
        for name, base in self._base.items():
            out, along = self._out[name], self._steps[0].get(name)
            if row != self._row and base is not self._start[name]:
                self._write_row(name, row)
            if along is not None:
                torch.add(base, along, alpha=at[0], out=out)
            if name in self._floor:
                out.clamp_(min=0)
        self._row = row
        return self._out

    def at(self, coordinates: Tensor) -> dict[str, Tensor]:
        """New tensors at the coordinates (d,), which may be those of many points under `torch.vmap`."""
        found = {}
        for name, value in self._start.items():
            for a, step in zip(coordinates, self._steps):
                if name in step:
                    value = value + a.to(value.dtype) * step[name]
            found[name] = value.clamp(min=0) if name in self._floor else value
        return found

    def _room(self, name: str) -> Tensor:
        """Where the contribution of the later axes lies: nothing is copied that no later axis moves."""
        if not any(name in step for step in self._steps[1:]):
            return self._start[name]
        return torch.empty_like(self._start[name]) if name in self._steps[0] else self._out[name]

    def _write_row(self, name: str, row: Sequence[float]) -> None:
        base, found = self._base[name], self._start[name]
        for b, step in zip(row, self._steps[1:]):
            if name in step:
                found = torch.add(found, step[name], alpha=b, out=base)
