"""What happened inside one task: what a run told of its steps, of the mask that moved, and of the cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app import frames
from app.language import marked, text
from app.wording import number, whole
from esacl.events import Event, Pruned, RunStarted, SharpnessEstimated, Stepped

MOST = 240  # looks at a task that a slider still steps through with ease
PLAY = 110  # milliseconds a look
COLUMNS = dict.fromkeys(
    ("loss", "learning_rate", "ramp", "density", "doomed_share", "selection_ratio"), float
) | {"step": int, "epoch": int}  # of `Stepped`; what was not measured is NaN
SHARPNESS = ("lambda_max", "curvature_term")  # of `SharpnessEstimated`, in the look that comes with it; elsewhere NaN
STORY = marked(
    "Every few steps the mask of today is drawn anew: the weights that would survive a cut now. The weights outside it "
    "are pulled towards zero, more and more strongly, on a **ramp**; weights may still come and go, and every time one "
    "does the mask **flips**. By the time of the cut the mask should be at rest, and the weights that go should hold "
    "almost nothing of $|\\theta|^2$: then the cut is a short step. Step through the task, or let it play."
)
OTHER_STORY = marked(
    "Step through the task, or let it play. What a figure shows of the mask is the one that the method trains under; "
    "a method that is cut only once has none before, and only the weights that a cut would take now are followed."
)
ONCE = marked(
    "The eigenvalues are measured once a task: at its cut, or at its end where nothing is cut. This run did not tell "
    "its sharpness while it trained; a run that does shows it over the steps, in the figures above."
)


@dataclass(frozen=True)
class Inside:
    """One task while it was learned."""

    looks: pd.DataFrame  # one row a look: step, epoch, loss, learning_rate, ramp, density, changed, doomed_share, ...
    layers: pd.DataFrame | None  # density of each layer at each look; None where the run told none
    steps: int
    prunable: int
    cut: int | None  # row of the first look after the cut; None: it came after the last, or never
    pruned: Pruned | None
    at_cut: Mapping[str, float]  # layer -> its density in the mask of the cut; empty where it is not known

    @property
    def moves(self) -> bool:
        """Whether there was a mask that could move."""
        return bool(self.looks["changed"].notna().any())

    @property
    def masked(self) -> bool:
        """Whether a mask takes weights away, at a look or in the cut."""
        return self.pruned is not None or bool((self.looks["density"] < 1).any())

    @property
    def names(self) -> list[str]:
        """Each look as the slider calls it."""
        return [
            text("%(step)s of %(steps)s · epoch %(epoch)d", step=whole(step), steps=whole(self.steps), epoch=epoch + 1)
            for step, epoch in zip(self.looks["step"], self.looks["epoch"])
        ]


def inside(
    events: Sequence[Event], task: int, at_cut: Mapping[str, float] | None = None, layers: Sequence[str] = ()
) -> Inside | None:
    """What a run told of a task; None where it told nothing of its steps.

    Args:
        events: of the run.
        task: 0-based.
        at_cut: each layer's density in the mask of the cut, in the run's order.
        layers: their names, in that order; where none are given, those of `at_cut`.
    """
    prunable = next((event.prunable for event in events if isinstance(event, RunStarted)), 0)
    steps = [event for event in events if isinstance(event, Stepped) and event.task == task]
    if not steps:
        return None
    cut = _looks_before_cut(events, task)
    shown = _thinned(len(steps))
    steps_shown = [steps[i] for i in shown]
    looks = pd.DataFrame(
        {name: np.array([getattr(event, name) for event in steps_shown], dtype=kind) for name, kind in COLUMNS.items()}
    )
    looks["changed"] = _changed(steps, prunable)[shown]
    looks[list(SHARPNESS)] = _sharpness(events, task, looks["step"].to_numpy())
    return Inside(
        looks=looks,
        layers=_layers(steps_shown, layers or tuple(at_cut or ())),
        steps=steps[-1].steps,
        prunable=prunable,
        cut=next((row for row, i in enumerate(shown) if cut is not None and i >= cut), None),
        pruned=next((event for event in events if isinstance(event, Pruned) and event.task == task), None),
        at_cut=at_cut or {},
    )


def at_cut(arrays: Mapping[str, np.ndarray] | None, target: float) -> dict[str, float]:
    """Each layer's density in a cut to `target`, from the sparsity curve of the task; empty where it lacks that."""
    if arrays is None or target == 0:
        return {}
    densities = frames.layer_densities(arrays)
    levels = densities.index.to_numpy(dtype=float)
    row = int(np.argmin(np.abs(levels - target)))
    if abs(levels[row] - target) >= 1e-6:
        return {}
    return {str(name): float(value) for name, value in densities.iloc[row].items()}


def others(events: Sequence[Event], tasks: int, task: int) -> dict[int, pd.DataFrame]:
    """The other tasks of the run -> their looks, with `share`: how much of the task was over by then."""
    found = {other: inside(events, other) for other in range(tasks) if other != task}
    return {
        other: one.looks.assign(share=one.looks["step"] / one.steps) for other, one in found.items() if one is not None
    }


def cut_said(cut: Pruned) -> str:
    """How far a cut moved the weights, and what that did to the loss, in a sentence."""
    return text(
        "At the cut of task %(task)d the weights moved by $|d|$ = %(length)s, where $|\\theta|$ = %(norm)s; the loss "
        "%(change)s, and the second-order picture of the dense point said %(taylor)s.",
        task=cut.task + 1,
        length=number(cut.displacement_norm),
        norm=number(cut.network_norm),
        change=text("rose by %(by)s nats", by=number(cut.actual_rise))
        if cut.actual_rise >= 0
        else text("fell by %(by)s nats", by=number(-cut.actual_rise)),
        taylor=number(cut.taylor),
    )


def _looks_before_cut(events: Sequence[Event], task: int) -> int | None:
    seen = 0
    for event in events:
        if isinstance(event, Stepped) and event.task == task:
            seen += 1
        elif isinstance(event, Pruned) and event.task == task:
            return seen
    return None


def _sharpness(events: Sequence[Event], task: int, steps: np.ndarray) -> np.ndarray:
    """What was estimated of the sharpness, (looks, 2), each at the first look that is not before it."""
    found = np.full((len(steps), len(SHARPNESS)), np.nan)
    for event in events:
        if isinstance(event, SharpnessEstimated) and event.task == task and event.step <= steps[-1]:
            found[np.searchsorted(steps, event.step)] = [getattr(event, name) for name in SHARPNESS]
    return found


def _thinned(count: int) -> list[int]:
    every = -(-count // MOST)
    rows = list(range(0, count, every))
    return rows if rows[-1] == count - 1 else [*rows, count - 1]


def _changed(steps: Sequence[Stepped], prunable: int) -> np.ndarray:
    """Share of the mask that its last update changed; NaN without a mask, and at the first mask of a task.

    That one replaces "everything": what it removes has not been kept by a mask before.
    """
    shares = np.array([event.flips / prunable if prunable else np.nan for event in steps])
    shares[[event.density == 1 for event in steps]] = np.nan
    first = steps[0]
    if abs(first.flips - (1 - first.density) * prunable) <= 1:
        for row, event in enumerate(steps):
            if event.flips != first.flips:
                break
            shares[row] = np.nan
    return shares


def _layers(steps: Sequence[Stepped], names: Sequence[str]) -> pd.DataFrame | None:
    rows = [event.layer_density for event in steps if event.layer_density is not None]
    if len(rows) != len(steps) or len({len(row) for row in rows}) != 1 or not rows[0]:
        return None
    columns = list(names) if len(names) == len(rows[0]) else [str(i + 1) for i in range(len(rows[0]))]
    return pd.DataFrame(rows, columns=columns)
