"""A pool's features on the plane: by principal components, and by t-SNE, which keeps neighbours together."""

import warnings

import numpy as np
from threadpoolctl import threadpool_limits

FEWEST = 8  # instances that have neighbours to speak of
MOST = 1000  # instances; t-SNE takes about a millisecond a step for them
STEPS = 350
PERPLEXITY = 30.0
NEIGHBOURS = 10


def principal(features: np.ndarray) -> np.ndarray:
    """First two principal components of the features (n, f), each with a fixed sign; (n, 2)."""
    u, s, _ = np.linalg.svd(features - features.mean(0), full_matrices=False)
    found = np.zeros((len(features), 2))
    wide = min(2, len(s))
    found[:, :wide] = u[:, :wide] * s[:wide]
    largest = found[np.abs(found).argmax(0), [0, 1]]
    return found * np.where(largest < 0, -1.0, 1.0)


def neighbourly(features: np.ndarray, start: np.ndarray, seed: int) -> np.ndarray | None:
    """t-SNE of the features (van der Maaten & Hinton 2008), from `start`, their principal components; (n, 2).

    None where there are fewer than `FEWEST` instances, or where all are the same. With one thread the sum over pairs
    has one order, so the same features give the same map on any number of cores.
    """
    n, spread = len(features), float(start[:, 0].std())
    if n < FEWEST or spread == 0:
        return None
    from sklearn.manifold import TSNE  # 0.3 s that only a map has to wait for

    begin = (start / spread * 1e-4).astype(np.float32)
    tsne = TSNE(2, init=begin, perplexity=min(PERPLEXITY, (n - 1) / 3), max_iter=STEPS, random_state=seed, n_jobs=1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what converged too little, `trust` says how much
        found = tsne.fit_transform(features.astype(np.float32)).astype(np.float64)
    return found if np.isfinite(found).all() else None


def trust(features: np.ndarray, map_: np.ndarray) -> float:
    """Trustworthiness in [0, 1] (Venna & Kaski 2001): 1 where neighbours on the map are neighbours in the features."""
    from sklearn.manifold import trustworthiness

    nearest = min(NEIGHBOURS, max(1, (len(features) - 1) // 2))
    with threadpool_limits(1):
        return float(trustworthiness(features, map_, n_neighbors=nearest))
