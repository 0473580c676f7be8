"""The parts of the curvature page: what was recorded of the spectrum, and how to have what was not."""

import functools
from collections.abc import Callable, Iterator, Sequence

import pandas as pd
import streamlit as st

from app import analysing, curvature_frames, downloads, measured, reading, spectra, widgets
from app.drawing import Drawing
from app.figures import curvature, overlap, spectrum
from app.language import marked, text
from app.reading import Entry
from app.results import named
from app.wording import number, percent
from esacl.events import Pruned

SURVIVORS = marked(
    "**Survivors only**: the Hessian restricted to the weights that are left, which is where training can go from "
    "there. Restricting alone can only lower $\\lambda_{\\max}$ (Cauchy interlacing): a lower square than diamond is "
    "no merit of a method."
)
PROBES = 8  # random vectors: 320 products at each point

Runs = Sequence[tuple[Entry, pd.DataFrame]]  # with the curvature that each measured


def points(runs: Runs, task: int) -> None:
    """The largest eigenvalue at every point of the runs, as it is and times |theta|^2."""
    parts = [(named(entry), frame) for entry, frame in runs]
    drawn = reading.once(
        lambda: [curvature.four(parts, task, measure) for measure in curvature.MEASURES],
        "four",
        [entry for entry, _ in runs],
        task,
    )
    widgets.draw(curvature.legend([frame for _, frame in parts]), key="legend")
    widgets.draw(*(drawing for drawing, _ in drawn), key="four")
    if not all(settled for _, settled in drawn):
        st.caption(text("Hollow marks did not converge: what they show is a lower bound."))
    entry, frame = runs[0]
    if entry.config is not None and 0 < entry.config.sdp.cut < 1 and entry.config.sparsity > 0:
        st.caption(
            text(
                "Dense: right before the cut, after %(share).3g %% of a task's steps. The network need not be in a "
                "minimum there yet: the loss may still slope.",
                share=100 * entry.config.sdp.cut,
            )
        )
    if "end" in set(frame["where"]):
        st.caption(" ".join(_at_its_end(entry)))


def _at_its_end(entry: Entry) -> Iterator[str]:
    yield text(
        "At its end: what the sparse steps after the cut have come to. A loss that has fallen is flatter in any case."
    )
    if entry.config is not None and entry.config.sdp.radius > 0:
        yield text(
            "Every third of these steps took its gradient %(radius)s uphill of the weights (sharpness-aware: Foret et "
            "al. 2021), which makes the network flatter still and on harder benchmarks costs accuracy.",
            radius=number(entry.config.sdp.radius),
        )


def slices(entry: Entry, frame: pd.DataFrame, task: int) -> None:
    """The top eigenvalues, each with the loss along its eigenvector."""
    arrays = reading.arrays(entry, f"spectrum-t{task}")
    found = reading.once(lambda: spectrum.linked(spectra.ends(arrays)), "linked", [entry], task) if arrays else None
    if found is None:
        widgets.draw(curvature.spectrum(frame, task), key="spectrum")
        _offer(entry, text("The loss along the eigenvectors of this task has not been measured"), task, "slices")
        return
    widgets.step(text("Eigenvalue and its slice"), found.names, found.drawings, found.facts, key="linked")
    st.caption(
        text(
            "Step, or click a mark. The slice runs as far as its parabola rises by one nat; axes and scales stay the "
            "same. Where the measured line leaves the parabola, the second-order picture ends; beyond the top of the "
            "figure it is not drawn. It is a slice, not the whole landscape."
        )
    )


def density(entry: Entry, task: int) -> None:
    """The density of the whole spectrum at each point; offered where it is not there."""
    arrays, ends = (reading.arrays(entry, f"{name}-t{task}") for name in ("density", "spectrum"))
    if arrays is None:
        _offer(entry, text("The density of the whole spectrum has not been measured"), task, "density", PROBES)
        return

    def make() -> list[Drawing]:
        return spectrum.density(spectra.densities(arrays), spectra.ends(ends) if ends else ())

    drawn = reading.once(make, "density", [entry], task)
    widgets.draw(*drawn, key="density")
    st.caption(
        text(
            "Stochastic Lanczos quadrature; the band is two standard errors over the random vectors. Marks at the "
            "foot: the top eigenvalues. Few eigenvalues are large and nearly all are about zero, hence the logarithmic "
            "axis; a hump is as wide as the smoothing, whatever the eigenvalue's own place."
        )
    )


def tops(runs: Runs, tasks: int, measure: str) -> list[Drawing]:
    """A measure over the tasks, a figure a run, on one scale."""
    scale = curvature.shared_scale([part for _, part in runs], measure)

    def make() -> list[Drawing]:
        return [curvature.tops(part, tasks, named(e), measure=measure, scale=scale) for e, part in runs]

    return reading.once(make, "tops", [entry for entry, _ in runs], measure)


def directions(runs: Runs, task: int) -> None:
    """How the cut lies to the sharp directions, of each run."""
    found, told = [], list[str]()
    for entry, _ in runs:
        arrays = reading.arrays(entry, f"spectrum-t{task}")
        one = spectra.overlap(arrays) if arrays else None
        if one is not None and one.norm[0] > 0:
            found.append((named(entry), one))
            told += _cost(entry, task)
        elif one is not None:
            st.caption(widgets.plain(text("%(run)s was not cut.", run=named(entry))))
    if not found:
        config = runs[0][0].config
        if config is not None and config.sparsity > 0:
            _offer(runs[0][0], text("How the cut lies to the eigenvectors has not been measured"), task, "overlap")
        return
    x = overlap.scale([one for _, one in found])
    widgets.draw(overlap.legend(), key="overlap-legend")
    widgets.draw(*(overlap.shares(one, name, x) for name, one in found), key="overlap")
    for line in told:
        st.caption(widgets.plain(line))
    st.markdown(
        text(
            "To second order the cut costs $g^\\top d + \\tfrac12 d^\\top H d$. The second term is $\\tfrac12 "
            "|d|^2$ times the curvature in the direction of $d$. Two things make it small: a **short** $d$, and a "
            "$d$ with little of its length in the few **sharp directions**. A random direction has $k/n$ of its "
            "length in the top $k$ of $n$: the cross. What of $d^\\top H d$ lies there says how much of that term "
            "those few directions carry. The first is none at a minimum; where a run is cut early in a task it is "
            "not there yet, and the slope $g$ can be most of the cost. Each layer has the Hessian of its own "
            "weights."
        )
    )


def _cost(entry: Entry, task: int) -> Iterator[str]:
    """What the run's own cut of the task cost, and the two terms of it."""
    for event in reading.record(entry).events:
        if isinstance(event, Pruned) and event.task == task and event.taylor is not None:
            yield text(
                "%(run)s: this cut changed the loss by %(rise)s nats over the whole pool; g'd + ½ d'Hd there says "
                "%(taylor)s.",
                run=named(entry),
                rise=number(event.actual_rise),
                taylor=number(event.taylor),
            )


def estimate(entry: Entry, task: int) -> None:
    """The eigenvalues from the instances that IDS chose, with their interval; nothing where the run has none."""
    arrays = reading.arrays(entry, f"spectrum-t{task}")
    found = spectra.interval(arrays) if arrays else None
    if found is None:
        return
    st.header(text("From fewer instances"))
    left, right = st.columns(2, gap="large")
    with left:
        widgets.draw(spectrum.interval(found), key="interval")
    with right:
        about = {
            "examples": found.examples,
            "fraction": percent(found.fraction, 0),
            "level": percent(found.level, 0),
        }
        st.markdown(
            text(
                "Circles: from the %(examples)d instances that IDS chose (%(fraction)s of the pool), weighted, with "
                "the %(level)s confidence interval. Diamonds: from the whole pool. The largest eigenvalue of a small "
                "sample is too high on average, for a maximum picks up noise; here by an estimated %(bias)s.",
                bias=number(float(found.bias[0])),
                **about,
            )
            if found.bias[0] > 0
            else text(
                "Circles: from the %(examples)d instances that IDS chose (%(fraction)s of the pool), weighted, with "
                "the %(level)s confidence interval. Diamonds: from the whole pool. The largest eigenvalue of a small "
                "sample is too high on average, for a maximum picks up noise.",
                **about,
            )
        )


def check(entry: Entry, frame: pd.DataFrame, task: int) -> None:
    """What PyHessian makes of the same eigenvalues; on request."""
    seen = reading.once(lambda: curvature_frames.cross_check(frame), "cross-check", [entry])
    st.markdown(widgets.plain(curvature_frames.agreement(seen)))
    if analysing.possible(entry, task) and not (len(seen) and (seen["task"] == task).any()):
        label = text("Have PyHessian check task %(task)d", task=task + 1)
        options = {"task": task, "points": analysing.points(entry, "spectrum"), "check": True, "probes": 0}
        analysing.button(entry, label, "spectrum", options, key="measure-check", quiet=True)


def files(entry: Entry, frame: pd.DataFrame, task: int) -> None:
    """The numbers and figures of this task, to take along."""
    made: dict[str, Callable[[], bytes]] = {
        "csv": functools.partial(_table, frame),
        "npz": functools.partial(_arrays, entry, task),
        "html": functools.partial(_page, entry, frame, task),
    }
    downloads.row(f"curvature-{entry.run_id}-t{task}", made, key="curvature")


def _offer(entry: Entry, what: str, task: int, key: str, probes: int = 0) -> None:
    options = {"task": task, "points": analysing.points(entry, "spectrum"), "probes": probes}
    label = text("Measure the density") if probes else text("Measure it now")
    analysing.offer(entry, what, "spectrum", options, label=label, key=f"measure-{key}", boxed=False)


def _table(frame: pd.DataFrame) -> bytes:
    shown = curvature_frames.eigenvalues(frame)
    return downloads.table(list(shown.columns), shown.values.tolist())


def _arrays(entry: Entry, task: int) -> bytes:
    kept = {name: reading.arrays(entry, f"{name}-t{task}") or {} for name in ("spectrum", "density")}
    return downloads.npz({f"{name}/{key}": v for name, arrays in kept.items() for key, v in arrays.items()})


def _page(entry: Entry, frame: pd.DataFrame, task: int) -> bytes:
    parts = [downloads.part(curvature.legend([frame]))]
    parts.append(downloads.part(*(curvature.four([(named(entry), frame)], task, m)[0] for m in curvature.MEASURES)))
    arrays, dense = (reading.arrays(entry, f"{name}-t{task}") for name in ("spectrum", "density"))
    if arrays:
        ends, lying, few = spectra.ends(arrays), spectra.overlap(arrays), spectra.interval(arrays)
        found = spectrum.linked(ends)
        if found:
            scrub = {"label": text("Eigenvalue"), "names": found.names, "index": 0, "facts": found.facts, "local": True}
            parts.append(downloads.part(*found.drawings, scrub=scrub))
        if dense:
            parts.append(downloads.part(*spectrum.density(spectra.densities(dense), ends)))
        if lying:
            parts.append(downloads.part(overlap.legend()))
            parts.append(downloads.part(overlap.shares(lying, named(entry), overlap.scale([lying]))))
        if few:
            parts.append(downloads.part(spectrum.interval(few)))
    about = widgets.facts_line(entry, reading.record(entry))
    title = text("Curvature after task %(task)d: %(run)s", task=task + 1, run=named(entry))
    return downloads.drawings(title, about, parts)


def measured_of(*entries: Entry | None) -> list[tuple[Entry, pd.DataFrame]]:
    """The runs that measured curvature, with it."""
    found = [(entry, measured.curvature_of(entry)) for entry in entries if entry is not None]
    return [(entry, frame) for entry, frame in found if not frame.empty]
