"""Anchors: what consolidates earlier tasks without replay and without growth.

After a task the diagonal Fisher information F at the solution says how much each weight matters. It is kept as an
importance Omega, and every later step pulls the weight towards the solution theta* it was anchored at. On pruned
coordinates only a rank-1 factor of Omega is kept (row mean x column mean / mean), so memory is survivors + rows +
columns; without it regrown weights would be free to undo earlier tasks.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from esacl.mask import Mask


def fisher_diagonal(
    network: nn.Module,
    log_probabilities: Callable[[Tensor], Tensor],
    inputs: Tensor,
    weights: Tensor,
    names: tuple[str, ...],
    *,
    batches: int,
    batch_size: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Diagonal Fisher information (mean over instances), labels sampled from the network.

    One backward pass a batch: with random signs e, E[(sum_i e_i sqrt(w_i) g_i)^2] = sum_i w_i g_i^2, an unbiased
    diagonal with relative error sqrt(2 / batches) (Hutchinson 1989, applied to the gradient outer products).

    Args:
        network: evaluated where it stands.
        log_probabilities: inputs (b, ...) -> (b, c).
        inputs: (n, ...) instances.
        weights: (n,) importance weights of mean 1.
        names: the parameters to measure.
        batches: how many batches.
        batch_size: at most so many instances a batch.
        generator: labels, signs, order.

    Returns:
        parameter name -> tensor of its shape, >= 0.
    """
    parameters = dict(network.named_parameters())
    chosen = [parameters[name] for name in names]
    totals = [torch.zeros_like(p) for p in chosen]
    size = min(batch_size, len(inputs))
    stream = _endless(len(inputs), size, generator)
    for _ in range(batches):
        rows = next(stream).to(inputs.device)
        log_p = log_probabilities(inputs[rows])
        labels = torch.multinomial(log_p.detach().exp().cpu(), 1, generator=generator)[:, 0].to(inputs.device)
        signs = (2 * torch.randint(0, 2, (len(rows),), generator=generator) - 1).to(inputs.device)
        signed = (signs * weights[rows].sqrt() * -log_p[torch.arange(len(rows)), labels]).sum()
        for total, gradient in zip(totals, torch.autograd.grad(signed, chosen), strict=True):
            total.addcmul_(gradient, gradient, value=1 / len(rows))
    return {name: total / batches for name, total in zip(names, totals, strict=True)}


def _endless(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        order = torch.randperm(n, generator=generator)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]


def rank_one(values: Tensor, where: Tensor, *, from_units: bool = False) -> Tensor:
    """`values` on the coordinates `where`, replaced by row mean x column mean / mean over those coordinates.

    Kernels count as rows of (out, in x k x k). Zero outside `where`. Exact where `values` already has rank one.

    Args:
        values: (out, in, ...) numbers >= 0.
        where: bool, of the same shape.
        from_units: the columns are hidden units, not data. Then no column counts less than the mean column: a unit
            that is idle today has no Fisher information on either side, and a new task that wakes it would run
            a new path into units that earlier tasks use, past an anchor that sees each half as harmless.
    """
    flat, inside = values.flatten(1), where.flatten(1).to(values.dtype)
    picked = flat * inside
    rows = picked.sum(1) / inside.sum(1).clamp(min=1)
    columns = picked.sum(0) / inside.sum(0).clamp(min=1)
    mean = picked.sum() / inside.sum().clamp(min=1)
    if float(mean) <= 0:
        return torch.zeros_like(values)
    if from_units:
        columns = columns.clamp(min=float(mean))
    return (torch.outer(rows, columns) / mean * inside).view(values.shape)


class Anchors:
    """Importance Omega and solution theta* of what was learned so far.

    Attributes:
        strength: lambda, the slider between plasticity (0) and stability.
        compact: keep only a rank-1 factor of Omega on pruned coordinates.
        importance: parameter name -> Omega >= 0; empty before the first task.
        solution: parameter name -> theta*.
    """

    def __init__(self, strength: float, *, compact: bool) -> None:
        self.strength, self.compact = strength, compact
        self.importance: dict[str, Tensor] = {}
        self.solution: dict[str, Tensor] = {}
        self._bytes = 0

    @torch.no_grad()
    def consolidate(self, parameters: Mapping[str, Tensor], fisher: Mapping[str, Tensor], mask: Mask) -> None:
        """Add a task's Fisher information, of mean 1 on the survivors, and move theta* to today's weights."""
        alive = {name: mask.get(name, torch.ones_like(f, dtype=torch.bool)) for name, f in fisher.items()}
        mean = sum(float((f * alive[n]).sum()) for n, f in fisher.items()) / sum(int(a.sum()) for a in alive.values())
        self._bytes = 0
        first = next(iter(mask), None)  # its columns are data
        for name, f in fisher.items():
            total = self.importance.get(name, torch.zeros_like(f)) + (f / mean if mean > 0 else f)
            if self.compact and name in mask:
                total = torch.where(alive[name], total, rank_one(total, ~alive[name], from_units=name != first))
                self._bytes += 2 * 4 * int(alive[name].sum()) + 4 * (f.shape[0] + f[0].numel())
            else:
                self._bytes += 2 * 4 * f.numel()
            self.importance[name] = total
            self.solution[name] = parameters[name].detach().clone()

    @torch.no_grad()
    def pull(self, parameters: Mapping[str, Tensor], lr: float) -> None:
        """One proximal step to theta*, (theta + q theta*) / (1 + q) with q = lr lambda Omega; stable for any q."""
        if self.strength == 0:
            return
        for name, omega in self.importance.items():
            # lerp by q/(1+q) is the proximal step in one pass over the memory.
            q = omega * (lr * self.strength)
            parameters[name].lerp_(self.solution[name], q / (1 + q))

    @property
    def bytes(self) -> int:
        """What has to be kept between tasks, in float32: Omega and theta* on survivors, and rank-1 factors."""
        return self._bytes

    def state(self) -> dict[str, Tensor]:
        """Tensors to go on from."""
        return {f"importance/{n}": t for n, t in self.importance.items()} | {
            f"solution/{n}": t for n, t in self.solution.items()
        }

    def load(self, tensors: Mapping[str, Tensor], kept_bytes: int) -> None:
        """Go on from `state()`."""
        for key, tensor in tensors.items():
            group, name = key.split("/", 1)
            (self.importance if group == "importance" else self.solution)[name] = tensor
        self._bytes = kept_bytes
