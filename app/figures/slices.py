"""Slices through the loss along a line: the way of the cut, and random directions."""

from collections.abc import Iterable, Mapping

import numpy as np

from app.drawing import Drawing, Panel
from app.figures.planes import Plane
from app.language import marked, text
from app.scale import Scale, span
from app.wording import number

STARTS = {  # name in the array -> (as it is written, look, shape, dash)
    "random_dense": (marked("from dense"), "dense", "circle", "dash"),
    "random_pruned": (marked("from pruned"), "pruned", "diamond", ""),
}
QUANTITIES = {"loss": marked("loss, nats"), "accuracy": marked("accuracy")}
CHOICES = {"loss": marked("Loss"), "accuracy": marked("Accuracy")}


def quantities(arrays: Mapping[str, np.ndarray], planes: Iterable[Plane] = ()) -> dict[str, str]:
    """Which quantities the slices and planes hold: `{name: as it is written, marked}`."""
    found = {name for name in QUANTITIES if any(key.endswith(f"/{name}") and "plane" not in key for key in arrays)}
    found |= {name for name in QUANTITIES if any(getattr(plane, name) is not None for plane in planes)}
    return {name: CHOICES[name] for name in CHOICES if name in found} or {"loss": CHOICES["loss"]}


def along_pruning(
    arrays: Mapping[str, np.ndarray], quantity: str, *, width: float = 540, height: float = 310
) -> Drawing | None:
    """The straight way from the dense point (0) to the pruned one (1), and past it."""
    x, values = arrays.get("pruning/x"), arrays.get(f"pruning/{quantity}")
    if x is None or values is None or len(x) != len(values):
        return None
    panel = Panel(
        span(x, pad=0.0),
        _scale(quantity, values),
        text("pruning displacement"),
        text("%(quantity)s, along the cut", quantity=text(QUANTITIES[quantity])),
        alt="",
        width=width,
        height=height,
    )
    panel.line(x, values, "esacl")
    said = []
    for name, at, look, shape in (
        (text("dense"), 0.0, "dense", "circle"),
        (text("pruned"), 1.0, "pruned", "diamond"),
    ):
        value = float(np.interp(at, x, values))
        panel.rule(x=at, look="rule")
        panel.point(at, value, look, shape=shape, size=7, tip=f"{name}: {number(value)}")
        panel.text(at, value, name, f"label {look}", dx=10, dy=-10)
        said.append(f"{name} {number(value)}")
    panel.alt = text(
        "%(quantity)s along the pruning displacement: %(found)s.",
        quantity=text(QUANTITIES[quantity]),
        found=", ".join(said),
    )
    return panel.drawing()


def random_lines(
    arrays: Mapping[str, np.ndarray], quantity: str, *, width: float = 540, height: float = 310
) -> Drawing | None:
    """The loss along a random filter-normalised direction, from the dense and from the pruned point, on one scale."""
    xs = {name: arrays[f"{name}/x"] for name in STARTS if f"{name}/x" in arrays}
    ys = {name: arrays[f"{name}/{quantity}"] for name in xs if f"{name}/{quantity}" in arrays}
    ys = {name: values for name, values in ys.items() if len(values) == len(xs[name])}
    if not ys:
        return None
    panel = Panel(
        span(*(xs[name] for name in ys), pad=0.0),
        _scale(quantity, *ys.values()),
        text("step along a random direction, filter-normalised"),
        text("%(quantity)s, one random direction", quantity=text(QUANTITIES[quantity])),
        alt="",
        width=width,
        height=height,
        right=84,
    )
    ends = []
    for name, values in ys.items():
        _, look, shape, dash = STARTS[name]
        written = text(STARTS[name][0])
        panel.line(xs[name], values, f"{look} {dash}")
        here = float(np.interp(0.0, xs[name], values))
        panel.point(0.0, here, look, shape=shape, size=6, tip=f"{written}: {number(here)}")
        ends.append((float(values[-1]), written, look, None))
    panel.labels(ends)
    starts = [text(STARTS[name][0]) for name in ys]
    panel.alt = (
        text(
            "%(quantity)s along one random direction, %(start)s.", quantity=text(QUANTITIES[quantity]), start=starts[0]
        )
        if len(starts) == 1
        else text(
            "%(quantity)s along one random direction, %(first)s and %(second)s.",
            quantity=text(QUANTITIES[quantity]),
            first=starts[0],
            second=starts[1],
        )
    )
    return panel.drawing()


def _scale(quantity: str, *values: np.ndarray) -> Scale:
    """A loss from zero, an accuracy not beyond all."""
    if quantity == "loss":
        return span(*values, include=(0.0,))
    found = span(*values)
    return Scale(max(0.0, found.low), min(1.0, found.high))
