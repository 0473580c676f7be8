"""How long a step of training took by the clock, from what a run has measured about once a second.

A run tells how much of its time went into training steps. Older ones do not: of them only stretches count in which
nothing but training was going on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from esacl.events import CostCounted, Evaluated, Event, Pruned, Stepped, TaskFinished, TaskStarted

TRAINING = (Stepped, TaskStarted, TaskFinished, Evaluated, CostCounted)
LEAST = 50  # steps: of fewer no pace is told


@dataclass(frozen=True)
class Pace:
    """Steps, and the seconds that went into them."""

    steps: int
    seconds: float

    @property
    def milliseconds(self) -> float | None:
        """Of one step; None where too few were measured."""
        return 1000 * self.seconds / self.steps if self.steps >= LEAST else None


def paces(events: Sequence[Event], measured: Sequence[Mapping[str, Any]], *, one_cut: bool) -> tuple[Pace, Pace]:
    """(at dense weights, at sparse weights).

    `one_cut`: the run is cut once in each task, and its mask only tells until then what would go: a task is sparse once
    it was cut, and the next begins dense again. In other runs a mask that is there is applied: steps are sparse where
    its density is below 1. A stretch that holds steps of both kinds is left out.
    """
    phases = _phases(events, one_cut)
    found = [[0, 0.0], [0, 0.0]]
    start, clock = 0, 0.0
    trained: float | None = 0.0
    for entry in measured:
        end, now, training = int(entry["events"]), float(entry["seconds"]), entry.get("training_seconds")
        steps = {sparse: sum(done for kind, done in phases[start:end] if kind is sparse) for sparse in (False, True)}
        kinds = [sparse for sparse, done in steps.items() if done]
        told = None if training is None or trained is None else training - trained
        if len(kinds) == 1 and (told is not None or all(isinstance(event, TRAINING) for event in events[start:end])):
            found[kinds[0]][0] += steps[kinds[0]]
            found[kinds[0]][1] += now - clock if told is None else told
        start, clock, trained = end, now, training
    return tuple(Pace(int(steps), seconds) for steps, seconds in found)  # type: ignore[return-value]


def _phases(events: Sequence[Event], one_cut: bool) -> list[tuple[bool, int]]:
    """Of each event: whether the weights were sparse, and how many steps it reports since the one before."""
    found, sparse, task, step = [], False, -1, 0
    for event in events:
        done = 0
        if isinstance(event, TaskStarted):
            sparse = False
        elif isinstance(event, Pruned):
            sparse = True
        elif isinstance(event, Stepped):
            done = max(0, event.step - (step if event.task == task else 0))
            task, step = event.task, event.step
            sparse = sparse if one_cut else event.density < 1
        found.append((sparse, done))
    return found
