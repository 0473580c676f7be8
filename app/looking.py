"""The 2-D slices of the landscape page: which axes, which points, which runs; side by side on one scale."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app import analysing, downloads, measured, plots, session, widgets
from app.figures import landscape, plane_colours, planes
from app.figures.landscape import Figure
from app.figures.planes import Plane, Slice
from app.language import marked, text
from app.reading import Entry
from app.results import named
from esacl.config import RunConfig

POINTS = {"both": marked("Dense and pruned"), "dense": marked("Dense"), "pruned": marked("Pruned")}
VIEWS = {"contour": marked("From above"), "surface": marked("In 3-D")}
RANDOM = 3  # random directions that can be asked for


@dataclass(frozen=True)
class Asked:
    """What the reader wants to see: the axes by name, and around which points."""

    x: str
    y: str
    points: tuple[str, ...]  # dense | pruned

    @property
    def slices(self) -> tuple[Slice, ...]:
        """One slice a point."""
        return tuple((at, self.x, self.y) for at in self.points)


def directions(config: RunConfig, task: int) -> list[str]:
    """The directions that can be measured after a task of a run."""
    cut = ["pruning"] if config.sparsity > 0 else []
    top = [f"eigen{i + 1}" for i in range(min(9, config.curvature.top or 3))]
    following = ["task"] if task + 1 < config.tasks and config.method != "joint" else []
    return [*cut, *top, *(f"random{i + 1}" for i in range(RANDOM)), *following]


def pairs(found: Mapping[Slice, Plane]) -> set[tuple[str, str]]:
    """The axes of the recorded slices, either way round."""
    return {pair for _, x, y in found for pair in ((x, y), (y, x))}


def ask(entry: Entry, task: int, found: Mapping[Slice, Plane]) -> Asked | None:
    """Ask for the axes and the points; None where nothing is recorded and nothing can be."""
    config = entry.config
    recorded = pairs(found)
    able = analysing.possible(entry, task)
    if config is None or not (recorded or able):
        return None
    every = directions(config, task)
    known = sorted({x for x, _ in recorded}, key=_place)
    left, middle, right = st.columns([3, 3, 4], gap="medium", vertical_alignment="bottom")
    with left:
        first = next((x for x in ("pruning", "random1") if x in known), every[0])
        x = _select(text("X axis"), every if able else known, first, "slice-x")
    with middle:
        others = (
            [name for name in every if name != x] if able else sorted({b for a, b in recorded if a == x}, key=_place)
        )
        y = _select(text("Y axis"), others, next((b for b in others if (x, b) in recorded), others[0]), "slice-y")
    cut = config.sparsity > 0 and "pruning" not in (x, y)
    with right:
        points = widgets.choice(text("Around the point"), POINTS, key="slice-at") if cut else "dense"
    return Asked(x, y, ("dense", "pruned") if points == "both" else (points,))


def show(
    entry: Entry, beside: Entry | None, task: int, asked: Asked | None, quantity: str, view: str, locked: bool
) -> None:
    """What is recorded of the asked slices, of this run and of the one beside it; what is not can be measured."""
    if asked is None:
        st.caption(text("This task has no two-dimensional slices."))
        return
    runs = [run for run in (entry, beside) if run is not None and run.config is not None]
    found = {run.run_id: measured.slices_of(run, task) for run in runs}
    shown: list[tuple[Entry, Plane]] = []
    lacking: list[tuple[Entry, Slice]] = []
    for run in runs:
        for where in asked.slices:
            if (where[0] == "pruned" or "pruning" in where) and run.config and run.config.sparsity == 0:
                continue  # a dense run has no such point
            plane = planes.lookup(found[run.run_id], where)
            if plane is None or (quantity == "accuracy" and plane.accuracy is None):
                lacking.append((run, where))  # old runs hold no accuracy on planes: measured anew it is there
            else:
                shown.append((run, plane))
    every = [p for run in runs for p in measured.all_slices(run, run.config.tasks if run.config else 0)]
    limits = plane_colours.limits(every if locked else [plane for _, plane in shown], quantity)
    if shown:
        _panels(shown, limits, quantity, view, f"{entry.run_id}-t{task}-{asked.x}-{asked.y}")
    for place, (run, where) in enumerate(lacking):
        what = {
            "run": named(run),
            "x": planes.written(asked.x),
            "y": planes.written(asked.y),
            "point": planes.point_written(where[0]),
        }
        # A way that ends at a solution is measured as x: the other axis is then made orthogonal to it.
        x, y = sorted(where[1:], key=lambda name: name not in ("pruning", "task"))
        options = {"task": task, "x": x, "y": y, "at": where[0], "points": analysing.points(run, "landscape")}
        said = (
            text("%(run)s: %(x)s × %(y)s around the %(point)s point has not been measured", **what)
            if quantity == "loss"
            else text("%(run)s: %(x)s × %(y)s around the %(point)s point: its accuracy has not been measured", **what)
        )
        analysing.offer(run, said, "landscape", options, key=f"measure-now-{place}", boxed=False)


def _panels(
    shown: Sequence[tuple[Entry, Plane]], limits: tuple[float, float], quantity: str, view: str, name: str
) -> None:
    draw = landscape.surface if view == "surface" else landscape.contour
    every = [plane for _, plane in shown]
    panels = []
    for run, plane in shown:
        title = f"{named(run)}, {plane.title}"
        low, high = limits
        alt = text(
            "The %(quantity)s %(where)s of %(run)s, %(view)s; colours from %(low).3g to %(high).3g",
            quantity=text(planes.WORDS[quantity]),
            where=plane.title,
            run=named(run),
            view=text(VIEWS[view]).lower(),
            low=low,
            high=high,
        )
        figure = draw(plane, limits, quantity=quantity, beside=every, height=_height(view, len(shown)))
        panels.append(plots.Panel(title, figure, planes.facts(plane, quantity), alt))
    plots.show(panels, landscape.key(limits, quantity), view, key="planes")
    files: dict[str, Callable[[], bytes]] = {
        "csv": functools.partial(as_table, shown),
        "npz": functools.partial(as_arrays, shown),
        "html": functools.partial(as_page, shown, limits, quantity, view),
    }
    downloads.row(f"slice-{name}", files, key="slice")


def _height(view: str, panels: int) -> int:
    return {"surface": 560, "contour": 460}[view] if panels == 1 else 400


def as_table(shown: Sequence[tuple[Entry, Plane]]) -> bytes:
    """One row a cell of each plane."""
    columns = ("run", "point", "x_direction", "y_direction", "x", "y", "loss", "accuracy", "computed")
    rows = []
    for run, plane in shown:
        accuracy = np.full(plane.loss.shape, np.nan) if plane.accuracy is None else plane.accuracy
        known = np.ones(plane.loss.shape, dtype=bool) if plane.evaluated is None else plane.evaluated
        rows += [
            (
                run.run_id,
                *plane.slice,
                float(x),
                float(y),
                float(plane.loss[j, i]),
                float(accuracy[j, i]),
                bool(known[j, i]),
            )
            for j, y in enumerate(plane.y)
            for i, x in enumerate(plane.x)
        ]
    return downloads.table(columns, rows)


def as_arrays(shown: Sequence[tuple[Entry, Plane]]) -> bytes:
    """The arrays of each plane below `RUN/POINT/`."""
    return downloads.npz(
        {
            f"{run.run_id}/{plane.at}/{key}": value
            for run, plane in shown
            for key, value in vars(plane).items()
            if value is not None and key != "at"
        }
    )


def as_page(shown: Sequence[tuple[Entry, Plane]], limits: tuple[float, float], quantity: str, view: str) -> bytes:
    """The figures as they are shown, to be turned and looked at without this app."""
    draw: Callable[..., Figure] = landscape.surface if view == "surface" else landscape.contour
    every = [plane for _, plane in shown]
    made = [
        (
            f"{named(run)}, {plane.title}. {planes.facts(plane, quantity)}",
            draw(plane, limits, quantity=quantity, beside=every, bar=True),
        )
        for run, plane in shown
    ]
    about = text("Made by EsaCL; %(quantity)s.", quantity=text(planes.WORDS[quantity]))
    return downloads.figures(text("A slice of the loss, not the whole landscape"), about, made)


def _select(about: str, options: Sequence[str], first: str, name: str) -> str:
    """A choice that other tasks and runs keep where they have it too."""
    asked = session.shared(name)
    current = asked if asked in options else first
    session.remember(f"_{name}", current)
    names = {direction: planes.written(direction).capitalize() for direction in options}
    st.selectbox(
        about,
        options,
        format_func=names.__getitem__,
        key=f"_{name}",
        on_change=session.choose,
        args=(name, f"_{name}"),
    )
    return current


def _place(direction: str) -> tuple[int, str]:
    order = ("pruning", "eigen", "random", "task")
    return next(i for i, start in enumerate(order) if direction.startswith(start)), direction
