"""IDS, intelligent data selection: scores per example, and sampling that leaves every mean unbiased.

A landscape quantity that is a mean over instances (the loss, its gradient, H itself, d'Hd, the diagonal Fisher) is
estimated without bias from a few of them by the Horvitz-Thompson estimator (1952): instance i is drawn with
probability pi_i and weighs 1 / pi_i. lambda_max is not linear in the data and keeps a bias, which is reported.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from esacl import seeds
from esacl.errors import InputError

UNIFORM_SHARE = 0.25
"""Part of the sampling probability that ignores the score, so that no weight exceeds 4 times the mean."""


def ggn_trace(logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:
    """Trace of the last layer's Gauss-Newton block, sum_c p_c (1 - p_c) (|features|^2 + 1); (n,).

    One forward pass. It needs no label: the Gauss-Newton matrix of cross-entropy is its Fisher matrix
    (Martens 2020, section 9).
    """
    p = logits.softmax(1)
    return (p * (1 - p)).clamp(min=0).sum(1) * (features.square().sum(1) + 1)


def el2n(logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:
    """Norm of the last layer's per-example gradient, |p - y| sqrt(|features|^2 + 1) (after Paul et al. 2021); (n,)."""
    error = logits.softmax(1)
    error[torch.arange(len(targets)), targets] -= 1
    return error.norm(dim=1) * (features.square().sum(1) + 1).sqrt()


def uniform(logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:
    """The same score for every example: random sampling; (n,)."""
    return torch.ones(len(targets), device=logits.device)


SCORES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ggn-trace": ggn_trace,
    "el2n": el2n,
    "uniform": uniform,
}


@torch.no_grad()
def score(name: str, logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:
    """A number >= 0 per example; (n,).

    Args:
        name: a key of SCORES.
        logits: (n, c), of the classes that the loss is over.
        targets: (n,), columns of `logits`.
        features: (n, f), what the last layer sees.

    Raises:
        InputError: an unknown score.
    """
    if name not in SCORES:
        raise InputError(f"unknown score {name!r}; choose from {', '.join(SCORES)}")
    return SCORES[name](logits.detach().clone(), targets, features)


def inclusion_probabilities(scores: Tensor, kept: int) -> Tensor:
    """Probability of each example to be among the `kept`, proportional to its score mixed with a uniform part; (n,).

    Where an example's share would exceed 1 it is kept for certain and the others share what is left, so that the
    probabilities sum to `kept`. They are float64 and on the CPU (MPS has no float64).
    """
    n, scores = len(scores), scores.cpu().double()
    total = scores.sum()
    even = torch.full_like(scores, 1 / n)
    share = even if total <= 0 else (1 - UNIFORM_SHARE) * scores / total + UNIFORM_SHARE * even
    certain = torch.zeros(n, dtype=torch.bool, device=scores.device)
    while True:
        left = kept - int(certain.sum())
        pi = torch.where(certain, 1.0, left * share / share[~certain].sum()) if left else certain.double()
        over = (pi > 1) & ~certain
        if not bool(over.any()):
            return pi.clamp(max=1)
        certain |= over


def systematic_sample(pi: Tensor, generator: torch.Generator) -> Tensor:
    """Indices drawn without replacement with inclusion probabilities `pi` (Madow 1949), ascending; (sum pi,).

    The order is shuffled first, so that neighbours in the data set are not tied to each other.
    """
    order = torch.randperm(len(pi), generator=generator)
    edges = pi[order].cumsum(0)
    kept = round(float(edges[-1]))
    points = torch.rand((), generator=generator, dtype=torch.float64) + torch.arange(kept, dtype=torch.float64)
    # Rounding may leave the last edge a hair below the last point.
    hit = torch.searchsorted(edges, points, right=True).clamp(max=len(pi) - 1)
    return order[hit].sort().values


def select(scores: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Which examples to keep, and the weight of each.

    `(weights * f[indices]).mean()` is an unbiased estimate of `f.mean()` for every f. Fraction 1 keeps all, with
    weight 1.

    Args:
        scores: (n,) numbers >= 0.
        fraction: kept share, in (0, 1].
        seed: the draw.

    Returns:
        indices (m,) int64 ascending and weights (m,) float32, on the device of `scores`.

    Raises:
        InputError: a fraction outside (0, 1], or scores that are negative or not finite.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"fraction {fraction!r} will not do; choose a number in (0, 1]")
    if not bool(torch.isfinite(scores).all()) or bool((scores < 0).any()):
        raise InputError("scores must be finite and not negative; the network may have diverged")
    kept = max(1, round(fraction * len(scores)))
    pi = inclusion_probabilities(scores, kept)
    indices = systematic_sample(pi, seeds.torch_generator(seed, "select"))
    weights = kept / (len(scores) * pi[indices])
    return indices.to(scores.device), weights.float().to(scores.device)


def second_moment_ratio(norms: Tensor, pi: Tensor) -> float:
    """Second moment of the mean gradient's estimate under `pi`, over that of random selection of as many.

    sum(g^2 / pi) / (n sum(g^2) / k), with g the gradient norms (n,), pi their probabilities and k = sum(pi). Below 1
    the selection pays; 1 where all norms are equal.
    """
    squares = norms.cpu().double().square()
    if float(squares.sum()) == 0:
        return 1.0
    return float((squares / pi).sum() / (len(norms) * squares.sum() / pi.sum()))
