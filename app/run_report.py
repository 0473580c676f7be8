"""One run as one HTML file that opens anywhere: numbers, figures, tables, settings, and where the numbers come from.

`python -m app.run_report RUN --runs DIR --out FILE`, which `esacl report` starts.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app import bills, curvature_frames, downloads, frames, language, results, ways, widgets, writing
from app.document import Document
from app.figures import (
    accuracy,
    costs,
    curvature,
    maps,
    palette,
    plane_colours,
    planes,
    selection,
    slices,
    sparsity,
    training,
    weight_values,
)
from app.headings import heading
from app.language import text
from app.reading import Entry
from app.wording import number, percent, points, size, whole
from esacl.errors import InputError
from esacl.events import Evaluated, Event
from esacl.records import RunRecord
from esacl.reproducing import as_command, as_toml
from esacl.store import RunStore
from esacl.summary import summarise


@dataclass(frozen=True)
class _Run:
    """What a section may ask of a run."""

    store: RunStore
    record: RunRecord
    summary: dict[str, Any]
    analyses: tuple[Event, ...]

    @property
    def last(self) -> int:
        """The last task that was learned."""
        return results.last_task(self.record)

    def arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a name; None where nothing was recorded."""
        names = self.store.array_names(self.record.run_id)
        return self.store.array(self.record.run_id, name) if name in names else None


def of(entry: Entry) -> bytes:
    """The report of a run in the list."""
    return page(entry.store, entry.run_id)


def page(store: RunStore, run_id: str) -> bytes:
    """The report of a run; a figure whose data are damaged is replaced by the line that says so.

    Raises:
        InputError: no such run, or it cannot be read.
    """
    record = store.read(run_id)
    run = _Run(store, record, summarise(record), tuple(store.tail(run_id, "analyses").poll()))
    document = Document(_title(record), language.language())
    _head(document, run)
    for section in (_forgetting, _training, _sparsity, _curvature, _landscape, _selection, _cost, _provenance):
        try:
            section(document, run)
        except InputError as error:
            document.paragraph(text("Left out: %(why)s", why=_without_folder(str(error), store)), small=True)
    return document.html()


def _title(record: RunRecord) -> str:
    return record.config.name.strip() or f"{widgets.method_name(record.config)}, {record.config.benchmark}"


def _without_folder(line: str, store: RunStore) -> str:
    """A line for whoever reads the report elsewhere: where this machine keeps its runs is nobody's business."""
    return line.replace(f"{store.root}/", "")


def _head(document: Document, run: _Run) -> None:
    record, summary = run.record, run.summary
    config, status = record.config, record.status
    entry = Entry(record.run_id, False, config, status)
    document.paragraph(f"{config.benchmark} · {widgets.facts_line(entry, record)}", small=True)
    if status.state != "finished":
        how, why = widgets.STATES[status.state], _without_folder(status.detail, run.store)
        document.paragraph(text("This run %(how)s. What is here is as far as it came. %(why)s", how=how, why=why))
    found = results.transfer(summary["accuracy_matrix"], config)
    cost = summary["cost"]
    dense = cost["train_flops_dense_sgd"]
    document.numbers(
        [
            (text("average accuracy"), percent(found["average_accuracy"])),
            (text("learning accuracy"), percent(found["learning_accuracy"])),
            (text("backward transfer, points"), points(found["backward_transfer"])),
            (text("forgetting, points"), points(found["forgetting"])),
            (text("weights removed"), percent(config.sparsity)),
            (text("mean cost of the cuts, points"), points(results.cost_of_cuts(summary))),
            (text("FLOPs of training"), number(cost["train_flops"])),
            (text("of dense SGD's"), percent(cost["train_flops"] / dense, 0) if dense else "–"),
            (text("time, measured"), widgets.duration(cost["seconds"] or 0) if cost["seconds"] else "–"),
            (text("most memory, measured"), size(cost["peak_bytes"])),
        ]
    )


def _forgetting(document: Document, run: _Run) -> None:
    rows, chance = run.summary["accuracy_matrix"], results.chance(run.record)
    if not rows:
        return
    document.heading(text("Does it remember?"))
    shown = accuracy.over_sequence(rows, chance), accuracy.matrix(rows, tasks=run.record.config.tasks, low=chance)
    document.figures(downloads.part(*shown))
    document.paragraph(
        text(
            "Each line is one task, from where it was learned. In the matrix a row is everything the network can do at "
            "one time, a column the fate of one task; percent of images answered rightly."
        )
    )


def _training(document: Document, run: _Run) -> None:
    loss, tasks = frames.losses(run.record.events), run.record.config.tasks
    if loss.empty:
        return
    document.heading(text("How it learned"))
    document.figures(downloads.part(training.loss(loss, tasks), training.doomed(loss, tasks)))


def _sparsity(document: Document, run: _Run) -> None:
    config, arrays = run.record.config, run.arrays(f"sparsity-t{run.last}")
    if arrays is None:
        return
    document.heading(text("How much can go?"))
    curve, seen, densities = frames.sparsity(arrays), frames.accuracy_at_levels(arrays), frames.layer_densities(arrays)
    levels, target = curve["level"].to_numpy(), config.sparsity
    chance = [float(c) for c in arrays.get("chance", ())]
    index = int(np.argmin(np.abs(levels - (target or 0.9))))
    scrub = {
        "label": text("Weights removed"),
        "names": [percent(level, 1 if level < 0.99 else 2) for level in levels],
        "index": index,
        "marked": index if target > 0 else None,
        "marked_label": text("this run's cut"),
        "facts": sparsity.facts(curve, seen),
        "local": True,
    }
    shown = (
        sparsity.accuracy(seen, index, target, chance, tasks=config.tasks),
        sparsity.rise(curve, index, target),
        sparsity.how_far(curve, index),
        sparsity.layers(densities, index),
    )
    document.paragraph(
        text("One cut of the network of task %(task)d at each level, and no training after it.", task=run.last + 1)
    )
    document.figures(downloads.part(*shown, scrub=scrub))
    histogram = run.arrays(f"histogram-t{run.last}")
    if histogram is not None:
        document.figures(downloads.part(weight_values.before_the_cut(frames.histogram(histogram), target)))
    cuts = frames.pruning(run.record.events)
    if not cuts.empty:
        _grid(document, frames.cuts(cuts), text("The cut of each task in numbers"))


def _curvature(document: Document, run: _Run) -> None:
    found = curvature_frames.curvature((*run.record.events, *run.analyses))
    if found.empty:
        return
    document.heading(text("How sharp is the loss?"))
    tasks, title = run.record.config.tasks, curvature.when(run.record.config.sparsity)
    shown = [curvature.tops(found, tasks, title, measure=measure) for measure in curvature.MEASURES]
    document.figures(downloads.part(curvature.legend([found])))
    document.figures(downloads.part(*shown))
    document.figures(downloads.part(curvature.spectrum(found, run.last)))
    document.paragraph(
        text(
            "The largest eigenvalue of the Hessian of the mean loss. λₘₐₓ changes when a network is merely rescaled. "
            "λₘₐₓ · |θ|² undoes one factor for all weights; factors that differ from layer to layer it does not undo. "
            "Restricting to the survivors can only lower λₘₐₓ."
        )
    )
    _grid(document, curvature_frames.measurements(found), text("Every measurement"))


def _landscape(document: Document, run: _Run) -> None:
    arrays = run.arrays(f"landscape-t{run.last}")
    if not arrays:
        return
    document.heading(text("What does the loss look like there?"))
    drawn = []
    for plane in planes.planes(arrays).values():
        low, high = plane_colours.limits([plane])
        axes = f"→ {planes.axis_title(plane.x_name)}; ↑ {planes.axis_title(plane.y_name)}"
        scale = text("Loss %(low)s (dark) to %(high)s (light), logarithmic", low=number(low), high=number(high))
        caption = f"{plane.title.capitalize()}. {axes}. {scale}. {planes.facts(plane)}."
        drawn.append({**plane_colours.picture(plane, width=420, height=280), "caption": caption})
    document.figures(downloads.part(*drawn))
    document.figures(downloads.part(slices.along_pruning(arrays, "loss"), slices.random_lines(arrays, "loss")))
    document.paragraph(
        text("Task %(n)d. Each is a slice, not the whole landscape; each picture has its own scale.", n=run.last + 1)
    )


def _selection(document: Document, run: _Run) -> None:
    arrays = run.arrays(f"selection-t{run.last}")
    if arrays is None:
        return
    pool = frames.pool(arrays)
    document.heading(text("Which instances tell?"))
    first = pool.sort_values("score", ascending=False)
    images = selection.thumbnails(first, arrays["thumbnails"]) if "thumbnails" in arrays else None
    estimates = selection.estimates(frames.estimates(arrays)) if "estimate_names" in arrays else None
    classes = sorted(pool["class_name"].unique())
    for pair in (
        (images, selection.scores(pool)),
        (estimates, selection.balance(frames.balance(pool))),
        [maps.scatter(pool, where, classes, way="IDS") for where in ways.maps(arrays)],
    ):
        document.figures(downloads.part(*pair))
    chosen, every = int(pool["chosen"].sum()), len(pool)
    document.paragraph(
        text("%(chosen)d of %(all)d images were chosen, framed here; highest scores first.", chosen=chosen, all=every)
    )


def _cost(document: Document, run: _Run) -> None:
    cost = run.summary["cost"]
    if cost["train_flops"] is None:
        return
    document.heading(text("What did it cost?"))
    events, total = run.record.events, cost["train_flops"]
    dense = cost["train_flops_dense_sgd"]
    look = palette.look(run.record.config.method)
    rivals = bills.rivals(cost, events, look)
    title, of = text("FLOPs of training"), text("dense SGD")
    bars = [costs.bars(rivals, title, "FLOPs", number, against=dense, against_name=of)]
    kept = bills.kept(cost, events, look)
    if kept:
        title, against = text("kept between tasks"), kept[-1].value
        bars.append(costs.bars(kept, title, text("bytes"), size, against=against, against_name="EWC"))
    for found, title in ((bills.items(cost), text("for what")), (bills.layers(cost), text("in which layer"))):
        if found:
            bars.append(costs.bars(found, title, "FLOPs", number, against=total, against_name=text("all")))
    document.figures(downloads.part(*bars))
    document.paragraph(
        text(
            "FLOPs are counted, with every extra billed, and scaled by the density of each layer: hardware that "
            "multiplies by stored zeros saves nothing. Pale, with an outline: computed from the images this run saw, "
            "not run. Time and memory are measured."
        )
    )


def _provenance(document: Document, run: _Run) -> None:
    record, summary = run.record, run.summary
    document.heading(text("Where these numbers come from"))
    hardware = {name: value for name, value in (summary["hardware"] or {}).items() if value}
    hardware.pop("instructions", None)  # tells machines apart, and a reader nothing
    if "memory_bytes" in hardware:
        hardware["memory"] = size(hardware.pop("memory_bytes"))
    if "gpus" in hardware:
        hardware["gpus"] = ", ".join(map(str, hardware["gpus"]))
    versions = {name: version for name, version in (summary["versions"] or {}).items() if version}
    rows = [
        (text("run"), record.run_id),
        (text("settings, digest"), record.config.digest),
        (text("seed"), str(record.config.seed)),
        (text("images judged"), _tested(record)),
        *((name.replace("_", " "), str(value)) for name, value in {**hardware, **versions}.items()),
        (text("this file"), time.strftime("%Y-%m-%d")),
    ]
    document.table((text("what"), text("value")), rows)
    document.paragraph(text("The same run on the command line:"))
    document.code(as_command(record.config))
    document.code(as_toml(record.config), about=text("Every setting, as TOML"))


def _tested(record: RunRecord) -> str:
    counts = [e.examples for e in record.events if isinstance(e, Evaluated) and e.after == -1]
    return whole(sum(counts)) if counts else "–"


def _grid(document: Document, frame: pd.DataFrame, about: str) -> None:
    def cell(value: object) -> str:
        return number(float(value)) if isinstance(value, (float, np.floating)) else str(value)

    rows = [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    document.table([heading(name) for name in frame.columns], rows, about=about)


def main(arguments: Sequence[str] | None = None) -> int:
    """`writing.write` of one run."""

    def make(store: RunStore, ids: list[str]) -> bytes:
        return page(store, ids[0])

    return writing.write(arguments, make, prog="python -m app.run_report", about="One run as one HTML file.")


if __name__ == "__main__":
    sys.exit(main())
