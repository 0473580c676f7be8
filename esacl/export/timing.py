"""How long several ways to the same answer take, so that none has an advantage by its place among them."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Answer = Callable[[np.ndarray], Any]


def in_turns(engines: Mapping[str, Answer], batch: np.ndarray, turn: int) -> list[float]:
    """Seconds that each engine takes for the batch, in the order of `engines`.

    Each is asked twice and the second answer counts: the first one pays for the caches that another engine, or another
    batch, has left. Who begins is another one in every round.

    Args:
        engines: name -> what takes the batch and answers.
        batch: inputs (n, ...).
        turn: the number of the round.
    """
    names, seconds = list(engines), dict.fromkeys(engines, 0.0)
    first = turn % len(names)
    for name in names[first:] + names[:first]:
        engines[name](batch)
        start = time.perf_counter()
        engines[name](batch)
        seconds[name] = time.perf_counter() - start
    return list(seconds.values())
