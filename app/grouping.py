"""The finished runs of a list in groups that differ in their seed alone, kept until one of the runs changes."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from app import comparison, reading
from app.comparison import Group
from app.reading import Entry
from esacl.errors import InputError

AT_ONCE = 12  # groups that one figure can hold, and nobody could tell more apart
TOLD_EVERY = 20  # runs that are read for the first time


@dataclass(frozen=True)
class Grouped:
    """Groups of runs, with what was left out of them."""

    groups: tuple[Group, ...]
    refused: tuple[str, ...]  # why a run could not be read, one each
    key: Hashable  # another where a run has changed


def grouped(found: Sequence[Entry], tell: Callable[[int, int], None] | None = None) -> Grouped:
    """The groups of the finished ones of these runs.

    Args:
        found: Runs that answer one question: of one benchmark, scenario and length.
        tell: Called with how many of how many are read, while many are read that were not before.
    """
    finished = [entry for entry in found if entry.status.state == "finished"]
    keys = reading.summary_keys(finished)

    def make() -> Grouped:
        read, refused, fresh = [], [], 0
        for place, (entry, key) in enumerate(zip(finished, keys)):
            fresh += not reading.has_summary(key)
            if tell is not None and fresh and fresh % TOLD_EVERY == 0:
                tell(place, len(finished))
            try:
                read.append(reading.summary(entry))
            except InputError as error:
                refused.append(str(error))
        return Grouped(tuple(comparison.groups(read)), tuple(refused), keys)

    return reading.once(make, "groups", (), keys)


def to_begin_with(found: Sequence[Group], run_id: str, most: int = AT_ONCE) -> list[Group]:
    """Which of many groups to show until somebody chooses, in their own order.

    The one with the run `run_id`, then the newest of each method, then the newest.
    """
    newest = sorted(found, key=lambda group: max(group.row["runs"]), reverse=True)
    first_of = {group.method: group for group in reversed(newest)}
    wanted = sorted(newest, key=lambda group: (run_id not in group.row["runs"], first_of[group.method] is not group))
    chosen = {group.row["identity"] for group in wanted[:most]}
    return [group for group in found if group.row["identity"] in chosen]
