"""The Hessian of a mean loss as a linear operator, whole or restricted to the weights that survive a mask."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from esacl.curvature.objective import Batch, Data, Loss, Objective, check_like
from esacl.errors import InputError
from esacl.mask import Mask

Edges = tuple[GradientEdge | None, ...]
"""Where a product enters the graph of each parameter's gradient; None where the gradient is constant."""


class Hessian:
    r"""H = d^2 L / d theta^2 at one point, by Hessian-vector products (Pearlmutter 1994), never built.

    With a mask it is the submatrix S H S', where S gathers the surviving weights: a vector is scattered into the
    survivors, H is applied, and the survivors of the product are gathered. By Cauchy's interlacing its largest
    eigenvalue is at most that of H.

    Where the data fits one chunk, the graph of the gradient is built once and kept, so that a product is one backward
    pass through it; otherwise every product builds the gradient of each chunk again.

    Attributes:
        shape: (n, n), n the number of entries it acts on.
        dtype: of the vectors it takes.
        device: of the vectors it takes.
        products: Hessian-vector products (each over all the data) spent so far.
        objective: the loss it is of.
        point: values of the parameters where it is taken, as far as they are not the network's own.
        leaves: the part of `point` that is differentiated by.
        mask: what it is restricted to.
    """

    def __init__(
        self,
        objective: Objective,
        mask: Mapping[str, Tensor] | None = None,
        at: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.objective = objective
        self._shapes = {name: objective.parameters[name].shape for name in objective.names}
        self.mask = None if mask is None else Mask(mask)
        self._kept = _kept(objective, mask)
        entries = sum(shape.numel() for shape in self._shapes.values())
        self._entries = entries
        n = entries if self._kept is None else len(self._kept)
        self.shape = (n, n)
        self.dtype, self.device = objective.dtype, objective.device
        self.products = 0
        elsewhere = {name: _like(name, value, objective) for name, value in (at or {}).items()}
        self.leaves = objective.leaves(elsewhere)
        self.point = {**elsewhere, **self.leaves}
        self._graph: Edges | None = None

    def __matmul__(self, vector: Tensor) -> Tensor:
        """H v (n,) of a vector (n,).

        Raises:
            InputError: a vector of another shape.
        """
        self.products += 1
        along = tuple(self.unflatten(vector).values())
        batches = self.objective.batches
        if len(batches) == 1:
            if self._graph is None:
                self._graph = self._gradient_graph(batches[0])
            return self._gather(_backward(self._graph, self.leaves, along, retain=True))
        total = torch.zeros(self.shape[0], dtype=self.dtype, device=self.device)
        for batch in batches:
            graph = self._gradient_graph(batch)
            product = self._gather(_backward(graph, self.leaves, along, retain=False))
            total += self.objective.share(batch) * product
        return total

    def release(self) -> None:
        """Free the kept graph; the next product would build it again."""
        self._graph = None

    def survivors(self) -> dict[str, Tensor]:
        """{parameter name: bool} of the parameters it acts on that the mask names."""
        return {n: entry.to(self.device) for n, entry in (self.mask or {}).items() if n in self.leaves}

    def tangent(self) -> "Hessian":
        """R = H - G, G the Gauss-Newton matrix: the Hessian of `objective.tangent()` at the same point."""
        values = {name: value.detach() for name, value in self.point.items()}
        return Hessian(self.objective.tangent(values), self.mask, values)

    def gradient(self) -> Tensor:
        """The gradient (n,) of the loss at the same point."""
        return self.flatten(self.objective.gradient(self.point))

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The vector (n,) of {parameter name: tensor}; zero where left out, removed weights dropped.

        Raises:
            InputError: a name the operator does not act on, or another shape.
        """
        for name, tensor in tensors.items():
            check_like(name, tensor, {n: self.objective.parameters[n] for n in self._shapes})
        zero = torch.zeros((), dtype=self.dtype, device=self.device)
        return self._gather(tensors.get(name, zero).to(zero).expand(s) for name, s in self._shapes.items())

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """{parameter name: tensor} of a vector (n,), zero at the removed weights.

        Raises:
            InputError: a vector of another shape.
        """
        return self.scatter(vector.detach())

    def scatter(self, vector: Tensor) -> dict[str, Tensor]:
        """`unflatten`, differentiable by the vector.

        Raises:
            InputError: a vector of another shape.
        """
        if vector.shape != self.shape[:1]:
            raise InputError(f"vector of shape {tuple(vector.shape)}; the operator takes ({self.shape[0]},)")
        whole = vector.to(self.device, self.dtype)
        if self._kept is not None:
            whole = whole.new_zeros(self._entries).index_copy_(0, self._kept, whole)
        parts = whole.split([shape.numel() for shape in self._shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts)}

    def _gather(self, parts: Iterable[Tensor]) -> Tensor:
        whole = torch.cat([part.reshape(-1) for part in parts])
        return whole if self._kept is None else whole[self._kept]

    def _gradient_graph(self, batch: Batch) -> Edges:
        # The edges of the graph, not the gradient itself, which would take as much memory as the network.
        parts = self.objective.graph(self.point, self.leaves, batch, differentiable=True)
        return tuple(get_gradient_edge(part) if part.requires_grad else None for part in parts)


def hessian(
    network: nn.Module,
    loss: Loss,
    data: Data,
    mask: Mapping[str, Tensor] | None = None,
    *,
    names: Iterable[str] | None = None,
    at: Mapping[str, Tensor] | None = None,
    chunk: int | None = None,
    dtype: torch.dtype | None = None,
    check: bool = True,
) -> Hessian:
    """The Hessian of the mean loss over the network's parameters, as an operator.

    Args:
        network: any module; it is left untouched, gradients included.
        loss: `loss(outputs, *rest)`, a mean over the examples; of a triple `(inputs, targets, weights)` it is called
            as `loss(outputs, targets, weights)`, the mean of weight times loss.
        data: one tuple of tensors `(inputs, *rest)`, examples first, or an iterable of such batches.
        mask: {parameter name: bool}; restricts the Hessian to the survivors. Parameters it does not name stay whole.
            The point is the network as it is: apply the mask to it first to get the pruned point.
        names: which parameters; by default all that require a gradient.
        at: other values for some parameters: the Hessian there instead.
        chunk: examples at a time; by default as many as fit (`objective.GRAPH_BYTES`).
        dtype: compute in this dtype, e.g. `torch.float64`, whatever the network's.
        check: evaluate the loss of a few examples twice, to find chance that no layer's type gives away.

    Raises:
        InputError: data, names or mask that do not fit the network; a mask that keeps nothing; dropout or BatchNorm in
            training mode; a loss that changes from one evaluation to the next.
    """
    objective = Objective(network, loss, data, names=names, chunk=chunk, dtype=dtype)
    if check:
        objective.refuse_chance()
    return Hessian(objective, mask, at)


def _like(name: str, value: Tensor, objective: Objective) -> Tensor:
    check_like(name, value, objective.parameters)
    return value.detach().to(objective.parameters[name])


def _backward(
    graph: Edges, leaves: Mapping[str, Tensor], along: tuple[Tensor, ...], *, retain: bool
) -> tuple[Tensor, ...]:
    # A gradient entry without a graph is constant in the parameters: it adds nothing, and autograd refuses it.
    pairs = [(part, v) for part, v in zip(graph, along) if part is not None]
    if not pairs:
        return tuple(torch.zeros_like(leaf) for leaf in leaves.values())
    parts, vectors = zip(*pairs)
    return torch.autograd.grad(
        parts, tuple(leaves.values()), grad_outputs=vectors, retain_graph=retain, materialize_grads=True
    )


def _kept(objective: Objective, mask: Mapping[str, Tensor] | None) -> Tensor | None:
    if not mask:
        return None
    entries = Mask(mask)
    for name, entry in entries.items():
        check_like(name, entry, objective.parameters)
    named = [entries[name] for name in objective.names if name in entries]
    if not named:  # a restriction to parameters that the mask leaves whole
        return None
    if not any(bool(entry.any()) for entry in named):
        raise InputError("the mask keeps no weight of these parameters, so there is nothing to restrict to")
    flat = [
        entries[name].to(objective.device).reshape(-1)
        if name in entries
        else torch.ones(objective.parameters[name].numel(), dtype=torch.bool, device=objective.device)
        for name in objective.names
    ]
    return torch.cat(flat).nonzero().reshape(-1)
