"""A run at a glance: what a row of the gallery shows, read from the few lines that hold it."""

from collections.abc import Sequence
from dataclasses import dataclass

from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.events import CostCounted, Evaluated
from esacl.metrics import average_accuracy
from esacl.records import read_events_of
from esacl.store import RunStore
from esacl.summary import accuracy_matrix
from esacl.unpacking import ORIGIN


@dataclass(frozen=True)
class Glance:
    """What a run reached, and at what cost. Accuracies are fractions; None: not known (yet)."""

    so_far: tuple[float, ...] = ()  # average accuracy over the tasks learned, after each of them
    accuracy: float | None = None  # after all tasks
    flops: float | None = None
    imported: bool = False


def glance(store: RunStore, run_id: str, config: RunConfig | None) -> Glance:
    """Read what a row shows; of a run that cannot be read there is nothing to see."""
    if config is None:
        return Glance()
    try:
        folder = store.folder(run_id)
        evaluated = read_events_of(folder / "events.jsonl", Evaluated)
        counted = read_events_of(folder / "events.jsonl", CostCounted)
    except InputError:
        return Glance()
    rows = accuracy_matrix(evaluated, config.tasks)
    return Glance(
        so_far(rows),
        average_accuracy(rows) if len(rows) == config.tasks else None,
        counted[-1].train_flops if counted else None,
        (folder / ORIGIN).exists(),
    )


def so_far(rows: Sequence[Sequence[float | None]]) -> tuple[float, ...]:
    """The average accuracy over the tasks learned, after each of them, as far as it is known."""
    known = [[value for value in row[: place + 1] if value is not None] for place, row in enumerate(rows)]
    return tuple(sum(values) / len(values) for values in known if values)
