"""The small figures of the overview, one a page, each with a sentence that holds the number it is about."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app import bills, comparison, frames, measured, reading, results, session, ways
from app.drawing import Drawing
from app.figures import accuracy, compared, costs, curvature, palette, plane_colours, planes, selection, sparsity
from app.language import listed, text
from app.reading import Entry
from app.wording import brief, number, percent, points
from esacl.errors import InputError
from esacl.records import RunRecord
from esacl.summary import summarise

WIDTH, HEIGHT = 340, 215


@dataclass(frozen=True)
class Card:
    """A page's figure on the overview."""

    page: str  # file in pages/
    title: str
    text: str
    drawing: Drawing | None = None
    legend: Drawing | None = None  # of its marks, above it


def your_own() -> Card:
    """The way to a run of one's own, beside the figures."""
    return Card(
        "run",
        text("Make your own"),
        text(
            "Choose a benchmark, a method, and how much is to go. The smallest needs no download, is soon done, and "
            "can be followed while it learns."
        ),
    )


def cards(entry: Entry, record: RunRecord, others: Sequence[Entry]) -> list[Card]:
    """What this run has to show; a page whose figure cannot be made is left out."""
    made = []
    for make in (_forgetting, _sparsity, _curvature, _landscape, _selection, _cost, _compare):
        try:
            card = make(entry, record, others)
        except InputError:
            card = None  # the page itself says what is wrong
        if card is not None:
            made.append(card)
    return made


def _forgetting(entry: Entry, record: RunRecord, others: Sequence[Entry]) -> Card | None:
    rows = summarise(record)["accuracy_matrix"]
    if not rows:
        return None
    numbers = results.transfer(rows, record.config)
    said = text("Accuracy on each task while later ones are learned.")
    if numbers["backward_transfer"] is not None:
        transfer = points(numbers["backward_transfer"])
        said += " " + text("Backward transfer: %(transfer)s points.", transfer=transfer)
    drawing = accuracy.over_sequence(rows, results.chance(record), width=WIDTH, height=HEIGHT)
    return Card("forgetting", text("Does it remember?"), said, drawing)


def _sparsity(entry: Entry, record: RunRecord, others: Sequence[Entry]) -> Card | None:
    name = f"sparsity-t{results.last_task(record)}"
    arrays = reading.arrays(entry, name)
    if arrays is None:
        return None
    seen = frames.accuracy_at_levels(arrays)
    target = session.sparsity(seen.index.to_numpy(), record.config.sparsity)
    index = int(np.argmin(np.abs(seen.index.to_numpy() - target)))
    beside = results.baseline(entry, [other for other in others if reading.has_arrays(other, name)])
    other = None
    ours = {"kept": brief(1 - target), "accuracy": percent(float(seen.iloc[index].mean()))}
    said = text("Cut to %(kept)s in one shot: %(accuracy)s right.", **ours)
    with contextlib.suppress(InputError):  # a damaged run beside this one is no reason to show nothing
        other = measured.curve_beside(beside, name)
    if other is not None:
        theirs = other[2]
        at = int(np.argmin(np.abs(theirs.index.to_numpy() - target)))
        said = text(
            "Cut to %(kept)s in one shot: %(accuracy)s right. %(other)s: %(theirs)s.",
            other=other[0],
            theirs=percent(float(theirs.iloc[at].mean())),
            **ours,
        )
    chance = [float(c) for c in arrays.get("chance", ())]
    drawing = sparsity.accuracy(
        seen,
        index,
        record.config.sparsity,
        chance,
        tasks=record.config.tasks,
        beside=other,
        width=WIDTH,
        height=HEIGHT,
        small=True,
    )
    return Card("sparsity", text("How much can go?"), said, drawing)


def _curvature(entry: Entry, record: RunRecord, others: Sequence[Entry]) -> Card | None:
    frame = measured.curvature_of(entry)
    if frame.empty:
        return None
    tasks, when = record.config.tasks, curvature.when(record.config.sparsity)
    drawing = curvature.tops(frame, tasks, when, width=WIDTH, height=HEIGHT)
    last = frame[(frame["task"] == frame["task"].max()) & (frame["engine"] == "lanczos")].set_index("where")[
        "lambda_max"
    ]
    told = [where for where in curvature.WHERE if where in last.index]  # in the order of time
    found = listed(f"{curvature.where_written(where)} {number(float(last[where]))}" for where in told)
    said = text("Largest Hessian eigenvalue, last task: %(found)s.", found=found)
    return Card("curvature", text("How sharp is the loss?"), said, drawing, curvature.legend([frame], WIDTH))


def _landscape(entry: Entry, record: RunRecord, others: Sequence[Entry]) -> Card | None:
    arrays = reading.arrays(entry, f"landscape-t{results.last_task(record)}")
    found = planes.planes(arrays) if arrays else {}
    plane = found.get("plane_pruning") or found.get("plane_dense")
    if plane is None:
        return None
    said = text("A slice of the loss %(where)s, and not the whole landscape.", where=plane.title)
    drawing = plane_colours.picture(plane, width=WIDTH, height=HEIGHT)
    return Card("landscape", text("What does it look like there?"), said, drawing)


def _selection(entry: Entry, record: RunRecord, others: Sequence[Entry]) -> Card | None:
    arrays = reading.arrays(entry, f"selection-t{results.last_task(record)}")
    if arrays is None or "thumbnails" not in arrays:
        return None
    pool = frames.pool(arrays).sort_values("score", ascending=False)
    drawing = selection.thumbnails(pool, arrays["thumbnails"], columns=7, most=21, side=49)
    counts = {"chosen": int(pool["chosen"].sum()), "images": len(pool)}
    said = text("%(chosen)d of %(images)d images were chosen, framed here.", **counts)
    if "estimate_names" in arrays:
        estimates = frames.estimates(arrays).set_index("name")["lambda_max"]
        draws = ways.each_draw(arrays).get("IDS")  # of which the first is framed; the estimate is their mean
        if draws is not None and len(draws) and "whole pool" in estimates.index:
            said = text(
                "%(chosen)d of %(images)d images were chosen, framed here. They put λₘₐₓ at %(few)s; the whole pool "
                "puts it at %(whole)s.",
                few=number(float(draws[0])),
                whole=number(float(estimates["whole pool"])),
                **counts,
            )
    return Card("selection", text("Which instances tell?"), said, drawing)


def _cost(entry: Entry, record: RunRecord, others: Sequence[Entry]) -> Card | None:
    cost = summarise(record)["cost"]
    dense = cost["train_flops_dense_sgd"]
    if not cost["train_flops"] or not dense:
        return None
    rivals = bills.rivals(cost, record.events, palette.look(record.config.method))
    drawing = costs.bars(
        rivals, text("FLOPs of training"), "FLOPs", number, against=dense, against_name=text("dense SGD"), small=True
    )
    share = percent(cost["train_flops"] / dense, 0)
    said = text("%(share)s of the FLOPs of dense SGD, every extra billed.", share=share)
    return Card("cost", text("What did it cost?"), said, drawing)


def _compare(entry: Entry, record: RunRecord, others: Sequence[Entry]) -> Card | None:
    if entry.status.state != "finished":
        return None
    read = []
    for one in (entry, *others):
        with contextlib.suppress(InputError):  # a damaged run beside this one is no reason to show nothing
            read += [reading.summary(one)] if one.status.state == "finished" else []
    found = comparison.groups(read)
    frame = comparison.tradeoff(found, "flops")
    if len(frame) < 2:
        return None
    best = frame.sort_values("y", ascending=False).iloc[0]
    said = text(
        "Accuracy against cost. Most accurate: %(method)s, %(accuracy)s.",
        method=best["label"],
        accuracy=percent(float(best["y"])),
    )
    drawing = compared.tradeoff(frame, "flops", width=WIDTH, height=HEIGHT)
    return Card("compare", text("Which method, at what cost?"), said, drawing)
