"""Taylor-mode differentiation: a tensor with its Taylor coefficients along a line, through the layers of a network.

A jet holds x_0, ..., x_K of x(a) = sum_k x_k a^k. Each rule says what a layer makes of the coefficients (Griewank &
Walther 2008, chapter 13): a linear layer costs two products a coefficient, where K nested directional derivatives cost
3^K.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class NoRule(Exception):
    """A function of torch for which there is no rule here."""


class Jet(Tensor):
    """The value x_0, as torch sees it, with the coefficients x_0, ..., x_K beside it."""

    coefficients: tuple[Tensor, ...]

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Apply the rule of a function; what only asks for the shape and the like is asked of the value.

        Raises:
            NoRule: there is none.
        """
        if func in _RULES:
            return _RULES[func](*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in _ASKED:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        raise NoRule(getattr(func, "__name__", str(func)))


def jet(coefficients: Iterable[Tensor]) -> Jet:
    """The jet of these coefficients, all of one shape."""
    found = tuple(coefficients)
    made: Jet = torch.Tensor._make_subclass(Jet, found[0].detach())
    made.coefficients = found
    return made


def line(start: Tensor, slope: Tensor, order: int) -> Jet:
    """The jet of start + a slope."""
    return jet((start, slope, *(torch.zeros_like(start) for _ in range(order - 1))))


def coefficients(value: Tensor, order: int) -> tuple[Tensor, ...]:
    """Those of a jet; of a plain tensor, which does not depend on a, itself and zeros."""
    if isinstance(value, Jet):
        return value.coefficients
    return (value, *(torch.zeros_like(value) for _ in range(order)))


_ASKED = {"__get__", "dim", "size", "numel", "is_floating_point", "is_complex", "stride", "is_contiguous", "__repr__"}


def _order(*values: Any) -> int:
    return next(len(v.coefficients) - 1 for v in values if isinstance(v, Jet))


def _each(func: Callable[..., Tensor]) -> Callable[..., Jet]:
    """The rule of a function that is linear in its first argument and has no other jet."""

    def rule(x: Tensor, *args: Any, **kwargs: Any) -> Jet:
        return jet(func(part, *args, **kwargs) for part in coefficients(x, _order(x)))

    return rule


def _bilinear(func: Callable[..., Tensor]) -> Callable[..., Jet]:
    """The rule of a layer: bilinear in inputs and weight, plus a bias; the weight is a line, or does not move."""

    def rule(x: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Jet:
        order = _order(x, weight, bias)
        still, moving = coefficients(weight, 1)[:2] if isinstance(weight, Jet) else (weight, None)
        parts = x.coefficients if isinstance(x, Jet) else (x,)
        made = [func(part, still, None, *args, **kwargs) for part in parts]
        made += [torch.zeros_like(made[0]) for _ in range(order + 1 - len(made))]
        if moving is not None:
            for k, part in enumerate(parts[:order], start=1):
                made[k] = made[k] + func(part, moving, None, *args, **kwargs)
        if bias is not None:
            wide = (-1,) if func is functional.linear else (-1, 1, 1)
            for k, part in enumerate(coefficients(bias, order)[: 2 if isinstance(bias, Jet) else 1]):
                made[k] = made[k] + part.view(wide)
        return jet(made)

    return rule


def _relu(x: Jet, inplace: bool = False) -> Jet:
    """The kink is not on the way of a derivative: where x_0 is positive all pass."""
    on = x.coefficients[0] > 0
    return jet(part * on for part in x.coefficients)


def _softplus(x: Jet, beta: float = 1.0, threshold: float = 20.0) -> Jet:
    """From y' = s z' and s' = (s - s^2) z' with z = beta x, y = beta softplus and s the logistic function of z."""
    z = [beta * part for part in x.coefficients]
    s, t, y = [z[0].sigmoid()], [], [functional.softplus(z[0], 1.0, threshold)]
    for k in range(1, len(z)):
        t.append(s[k - 1] - _convolved(s, s, range(k), k - 1))
        s.append(_convolved([j * part for j, part in enumerate(z)], t, range(1, k + 1), k) / k)
        y.append(_convolved([j * part for j, part in enumerate(z)], s, range(1, k + 1), k) / k)
    return jet(part / beta for part in y)


def _convolved(a: Sequence[Tensor], b: Sequence[Tensor], places: Iterable[int], degree: int) -> Tensor:
    """The sum of a_j b_(degree - j) over the places j."""
    return torch.stack([a[j] * b[degree - j] for j in places]).sum(0)


def _max_pool(x: Jet, *args: Any, **kwargs: Any) -> Jet:
    """What the pool takes at a = 0 it takes along the way."""
    kwargs.pop("return_indices", None)
    value, taken = functional.max_pool2d(x.coefficients[0], *args, return_indices=True, **kwargs)
    rest = (part.flatten(2).gather(2, taken.flatten(2)).view_as(value) for part in x.coefficients[1:])
    return jet((value, *rest))


def _batch_norm(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None = None, bias: Tensor | None = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Jet:  # fmt: skip
    """By running statistics an affine layer; one whose own numbers move has no rule."""
    if training or isinstance(weight, Jet) or isinstance(bias, Jet):
        raise NoRule("batch_norm")
    first, *rest = coefficients(x, _order(x))
    scale = (variance + eps).rsqrt() * (1 if weight is None else weight)
    wide = scale.view(1, -1, *[1] * (first.dim() - 2))
    value = functional.batch_norm(first, mean, variance, weight, bias, False, momentum, eps)
    return jet((value, *(part * wide for part in rest)))


def _add(x: Any, y: Any, **kwargs: Any) -> Jet:
    if kwargs or not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        raise NoRule("add")
    order = _order(x, y)
    return jet(a + b for a, b in zip(coefficients(x, order), coefficients(y, order), strict=True))


_RULES: dict[Any, Callable[..., Jet]] = {
    functional.linear: _bilinear(functional.linear),
    functional.conv2d: _bilinear(functional.conv2d),
    functional.relu: _relu,
    functional.softplus: _softplus,
    functional.max_pool2d: _max_pool,
    functional.batch_norm: _batch_norm,
    functional.avg_pool2d: _each(functional.avg_pool2d),
    functional.adaptive_avg_pool2d: _each(functional.adaptive_avg_pool2d),
    Tensor.flatten: _each(Tensor.flatten),
    torch.flatten: _each(torch.flatten),
    Tensor.mean: _each(Tensor.mean),
    Tensor.add: _add,
    Tensor.__add__: _add,
    torch.add: _add,
}
