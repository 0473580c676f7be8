"""The parts of the sparsity page: what moves with the level, what choosing well is worth, one cut exactly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from app import analysing, cuts, measured, reading, session, widgets
from app.cuts import Comparison, Cuts, Exact
from app.drawing import Drawing
from app.figures import cells, choices, sparsity, weight_values
from app.figures import cuts as moving
from app.language import marked, text
from app.reading import Entry
from app.wording import number, percent, points

MOST = 99.99  # percent, of an exact cut
_SLICE = ("dense", "pruning")  # where, and along which axis, the slice of the cut lies
MOVE = marked(
    "Move the handle, or let it play: every figure shows what **one cut at that level, and no training after it,** "
    "would do. The level goes with you to the other pages, and into the link."
)
BOUNDS = marked(
    "The loss after the cut is expanded around the network before it, with $d = -(1-m)\\odot\\theta$. **The λ "
    "bound** $g^{\\top}d + \\tfrac12 \\sup\\lambda_{\\max}\\,|d|^2$ lies far above the true rise. It is a theorem "
    "for smooth activations when the supremum is over the whole way; here it is taken at a few points of it, and "
    "with ReLU it is an observation. **The output bound** looks at the network before the cut only: it expands "
    "the outputs along $d$ to fourth order, takes their cross-entropy as it is, and adds what the larger of the last "
    "two orders could do at its worst. Outputs bend far less along a cut than the loss does, so it is near where "
    "the λ bound is hundreds to thousands of times too large. It assumes that no more than that is left out: "
    "with softplus it held at every cut of our tests; with ReLU it is mostly a tenth too small, as derivatives "
    "do not see a kink ahead. **Taylor** $g^{\\top}d + \\tfrac12 d^{\\top}Hd$ costs one Hessian-vector product "
    "and is **no bound**: it ranks cuts well, and falls short when $d$ is long. **The path integral** adds up "
    "the gradient along the way: an identity, up to its four nodes, that tells where the loss rises; it is no "
    "cheaper than measuring the rise. **½ d'Hd alone**, Taylor without the gradient, is **no bound** either: "
    "it is often far below the true rise."
)
OVER_WHAT = marked(
    "All of them are over the same instances, those that IDS chose, and so is the loss on the way to a cut; the thin "
    "line, the number above and the comparison of rankings are over the whole pool; accuracies are measured on images "
    "that were not trained on. A rise at or below zero has no place on a log axis and is left out."
)
PICTURES = marked(
    "**The weights as a picture**: a cell a weight, blue above and orange below zero, the stronger the larger; what "
    "the level takes is pale. Point at a cell to read it. Size is not all: where the ranking is of second order, a "
    "large weight may go where the loss is flat, and a small one stay where it is sharp, so pale ones lie among strong "
    "cells and in the **histogram** filled and pale parts mix. **The slice** is a plane through weight space "
    "along this run's own cut; **the ways** lead straight to every level's cut. **Saliencies** rank the weights "
    "differently: by damped second order $\\tfrac12(h+1+\\Omega)\\theta^2$, size $|\\theta|$, first order "
    "$|g\\theta|$, or by chance. **Allocations** share the budget out: *global* ranks all weights together, *uniform* "
    "gives every layer the same density, *ERK* gives small and narrow layers more; *2:4* keeps two of every four "
    "consecutive weights of a row (below 50 % it is on the way there, above within it), *whole units* takes neurons "
    "and channels with all their weights, so that what is left is a smaller dense network."
)
EXACTLY = marked(
    "The figures above jump from level to level. Here the network is cut at exactly the sparsity that you ask for and "
    "judged on all evaluation images of the tasks seen; diamonds in the first two figures show it. Unlike the curves "
    "of the loss, its rise is over images that were not trained on."
)


@dataclass(frozen=True)
class Recorded:
    """What a run holds of the cuts of a task beside the curve; None and empty where it was not recorded."""

    cuts: Cuts | None
    compared: Comparison | None
    exact: tuple[Exact, ...]


def recorded(entry: Entry, task: int, levels: np.ndarray) -> Recorded:
    """What was recorded of the cuts at these levels.

    Raises:
        RunUnreadable: an array is damaged.
    """
    arrays = reading.arrays(entry, f"cuts-t{task}")
    found = cuts.cuts(arrays) if arrays else None
    if found is not None and not np.array_equal(found.levels, levels):
        found = None  # the curve was measured again, with other levels
    compared = reading.arrays(entry, f"comparison-t{task}")
    names = cuts.exact_names(reading.array_names(entry), task)
    each = (reading.arrays(entry, name) for name in names)
    exact = sorted((cuts.exact(one) for one in each if one), key=lambda one: one.level)
    return Recorded(found, cuts.comparison(compared) if compared else None, tuple(exact))


def pictures(
    entry: Entry, task: int, found: Recorded, curve: pd.DataFrame, densities: pd.DataFrame
) -> Callable[[int], list[Drawing | None]]:
    """Ask which layer is shown; the figures of the weights: picture, place on the slice, histogram, layers, ways."""
    one = found.cuts
    layer = _layer(list(one.survived)) if one else None
    weights = reading.member(entry, f"weights-t{task}", f"dense/{layer}") if layer else None
    if one is None or layer is None or weights is None or weights.shape != one.survived[layer].shape:
        layer = None  # without the weights there is nothing to paint
    lengths = curve["displacement_norm"].to_numpy(dtype=float)
    planes = [plane for (at, x, _), plane in measured.slices_of(entry, task).items() if (at, x) == _SLICE]

    def make(index: int) -> list[Drawing | None]:
        if one is None:
            return [sparsity.layers(densities, index), sparsity.how_far(curve, index)]
        places = [moving.place(one, plane, lengths, index) for plane in planes]
        return [
            cells.mask(one, layer, weights, index) if layer is not None and weights is not None else None,
            next((place for place in places if place is not None), None),
            weight_values.at_level(one, index),
            sparsity.layers(densities, index, height=310),
            moving.ways(one, lengths, index),
            sparsity.how_far(curve, index, height=310),
        ]

    return lambda index: reading.once(lambda: make(index), "pictures", [entry], task, layer, index)


def _layer(layers: list[str]) -> str | None:
    if len(layers) < 2:
        return layers[0] if layers else None
    if len(layers) <= 4:
        return widgets.choice(text("Layer in the picture"), {n: sparsity.short(n) for n in layers}, key="layer")
    return st.selectbox(text("Layer in the picture"), layers, format_func=sparsity.short, key=f"layer-of-{len(layers)}")


def comparison(entry: Entry, task: int, found: Recorded, levels: np.ndarray) -> Callable[[int], list[Drawing]]:
    """Ask what is compared; the figures of it."""
    compared, config = found.compared, entry.config
    if compared is None or config is None:
        return lambda index: []
    own = {"saliencies": config.pruning.saliency, "allocations": config.pruning.allocation}
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="bottom")
    with left:
        what = widgets.choice(text("Compare"), {k: text(v) for k, v in choices.KINDS.items()}, key="compare")
    other = "allocations" if what == "saliencies" else "saliencies"
    names = sorted(getattr(compared, other), key=lambda name: name != own[other])  # the run's own first
    with right:
        label = text("with the allocation") if other == "allocations" else text("by the saliency")
        fixed = widgets.choice(label, {name: choices.written(name) for name in names}, key=f"with-{other}")
    mine = own[what] if fixed == own[other] else ""

    def make(index: int) -> list[Drawing]:
        return choices.drawings(compared, what, fixed, mine, levels, index, config.sparsity)

    return lambda index: reading.once(lambda: make(index), "choices", [entry], task, what, fixed, index)


def below(entry: Entry, task: int, found: Recorded) -> list[str]:
    """The buttons under the figures that are there: what they begin is followed beneath them."""
    lacking = {"measure-cuts": found.cuts is None, "measure-compare": found.compared is None, "measure-exact": True}
    return [key for key, there in lacking.items() if there and analysing.possible(entry, task)]


def offers(entry: Entry, task: int, found: Recorded) -> None:
    """What was not recorded, with the jobs that record it."""
    options = {"task": task, "points": analysing.points(entry, "sparsity")}
    if found.cuts is None:
        what = text("Which weights each level takes, and the way to each cut, have not been recorded")
        analysing.offer(entry, what, "sparsity", options, key="measure-cuts", boxed=False)
    if found.compared is None:
        what = text("Other saliencies and allocations have not been tried on this network")
        label = text("Compare them now")
        asked = {**options, "compare": True}
        analysing.offer(entry, what, "sparsity", asked, label=label, key="measure-compare", boxed=False)


def exactly(entry: Entry, task: int, found: Recorded, target: float) -> None:
    """One cut at exactly the level that is asked for, as a job, and those that were evaluated so far."""
    level = session.sparsity(target=target)
    able = analysing.possible(entry, task)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        asked = st.number_input(
            text("Weights removed, %"),
            value=round(100 * level, 2),
            step=0.1,
            format="%g",
            key=f"exact-{level}",  # it follows the handle
            width=170,
            disabled=not able,
        )
        known = 0 <= asked <= MOST
        if able:
            options = {"task": task, "exact": round(asked / 100, 5)}
            label = text("Evaluate exactly here")
            analysing.button(entry, label, "sparsity", options, key="measure-exact", disabled=not known)
    if not known:  # bounds of the field itself would leave the button at work, on another number
        no = text("%(value)s %% cannot be removed; choose a number from 0 to %(most)s.", value=f"{asked:g}", most=MOST)
        widgets.say("error", no)
    analysing.progress_at(entry, "measure-exact")
    if not able:
        what = text("Another cut cannot be evaluated")
        analysing.offer(entry, what, "sparsity", {"task": task}, key="measure-no-exact", boxed=False)
    if found.exact:
        frame, headings = _table(found.exact)
        widgets.grid(frame, text("Cuts that were evaluated exactly"), key="exact-table", headings=headings)
        last = min(found.exact, key=lambda one: abs(one.level - level))
        st.caption(widgets.plain(exact_said(last)))


def _table(exact: tuple[Exact, ...]) -> tuple[pd.DataFrame, dict[str, str]]:
    """A row a cut, with the columns that a download of it has, and what the reader knows those of the tasks by."""
    tasks = range(max(len(one.accuracy) for one in exact))
    columns: dict[str, list[object]] = {"removed, %": [round(100 * one.removed, 3) for one in exact]}
    for task in tasks:
        columns[f"task {task + 1}, %"] = [round(100 * float(one.accuracy[task]), 2) for one in exact]
    columns["mean, %"] = [round(100 * one.mean_accuracy, 2) for one in exact]
    columns["points lost"] = [points(one.lost, 2) for one in exact]
    columns["loss rise, nats"] = [one.rise for one in exact]
    columns["images"] = [one.n for one in exact]
    return pd.DataFrame(columns), {f"task {task + 1}, %": text("task %(task)d, %%", task=task + 1) for task in tasks}


def exact_said(one: Exact) -> str:
    """What one exact cut did to accuracy and loss, in a sentence."""
    lost, rise = f"{abs(100 * one.lost):.2f}", number(abs(one.rise))
    return text(
        "At %(level)s: mean accuracy %(mean)s, with a standard error of %(error)s points from the number of images "
        "alone; the cut %(change)s, and the loss %(moves)s (n = %(n)d).",
        level=percent(one.level, 2),
        mean=percent(one.mean_accuracy, 2),
        error=number(100 * one.error, 2),
        change=text("costs %(lost)s points", lost=lost)
        if one.lost >= 0
        else text("gains %(lost)s points", lost=lost),
        moves=text("rises by %(rise)s nats", rise=rise) if one.rise >= 0 else text("falls by %(rise)s nats", rise=rise),
        n=one.n,
    )
