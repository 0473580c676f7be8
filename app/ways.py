"""What each way of choosing takes from a pool of instances, and where these lie: arrays -> frames. No streamlit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.frames import Arrays
from app.language import marked
from esacl.errors import RunUnreadable

ORDER = ("IDS", "random", "EL2N", "top-k")
LINEAR, NONLINEAR = marked("principal components"), marked("nonlinear map")  # names of maps


@dataclass(frozen=True)
class Way:
    """One draw of a way of choosing: how often each instance of the pool was taken (n,), and its weight (n,)."""

    name: str
    times: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Map:
    """Instances on the plane, (n,) each, NaN where one has no place; `trust`: how far its neighbours are neighbours."""

    name: str
    x: np.ndarray
    y: np.ndarray
    trust: float | None


def ways(arrays: Arrays) -> list[Way]:
    """What each way takes; of older recordings IDS, and the highest scores, which follow from what was recorded.

    Raises:
        RunUnreadable: positions outside the pool, or arrays that do not fit each other.
    """
    n = len(arrays["score"])
    if "way_names" not in arrays:
        kept = len(arrays["chosen"])
        top = np.argsort(-np.asarray(arrays["score"]), kind="stable")[:kept]
        return [_way("IDS", n, arrays["chosen"], arrays["weight"]), _way("top-k", n, top, np.ones(kept))]
    names = [str(name) for name in arrays["way_names"]]
    chosen, weight = np.asarray(arrays.get("way_chosen")), np.asarray(arrays.get("way_weight"))
    if chosen.ndim != 2 or chosen.shape != weight.shape or len(chosen) != len(names) or "IDS" not in names:
        raise _damaged("what each way of choosing takes has another shape")
    return [_way(name, n, *row) for name, *row in zip(names, chosen, weight)]


def _way(name: str, n: int, chosen: np.ndarray, weight: np.ndarray) -> Way:
    positions = np.asarray(chosen, dtype=int)
    if positions.size and not 0 <= positions.min() <= positions.max() < n:
        raise _damaged("positions outside the pool")
    times, weights = np.zeros(n, dtype=int), np.zeros(n)
    np.add.at(times, positions, 1)
    np.add.at(weights, positions, np.asarray(weight, dtype=float))
    return Way(name, times, weights)


def of_way(pool: pd.DataFrame, way: Way) -> pd.DataFrame:
    """The frame of the pool with what this way takes as the chosen ones."""
    return pool.assign(chosen=way.times > 0, times=way.times, weight=way.weight)


def maps(arrays: Arrays) -> list[Map]:
    """The principal components, and the nonlinear map where one was recorded.

    Raises:
        RunUnreadable: a map that does not fit the pool.
    """
    n = len(arrays["score"])
    trust = np.asarray(arrays["map_trust"]) if "map_trust" in arrays else np.array([np.nan, np.nan])
    found = []
    for place, (key, name) in enumerate((("embedding", LINEAR), ("map", _name(arrays)))):
        if key not in arrays:
            continue
        places = np.asarray(arrays[key], dtype=float)
        if places.shape != (n, 2) or trust.shape != (2,):
            raise _damaged(f"the map {name} has another shape")
        known = float(trust[place]) if np.isfinite(trust[place]) else None
        found.append(Map(name, places[:, 0], places[:, 1], known))
    return found


def _name(arrays: Arrays) -> str:
    return str(arrays["map_name"])[:20] if "map_name" in arrays else NONLINEAR


def errors(arrays: Arrays) -> np.ndarray | None:
    """The EL2N score of each instance, (n,); None where it was not recorded.

    Raises:
        RunUnreadable: another number of scores than instances.
    """
    if "el2n" not in arrays:
        return None
    found = np.asarray(arrays["el2n"], dtype=float)
    if found.shape != (len(arrays["score"]),):
        raise _damaged("there are not as many EL2N scores as instances")
    return found


def each_draw(arrays: Arrays) -> dict[str, np.ndarray]:
    """Way -> lambda_max of each of its draws; of older recordings nothing.

    Raises:
        RunUnreadable: other rows than names.
    """
    if "estimate_each" not in arrays:
        return {}
    drawn = np.asarray(arrays["estimate_each"], dtype=float)
    if drawn.ndim != 2 or len(drawn) != len(arrays.get("estimate_names", ())):
        raise _damaged("the estimates of each draw have another shape")
    return {str(name): row[np.isfinite(row)] for name, row in zip(arrays["estimate_names"], drawn)}


def _damaged(how: str) -> RunUnreadable:
    return RunUnreadable(f"the selection of this task is damaged ({how}); record the run again")
