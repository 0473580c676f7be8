"""A comparison as a TOML file: common settings, and named rows of settings.

    title = "..."
    seeds = [0, 1, 2]
    reference = "ewc"              # optional: a column with the paired difference to this row
    tuned = "results/tune-x.toml"  # optional, or a list: where `tuned = NAME` of a row finds its settings

    [common]
    benchmark = "split-digits"

    [[row]]
    name = "esacl"
    method = "esacl"
    each = { sparsity = [0.9, 0.95] }                      # one row for each combination
    grid = { lr = [0.05, 0.1], "anchor.strength" = [1, 3] }  # for tuning only: the trials of this row; a list of
                                                           # such grids: the trials of one after another
    tuned = "ewc"                                          # settings that tuning chose under this name

Keys are those of `esacl run --set`. What only looks at a run is off, so that what is timed is the method.
"""

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esacl.config import RunConfig, dotted, read_config
from esacl.errors import InputError

Settings = dict[str, Any]

OFF: Settings = {
    "curvature.top": 0, "curvature.levels": 0, "curvature.grid": 0, "curvature.examples": 64, "threads": 1,
    "device": "cpu",
}  # fmt: skip
_TOP = {"title", "note", "seeds", "reference", "tuned", "evaluation", "common", "row"}
_OF_A_ROW = {"name", "each", "grid", "tuned"}


@dataclass(frozen=True)
class Row:
    """One line of a table: dotted settings, and for tuning the settings of each trial.

    `stem` is the name in the file, `name` has what `each` varies added.
    """

    stem: str
    name: str
    settings: Settings
    trials: tuple[Settings, ...]

    def config(self, seed: int, evaluation: str, trial: Settings | None = None) -> RunConfig:
        """The config of one run.

        Raises:
            InputError: a setting that RunConfig refuses; the row is named.
        """
        settings = OFF | self.settings | (trial or {}) | {"seed": seed, "evaluation": evaluation}
        try:
            return read_config(None, settings)
        except InputError as error:
            raise InputError(f"row {self.name!r}: {error}") from None


@dataclass(frozen=True)
class Spec:
    """A whole comparison."""

    name: str
    title: str
    note: str
    seeds: tuple[int, ...]
    reference: str | None
    evaluation: str
    rows: tuple[Row, ...]

    def partner(self, row: Row) -> str | None:
        """The row that `row` is compared with: the reference, where it varies in the same way the same variant."""
        if self.reference is None:
            return None
        names = {other.name for other in self.rows}
        variant = self.reference + row.name.removeprefix(row.stem)
        found = variant if variant in names else self.reference
        return found if found in names and found != row.name else None


def read_spec(path: Path, chosen: Mapping[str, Settings] | None = None) -> Spec:
    """The comparison of a TOML file.

    Args:
        path: the file; its stem names the results.
        chosen: settings that tuning chose, by name; None reads the file that `tuned` names.

    Raises:
        InputError: an unreadable file, an unknown or missing key, a name that occurs twice, tuning not done.
    """
    table = read_toml(path)
    if odd := sorted(table.keys() - _TOP):
        raise InputError(f"{path}: unknown key {odd[0]!r}; choose from {', '.join(sorted(_TOP))}")
    common = dotted(table.get("common", {}))
    if chosen is None:
        chosen = _chosen(path, table) if any("tuned" in row for row in table.get("row", [])) else {}
    rows = tuple(itertools.chain.from_iterable(_rows(path, row, common, chosen) for row in table.get("row", [])))
    names = [row.name for row in rows]
    if not rows:
        raise InputError(f"{path} has no [[row]]")
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{path}: two rows are named {twice[0]!r}")
    reference = table.get("reference")
    stems = list(dict.fromkeys(row.stem for row in rows))
    if reference is not None and reference not in {*names, *stems}:
        raise InputError(f"{path}: reference {reference!r} is no row; choose from {', '.join(stems)}")
    return Spec(
        name=path.stem,
        title=table.get("title", path.stem),
        note=table.get("note", "").strip(),
        seeds=tuple(table.get("seeds", (0, 1, 2))),
        reference=reference,
        evaluation=table.get("evaluation", "test"),
        rows=rows,
    )


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the name") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None


def _chosen(path: Path, table: dict[str, Any]) -> dict[str, Settings]:
    if "tuned" not in table:
        raise InputError(f"{path}: a row asks for tuned settings; name the file that holds them by `tuned`")
    named: str | list[str] = table["tuned"]
    found: dict[str, Settings] = {}
    for where in (path.parent / name for name in ([named] if isinstance(named, str) else named)):
        if not where.exists():
            raise InputError(f"{where} is not there; make it with `python -m benchmarks.tune`")
        chosen = {name: dotted(settings) for name, settings in read_toml(where).items()}
        if twice := sorted(found.keys() & chosen.keys()):
            raise InputError(f"{path}: {twice[0]!r} was tuned in two of the files that `tuned` names; rename one")
        found |= chosen
    return found


def _rows(path: Path, row: dict[str, Any], common: Settings, chosen: Mapping[str, Settings]) -> Iterator[Row]:
    if "name" not in row:
        raise InputError(f"{path}: a [[row]] has no name")
    settings = common | dotted({key: value for key, value in row.items() if key not in _OF_A_ROW})
    if "tuned" in row:
        if row["tuned"] not in chosen:
            raise InputError(f"{path}: nothing was tuned under {row['tuned']!r}; there is {', '.join(chosen)}")
        settings |= chosen[row["tuned"]]
    grid = row.get("grid", {})
    trials = tuple(trial for one in (grid if isinstance(grid, list) else [grid]) for trial in _combinations(one))
    for each in _combinations(row.get("each", {})):
        name = ", ".join([row["name"], *(_label(key, value) for key, value in each.items())])
        yield Row(row["name"], name, settings | each, trials)


def _combinations(lists: dict[str, Any]) -> Iterator[Settings]:
    found = dotted(lists)
    for values in itertools.product(*(value if isinstance(value, list) else [value] for value in found.values())):
        yield dict(zip(found, values))


def _label(key: str, value: Any) -> str:
    if key == "sparsity":
        return f"{100 * value:g}%"
    return value if isinstance(value, str) else f"{key} {value}"
