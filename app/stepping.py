"""The drawings of all steps of a slider as one drawing, whose marks carry what changes from step to step."""

from collections.abc import Sequence
from typing import Any

from app.drawing import Drawing, Mark

_BESIDE = ("tip", "text", "hue", "share")  # what a mark has beside its attributes


def merged(drawings: Sequence[Drawing]) -> Drawing:
    """One drawing that shows `drawings[index]` at step `index`.

    Raises:
        ValueError: they do not have the same marks in the same order.
    """
    first = drawings[0]
    if len({len(drawing["marks"]) for drawing in drawings}) != 1:
        raise ValueError("the drawings of the steps differ in their number of marks")
    marks = [_merged(together) for together in zip(*(drawing["marks"] for drawing in drawings))]
    return {**first, "marks": marks, "alts": [drawing["alt"] for drawing in drawings]}


def _merged(marks: Sequence[Mark]) -> Mark:
    first = marks[0]
    if any(mark["tag"] != first["tag"] for mark in marks):
        raise ValueError("the drawings of the steps differ in the order of their marks")
    frames: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for mark in marks for name in mark["at"]):
        values = [mark["at"].get(name) for mark in marks]
        if any(value != values[0] for value in values):
            frames[name] = values
    for name in _BESIDE:
        values = [mark.get(name) for mark in marks]
        if any(value != values[0] for value in values):
            frames[name] = ["" if value is None else value for value in values]
    return {**first, "frames": frames} if frames else first
