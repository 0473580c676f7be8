"""A sweep as a TOML file: common settings, and lists of values that make a run of each combination.

    seeds = [0, 1, 2]                 # optional; every combination once for each

    [common]
    benchmark = "split-digits"

    [grid]                            # the product of its lists
    method = ["esacl", "finetune"]
    sparsity = [0.9, 0.95]

    [[run]]                           # and these; a list in here is a grid of its own
    method = "ewc"
    sparsity = 0.0
    lr = [0.03, 0.1]

Keys are those of `esacl run --set`, a table for a section or a key with a dot; what a grid or a run gives wins over
[common]. All of it is validated before anything starts.
"""

import itertools
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esacl import strict_toml
from esacl.config import RunConfig, read_config
from esacl.errors import InputError

MOST_RUNS = 2_000
MOST_BYTES = 2**20
_TOP = ("seeds", "common", "grid", "run")
Settings = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One run of a sweep. `label` tells it from the others: the settings that are its own."""

    label: str
    config: RunConfig

    @property
    def key(self) -> str:
        """The same for rows that compute the same numbers, and for no others."""
        return self.config.digest


@dataclass(frozen=True)
class Sweep:
    """A whole sweep. `folded`: pairs of labels, a row that is left out and the earlier one that computes the same."""

    name: str
    path: Path
    rows: tuple[Row, ...]
    folded: tuple[tuple[str, str], ...] = ()


def read_spec(path: Path) -> Sweep:
    """The sweep of a TOML file; its stem is the sweep's name.

    Raises:
        InputError: an unreadable file, an unknown key, a setting that a run refuses (the row is named), too many runs.
    """
    try:
        return _sweep(path, _read_toml(path))
    except RecursionError:
        raise InputError(f"{path} is nested too deeply; this is no sweep") from None


def _sweep(path: Path, table: dict[str, Any]) -> Sweep:
    if odd := sorted(table.keys() - set(_TOP)):
        raise InputError(f"{path}: unknown key {odd[0]!r}; choose from {', '.join(_TOP)}")
    common = _dotted(path, "common", _table(path, table, "common"))
    if lists := [key for key, value in common.items() if isinstance(value, list)]:
        raise InputError(f"{path}: common.{lists[0]} is a list; put it in [grid] to have a run of each")
    grids = _grids(path, table)
    seeds = _seeds(path, table, [common, *(grid for _, grid in grids)])
    count = len(seeds) * sum(math.prod(len(values) for values in grid.values()) for _, grid in grids)
    if count > MOST_RUNS:
        raise InputError(f"{path} makes {count} runs; at most {MOST_RUNS}: write several files")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem)[:64] or "sweep"
    found = [
        Row(label, _config(path, label, {"name": name} | common | settings))
        for label, settings in _combinations(path, grids, seeds)
    ]
    rows, folded = _once_each(found)
    return Sweep(name, path, rows, folded)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES} bytes; this is no sweep")
        return strict_toml.decode(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the name") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    except InputError:
        raise
    except (RecursionError, ValueError):
        raise InputError(f"{path} is nested too deeply, or a number too long; this is no sweep") from None


def _table(path: Path, table: dict[str, Any], key: str) -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise InputError(f"{path}: {key!r} is no table; write [{key}] and its settings below it")
    return found


def _grids(path: Path, table: dict[str, Any]) -> list[tuple[str, dict[str, list[Any]]]]:
    """The place of each grid in the file, and its settings with their values."""
    runs = table.get("run", [])
    if not isinstance(runs, list) or not all(isinstance(one, dict) for one in runs):
        raise InputError(f"{path}: 'run' is no list of tables; write [[run]] and its settings below it")
    places = [("grid", _table(path, table, "grid"))] if "grid" in table else []
    places += [(f"run {number}", one) for number, one in enumerate(runs, 1)]
    if not places:
        raise InputError(f"{path} has neither a [grid] nor a [[run]]; a [grid] with method = [...] is a beginning")
    found = []
    for place, settings in places:
        given = _dotted(path, place, settings)
        grid = {key: value if isinstance(value, list) else [value] for key, value in given.items()}
        if empty := [key for key, values in grid.items() if not values]:
            raise InputError(f"{path}, {place}: {empty[0]} has no values; give it one, or leave it out")
        found.append((place, grid))
    if not _dotted(path, "common", _table(path, table, "common")):
        for place, grid in found:  # a run of the defaults may stand beside others, but who writes [grid] wants a grid
            if not grid and (place == "grid" or not any(others for _, others in found)):
                raise InputError(
                    f"{path}, {place}: has no settings, so it would be a run of the defaults; give it some, as "
                    "method = [...], or leave it out"
                )
    return found


def _dotted(path: Path, place: str, settings: Settings) -> Settings:
    """The settings of a table under dotted names; TOML takes `sdp.form` and `"sdp.form"` for two keys, a run does not.

    Raises:
        InputError: one is given twice.
    """
    found: Settings = {}
    for key, value in _flat(settings):
        if key in found:
            raise InputError(
                f"{path}, {place}: {key} is given twice, as one key with a dot and in a table; leave one of them out"
            )
        found[key] = value
    return found


def _flat(settings: Settings, before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _seeds(path: Path, table: dict[str, Any], settings: list[dict[str, Any]]) -> list[Settings]:
    if "seeds" not in table:
        return [{}]
    seeds = table["seeds"]
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise InputError(f"{path}: seeds = {seeds!r:.40} will not do; write a list of whole numbers, as [0, 1, 2]")
    if any("seed" in one for one in settings):
        raise InputError(f"{path} gives both seeds and seed; leave one of them out")
    return [{"seed": seed} for seed in seeds]


def _combinations(
    path: Path, grids: list[tuple[str, dict[str, list[Any]]]], seeds: list[Settings]
) -> Iterator[tuple[str, Settings]]:
    # Seeds outermost: what is cut short has every combination with the first seeds, not some with all.
    for seed in seeds:
        for place, grid in grids:
            for values in itertools.product(*grid.values()):
                # A list may hold tables: what they give is not to replace the rest of their section in [common].
                settings = _dotted(path, place, dict(zip(grid, values))) | seed
                yield ", ".join(f"{key}={value}" for key, value in settings.items()) or place, settings


def _config(path: Path, label: str, settings: Settings) -> RunConfig:
    try:
        return read_config(None, settings)
    except InputError as error:
        raise InputError(f"{path}, row {label[:200]}: {error}") from None
    except (RecursionError, ValueError):
        raise InputError(f"{path}, row {label[:200]}: nested too deeply, or a number too long") from None


def _once_each(rows: list[Row]) -> tuple[tuple[Row, ...], tuple[tuple[str, str], ...]]:
    first: dict[str, Row] = {}
    folded = [(row.label, first[row.key].label) for row in rows if first.setdefault(row.key, row) is not row]
    return tuple(first.values()), tuple(folded)
