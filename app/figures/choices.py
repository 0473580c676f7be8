"""What choosing well is worth: saliencies, or allocations, beside each other over the level."""

from collections.abc import Mapping

import numpy as np

from app.cuts import Comparison
from app.drawing import Drawing, Panel
from app.figures import palette
from app.figures.sparsity import level_axis, level_name, squeeze
from app.language import marked, text
from app.scale import Scale
from app.wording import number, percent

LOOKS = {  # name -> (as it is written, look, dash)
    "second-order": (marked("second order"), "esacl", ""),
    "magnitude": (marked("magnitude"), "warm", "dash"),
    "taylor": (marked("Taylor"), "green", "dot-dash"),
    "random": (marked("random"), "dense", "dotted"),
    "global": (marked("global"), "esacl", ""),
    "erk": (marked("ERK"), "purple", "dash"),
    "uniform": (marked("uniform"), "pink", "dot-dash"),
    "2:4": (palette.STRUCTURES["2:4"], "green", "dotted"),
    "neuron": (palette.STRUCTURES["neuron"], "warm", "dash"),
}
KINDS = {"saliencies": marked("Saliencies"), "allocations": marked("Allocations")}
MEASURES = ("accuracy", "rise")


def written(name: str) -> str:
    """A saliency or an allocation as the reader reads it."""
    return text(LOOKS[name][0]) if name in LOOKS else name


def drawings(
    compared: Comparison, what: str, fixed: str, own: str, levels: np.ndarray, index: int, target: float
) -> list[Drawing]:
    """Mean accuracy and loss rise of every saliency (or allocation), the others' being `fixed`.

    Args:
        compared: what was recorded.
        what: a key of KINDS.
        fixed: the allocation of all saliencies, or the saliency of all allocations.
        own: that of the run among what is compared.
        levels: of the slider that the marks follow.
        index: where it stands.
        target: the run's own sparsity.
    """
    lines = compared.lines(what, fixed)
    # The slider may have other levels than the comparison: marks then stand at the nearest.
    nearest = [int(np.argmin(np.abs(compared.levels - level))) for level in levels]
    return [_drawing(compared, lines, place, nearest, index, target, own) for place in range(len(MEASURES))]


def _drawing(
    compared: Comparison,
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    place: int,
    nearest: list[int],
    index: int,
    target: float,
    own: str,
) -> Drawing:
    values = {name: pair[place] for name, pair in lines.items()}
    scale, ticks = level_axis(compared.levels)
    accuracy = MEASURES[place] == "accuracy"
    every = np.concatenate(list(values.values()))
    lowest, highest = float(np.nanmin(every)), float(np.nanmax(every))
    room = 0.04 * max(highest - lowest, 1e-6)
    label = text("mean accuracy, tasks seen so far") if accuracy else text("rise of the loss, whole pool, nats")
    panel = Panel(
        scale,
        Scale(max(0.0, lowest - 0.03), 1.01) if accuracy else Scale(lowest - room, highest + room),
        text("weights removed, %"),
        label,
        alt="",
        right=112,
        x_ticks=ticks,
        x_format=level_name,
        y_format=(lambda v: percent(v, 0)) if accuracy else number,
    )
    xs = squeeze(compared.levels)
    panel.rule(x=float(squeeze([target])[0]), look="axis dotted")
    marks = xs[nearest]
    panel.rule(x=float(marks[index]), look="cursor", frames=marks)
    ends = []
    for name, found in values.items():
        _, look, dash = LOOKS.get(name, ("", "joint", "dotted"))
        named = written(name) + (" ●" if name == own else "")
        panel.line(xs, found, f"{look} {dash}" + ("" if name == own else " thin"))
        tips = [f"{written(name)}, {percent(float(compared.levels[i]))}: {_said(found[i], accuracy)}" for i in nearest]
        panel.follow(marks, found[nearest], look, index, tips=tips)
        ends.append((float(found[-1]), named, look, None))
    panel.labels(ends)
    here = nearest[index]
    said = ", ".join(f"{written(name)} {_said(found[here], accuracy)}" for name, found in values.items())
    panel.alt = f"{label}, {percent(float(compared.levels[here]))}: {said}."
    return panel.drawing()


def _said(value: float, accuracy: bool) -> str:
    return percent(float(value)) if accuracy else number(float(value))
