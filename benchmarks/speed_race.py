"""Contenders in turn: each round runs all of them once, so that what disturbs the machine disturbs all."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Record = dict[str, Any]


def race(contenders: Mapping[str, Callable[[int], Any]], rounds: int) -> dict[str, Record]:
    """For each contender: `results`, `cpu` and `wall` seconds of each round; it is called with the round's number.

    Ratios are of CPU seconds of this process, which runs on one thread: other work on the machine stretches the wall
    clock, and this one hardly.
    """
    found: dict[str, Record] = {name: {"results": [], "cpu": [], "wall": []} for name in contenders}
    for number in range(rounds):
        for name, work in contenders.items():
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            result = work(number)
            found[name]["cpu"].append(time.process_time() - cpu)
            found[name]["wall"].append(time.perf_counter() - wall)
            found[name]["results"].append(result)
    return found


def ratio(others: list[float], ours: list[float]) -> Record:
    """Median, smallest and largest over the rounds of other / ours."""
    each = [other / own for other, own in zip(others, ours, strict=True)]
    return {"median": statistics.median(each), "low": min(each), "high": max(each), "n": len(each)}
