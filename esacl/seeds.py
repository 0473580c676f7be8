"""Random numbers by purpose: each use derives its own generator from the run's seed, so no state must be kept."""

import hashlib

import numpy as np
import torch


def number(seed: int, *purpose: object) -> int:
    """A seed that depends on the seed and the purpose only, for what takes a number: sums would meet each other."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])


def torch_generator(seed: int, *purpose: object) -> torch.Generator:
    """A CPU generator that depends on the seed and the purpose only, e.g. `(seed, "batches", task, epoch)`."""
    return torch.Generator().manual_seed(number(seed, *purpose))


def numpy_generator(seed: int, *purpose: object) -> np.random.Generator:
    """The same for numpy."""
    return np.random.default_rng(number(seed, *purpose))
