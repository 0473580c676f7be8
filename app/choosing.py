"""A mean over a pool, estimated from a few of it: by the highest scores, by random ones, by IDS.

The mean is that of the score itself, which every run records for each instance of its pool; under the score
`ggn-trace` it is the trace of the last layer's Gauss-Newton matrix.
"""

from dataclasses import dataclass

import numpy as np

UNIFORM_SHARE = 0.25  # of `esacl.selection`, which needs torch
SHARES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.7, 1.0)
DRAWS = 32


@dataclass(frozen=True)
class Estimates:
    """What each way of choosing makes of the mean, over the truth; one entry a number of instances."""

    kept: np.ndarray  # (k,) how many instances
    highest: np.ndarray  # (k,) the highest scores, unweighted: always the same ones
    random_sd: np.ndarray  # (k,) of a random choice, whose mean is right
    weighted: np.ndarray  # (k,) IDS, mean over DRAWS
    weighted_sd: np.ndarray  # (k,)


def inclusion(scores: np.ndarray, kept: int) -> np.ndarray:
    """Probability of each instance to be among the `kept`, as `esacl.selection.inclusion_probabilities`; (n,)."""
    n, total = len(scores), float(scores.sum())
    share = np.full(n, 1 / n) if total <= 0 else (1 - UNIFORM_SHARE) * scores / total + UNIFORM_SHARE / n
    certain = np.zeros(n, dtype=bool)
    while True:
        left = kept - int(certain.sum())
        free = share[~certain].sum()
        pi = np.where(certain, 1.0, left * share / free if left and free > 0 else 0.0)
        over = (pi > 1) & ~certain
        if not over.any():
            return np.minimum(pi, 1.0)
        certain |= over


def estimates(scores: np.ndarray, seed: int = 0) -> Estimates | None:
    """The mean of `scores` (n,) from a few of them, over the truth; None where there is nothing to estimate."""
    scores = np.asarray(scores, dtype=float)
    n, mean = len(scores), float(scores.mean()) if len(scores) else 0.0
    if n < 10 or mean <= 0:
        return None
    kept = np.unique(np.clip(np.round(np.array(SHARES) * n), 2, n).astype(int))
    ordered = np.sort(scores)[::-1]
    rng = np.random.default_rng(seed)
    weighted = np.array([_weighted(scores, int(k), rng) for k in kept]) / mean  # (k, draws)
    return Estimates(
        kept=kept,
        highest=np.cumsum(ordered)[kept - 1] / kept / mean,
        random_sd=np.sqrt((1 - kept / n) / kept) * scores.std(ddof=1) / mean,
        weighted=weighted.mean(axis=1),
        weighted_sd=weighted.std(axis=1, ddof=1),
    )


def _weighted(scores: np.ndarray, kept: int, rng: np.random.Generator) -> np.ndarray:
    """Horvitz and Thompson's estimate of the mean from DRAWS systematic samples (Madow 1949), (draws,)."""
    pi = inclusion(scores, kept)
    order = np.argsort(rng.random((DRAWS, len(scores))), axis=1)
    edges = np.cumsum(pi[order], axis=1) + rng.random((DRAWS, 1))
    taken = np.diff(np.floor(edges), axis=1, prepend=0.0) > 0
    worth = np.divide(scores, pi, out=np.zeros_like(scores), where=pi > 0)
    return np.asarray((worth[order] * taken).sum(axis=1) / len(scores))
