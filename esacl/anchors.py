"""Anchors: what consolidates earlier tasks without replay and without growth.

After a task the diagonal Fisher information F at the solution says how much each weight matters. It is kept as an
importance Omega, and every later step pulls the weight towards the solution theta* it was anchored at. On pruned
coordinates only a rank-1 factor of Omega is kept (of the same row and column sums), so memory is survivors + rows +
columns; without it regrown weights would be free to undo earlier tasks. On survivors Omega is kept as bfloat16: its
estimate from 12 batches is off by 40%, beside which a rounding by 0.4% at most is nothing.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from esacl.mask import Mask

STATED_AT = 0.9  # the momentum at which lambda means what it says
SWEEPS = 20  # over rows and columns, of the rank-1 fit


def fisher_diagonal(
    network: nn.Module,
    logits: Callable[[Tensor], Tensor],
    inputs: Tensor,
    weights: Tensor,
    names: tuple[str, ...],
    *,
    batches: int,
    batch_size: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Diagonal Fisher information (mean over instances), the expectation over labels taken exactly.

    For softmax the Fisher information of an example is J'(diag p - p p')J = (J'B)(J'B)' with B = diag(sqrt p) -
    p sqrt(p)'. With random signs e per class and example, E[(sum_i sqrt(w_i) J_i'B_i e_i)^2] is its diagonal, so one
    backward pass a batch gives an unbiased estimate with relative error sqrt(2 / batches) (Hutchinson 1989). Sampling
    the labels instead would wait for rare events once p is close to 0 or 1: a network that fits a task well would
    seem not to care about it.

    Args:
        network: evaluated where it stands.
        logits: inputs (b, ...) -> (b, c), of the columns that compete.
        inputs: (n, ...) instances.
        weights: (n,) importance weights of mean 1.
        names: the parameters to measure.
        batches: how many batches.
        batch_size: at most so many instances a batch.
        generator: signs and order.

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
        z = logits(inputs[rows])
        p = z.detach().softmax(1)
        signs = (2 * torch.randint(0, 2, p.shape, generator=generator) - 1).to(p)
        root = p.sqrt()
        along = root * signs - p * (root * signs).sum(1, keepdim=True)
        signed = (weights[rows].sqrt()[:, None] * along * z).sum()
        for total, gradient in zip(totals, torch.autograd.grad(signed, chosen), strict=True):
            total.addcmul_(gradient, gradient, value=1 / len(rows))
    return {name: total / batches for name, total in zip(names, totals, strict=True)}


def _endless(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        order = torch.randperm(n, generator=generator)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]


def rank_one(values: Tensor, where: Tensor) -> Tensor:
    """`values` >= 0 on the coordinates `where`, replaced by the a_i b_j that has the same sums there.

    Quasi-independence (Goodman 1968) by proportional fitting (Deming and Stephan 1940). Sums of columns are kept to
    rounding, so that what is fitted anew after each task does not grow by being fitted; those of rows as far as the
    sweeps come. Row mean x column mean / mean is the same where `where` is everything, but multiplies a lonely
    coordinate by how many others there are. Kernels count as rows of (out, in x k x k). Zero outside `where`. Exact
    where `values` has rank one there.
    """
    flat, inside = values.flatten(1), where.flatten(1).to(values.dtype)
    picked = flat * inside
    rows, columns = picked.sum(1), picked.sum(0)
    b = torch.ones_like(columns)
    for _ in range(SWEEPS):
        a = _share(rows, (inside * b).sum(1))
        b = _share(columns, (inside * a[:, None]).sum(0))
    return (torch.outer(a, b) * inside).view(values.shape)


def _share(sums: Tensor, of: Tensor) -> Tensor:
    """0 where there is nothing to share out."""
    return torch.where(of > 0, sums / of.clamp(min=torch.finfo(of.dtype).tiny), 0)


def guard_idle(fisher: Tensor) -> Tensor:
    """Fisher information (out, in, ...) of a layer fed by hidden units, each at least as active as is typical.

    A weight from a unit that is idle in a task has no Fisher information in it, however much the unit it leads to
    matters. A later task may wake the idle unit, and a diagonal anchor would see neither half of the new path as
    harmful. So no column counts less than the typical column (the mean weighted by itself, which idle columns do not
    dilute), and each row keeps its share of it.
    """
    flat = fisher.flatten(1)
    rows, columns = flat.sum(1), flat.sum(0)
    total = columns.sum()
    if float(total) <= 0:
        return fisher
    typical = columns.square().sum() / total
    return torch.maximum(fisher, (rows * typical / total).view(-1, *[1] * (fisher.ndim - 1)))


def pull_rate(lr: float, momentum: float) -> float:
    """The rate of a pull that holds its own against gradients under a momentum; lr itself where that is 0.9.

    Momentum lets a gradient that stays move a weight by lr / (1 - momentum) a step. The pull has none, so that a
    strength lambda would otherwise hold ten times as firmly where nothing is carried on.
    """
    return lr * ((1 - STATED_AT) / (1 - momentum))


def share_of_way(importance: Tensor, rate: float) -> Tensor:
    """Share q / (1 + q) of the way to theta* in a proximal step, q = rate x Omega; with `lerp` one pass over memory."""
    q = importance * rate
    return q.div_(q + 1)


def _rounded(values: Tensor) -> Tensor:
    """To bfloat16 and back, on the CPU: not every device has it."""
    return values.cpu().bfloat16().to(values)


class Anchors:
    """Importance Omega and solution theta* of what was learned so far.

    Attributes:
        strength: lambda, the slider between plasticity (0) and stability.
        compact: keep Omega as bfloat16 on survivors, and only a rank-1 factor of it on pruned coordinates.
        guard: anchor weights from idle units too (`guard_idle`).
        importance: parameter name -> Omega >= 0; empty before the first task.
        solution: parameter name -> theta*.
    """

    def __init__(self, strength: float, *, compact: bool, guard: bool) -> None:
        self.strength, self.compact, self.guard = strength, compact, guard
        self.importance: dict[str, Tensor] = {}
        self.solution: dict[str, Tensor] = {}
        self._bytes = 0

    @torch.no_grad()
    def consolidate(self, parameters: Mapping[str, Tensor], fisher: Mapping[str, Tensor], mask: Mask) -> None:
        """Add a task's Fisher information, of mean 1 on the survivors, and move theta* to today's weights."""
        alive = {name: mask.get(name, torch.ones_like(f, dtype=torch.bool)) for name, f in fisher.items()}
        mean = sum(float((f * alive[n]).sum()) for n, f in fisher.items()) / sum(int(a.sum()) for a in alive.values())
        self._bytes = 0
        matrices = [name for name, f in fisher.items() if f.ndim >= 2]
        for name, f in fisher.items():
            # The columns of the first layer are data: what is always zero there cannot wake.
            today = guard_idle(f) if self.guard and name in matrices[1:] else f
            total = self.importance.get(name, torch.zeros_like(f)) + (today / mean if mean > 0 else today)
            if self.compact and name in mask:
                total = torch.where(alive[name], _rounded(total), rank_one(total, ~alive[name]))
                self._bytes += (4 + 2) * int(alive[name].sum()) + 4 * (f.shape[0] + f[0].numel())
            else:
                self._bytes += 4 * f.numel() + 4 * int(alive[name].sum())  # theta* is 0 where a cut has been
            self.importance[name] = total
            self.solution[name] = parameters[name].detach().clone()

    @torch.no_grad()
    def remember(self, parameters: Mapping[str, Tensor]) -> None:
        """Move theta* to today's weights, and nothing more: for distillation alone."""
        self.solution |= {name: p.detach().clone() for name, p in parameters.items()}
        self._bytes = 4 * sum(int((p != 0).sum()) for p in self.solution.values())

    @torch.no_grad()
    def pull(self, parameters: Mapping[str, Tensor], rate: float) -> None:
        """One proximal step to theta*, (theta + q theta*) / (1 + q) with q = rate lambda Omega; stable for any q.

        Args:
            parameters: what is pulled, in place; of those that are anchored.
            rate: that of the step, `pull_rate`.
        """
        if self.strength == 0:
            return
        for name, parameter in parameters.items():
            if name in self.importance:
                parameter.lerp_(self.solution[name], share_of_way(self.importance[name], rate * self.strength))

    @property
    def bytes(self) -> int:
        """What has to be kept between tasks: theta* on survivors; Omega, where compact on survivors and by rank 1."""
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
