"""Top Hessian eigenvalues before and after the cut, task by task, and one run beside another."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from app.curvature_frames import POINTS
from app.drawing import Drawing, Panel, wide
from app.frames import rows
from app.language import marked, text
from app.scale import Scale, span
from app.wording import number

WHERE = {  # which point and which Hessian -> (as it is written, look, shape)
    "dense": (POINTS["dense"], "dense", "circle"),
    "pruned": (POINTS["pruned"], "pruned", "diamond"),  # as on the landscape
    "survivors": (POINTS["survivors"], "warm", "square"),
    "end": (POINTS["end"], "pruned", "triangle"),
}
ROWS = {"dense": ("dense",), "pruned": ("pruned", "survivors"), "end": ("end",)}  # of `four`, and what stands in each
SHAPES = {
    "circle": marked("Circle"),
    "square": marked("Square"),
    "diamond": marked("Diamond"),
    "triangle": marked("Triangle"),
}
MEASURES = {"lambda_max": "λₘₐₓ", "relative_sharpness": "λₘₐₓ · |θ|²"}  # signs, the same in every language


def where_written(where: str) -> str:
    """The point and the Hessian `where` stands for, as the reader knows them."""
    return text(WHERE[where][0])


def when(sparsity: float) -> str:
    """Where a run measures: around its cuts, or, where it cuts nothing, after each task."""
    return text("before and after the cut") if sparsity > 0 else text("after each task")


def row_written(point: str) -> str:
    """The name of a row of `four`, which has little room."""
    return text("at its end") if point == "end" else where_written(point)


def tops(
    frame: pd.DataFrame,
    tasks: int,
    title: str,
    *,
    measure: str = "lambda_max",
    scale: Scale | None = None,
    width: float = 500,
    height: float = 320,
) -> Drawing:
    """A marker a task for each of `WHERE`, joined over the tasks."""
    y = scale or shared_scale([frame], measure)
    panel = Panel(
        Scale(0.6, tasks + 0.4),
        y,
        text("after task"),
        f"{MEASURES[measure]}: {title}",
        alt="",
        width=width,
        height=height,
        right=24,
        left=60,
        x_ticks=range(1, tasks + 1),
        x_format=lambda v: f"{v:.0f}",
    )
    said = []
    for where, (_, look, shape) in WHERE.items():
        written = where_written(where)
        part = (
            frame[(frame["where"] == where) & (frame["engine"] == "lanczos")].sort_values("task")
            if len(frame)
            else frame
        )
        if part.empty:
            continue
        values = part[measure].to_numpy(dtype=float)
        panel.line(part["task"].to_numpy() + 1, values, f"{look} thin faint")
        for row, value in zip(rows(part), values):
            head = text("%(point)s, task %(task)d", point=written, task=row.task + 1)
            tip = f"{head}\n{MEASURES[measure]} = {number(value)}\n{eigenvalue_text(row.eigenvalues)}"
            panel.point(row.task + 1, value, known(look, row.converged), shape=shape, tip=tip + lest(row), size=6)
        said.append(f"{written} " + ", ".join(number(v) for v in values))
    panel.alt = text(
        "%(measure)s of %(title)s per task: %(found)s.", measure=MEASURES[measure], title=title, found="; ".join(said)
    )
    return panel.drawing()


def legend(frames: Sequence[pd.DataFrame], width: float = 500) -> Drawing:
    """The key to the markers that the frames have, drawn once for all panels; it wraps like text."""
    there = {where for frame in frames if len(frame) for where in frame["where"]}
    entries = [(where_written(where), *rest) for where, (_, *rest) in WHERE.items() if where in there]
    places, right, row = [], 0.0, 0
    for written, *_ in entries:
        room = 30 + wide(written)
        if right > 0 and right + room > width:
            right, row = 0.0, row + 1
        places.append((right / width, row))
        right += room
    panel = Panel(
        Scale(0, 1),
        Scale(0, 1),
        "",
        "",
        alt="; ".join(f"{text(SHAPES[shape])}: {written}" for written, _, shape in entries),
        width=width,
        height=26 * (row + 1),
        x_ticks=(),
        y_ticks=(),
        left=6,
        right=0,
        top=0,
        bottom=0,
    )
    for (written, look, shape), (x, row_of) in zip(entries, places, strict=True):
        y = 1 - (row_of + 0.5) / (row + 1)
        panel.point(x, y, look, shape=shape, size=6)
        panel.text(x, y, written, f"label {look}", dx=13, dy=4)
    marks = [mark for mark in panel.marks if mark["tag"] != "line"]
    return {**panel.drawing(), "marks": marks}


def shared_scale(frames: Sequence[pd.DataFrame], measure: str) -> Scale:
    """One y-scale for all panels, from zero."""
    values = [frame[measure] for frame in frames if len(frame)]
    lowest = min((float(v.min()) for v in values), default=0.0)
    scale = span(*values, include=(0.0,))
    return Scale(0.0, scale.high) if lowest >= 0 else scale


def known(look: str, converged: bool) -> str:
    """The look of a mark: hollow where the eigenvalue did not converge."""
    return look if converged else f"open {look}"


def lest(row: Any) -> str:
    """How well a measurement is known, in a tip."""
    said = text("%(products)d products, residual %(residual)s", products=row.products, residual=number(row.residual))
    return "\n".join(["", said, *([] if row.converged else [text("did not converge: a hollow mark")])])


def four(
    runs: Sequence[tuple[str, pd.DataFrame]], task: int, measure: str, *, width: float = 500
) -> tuple[Drawing, bool]:
    """The points of one task, a row each: the Hessian at it, and where it was cut, or ended sparse, on the survivors.

    Returns the figure, and whether every eigenvalue in it converged.
    """
    parts = [(name, _at_task(frame, task)) for name, frame in runs]
    step, head = 30, 26
    places = sum(1 + len(ROWS.keys() & set(part["where"])) for _, part in parts if len(part))
    panel = Panel(
        shared_scale([part for _, part in parts], measure),
        Scale(0, 1),
        "",
        text("%(measure)s after task %(task)d", measure=MEASURES[measure], task=task + 1),
        alt="",
        width=width,
        height=places * step + head + 48,
        left=66,
        right=30,
        top=head,
        y_ticks=(),
    )
    said, row, settled = [], 0, True
    room = panel.height - panel.top - panel.bottom

    def height() -> float:
        return 1 - (row + 0.5) * step / room

    for name, part in parts:
        if part.empty:
            continue
        panel.text(panel.x.low, height(), name, "title", dx=-66, dy=6)
        row += 1
        for point, those in ROWS.items():
            found = part[part["where"].isin(those)]
            if found.empty:
                continue
            panel.text(panel.x.low, height(), row_written(point), "tick", dx=-10, dy=4, anchor="end")
            panel.rule(y=height())
            panel.line(found[measure].to_numpy(dtype=float), [height()] * len(found), "dense thin")
            for one in rows(found):
                written, (_, look, shape) = where_written(one.where), WHERE[one.where]
                value = float(getattr(one, measure))
                tip = f"{name}, {written}\n{MEASURES[measure]} = {number(value)}{lest(one)}"
                panel.point(value, height(), known(look, one.converged), shape=shape, size=7, tip=tip)
                said.append(f"{name} {written} {number(value)}")
                settled &= bool(one.converged)
            row += 1
    panel.alt = text(
        "%(measure)s after task %(task)d: %(found)s.",
        measure=MEASURES[measure],
        task=task + 1,
        found="; ".join(said),
    )
    return panel.drawing(), settled


def _at_task(frame: pd.DataFrame, task: int) -> pd.DataFrame:
    return frame[(frame["task"] == task) & (frame["engine"] == "lanczos")] if len(frame) else frame


def eigenvalue_text(values: Sequence[float]) -> str:
    """The measured eigenvalues, largest first."""
    return text("top eigenvalues %(values)s", values=", ".join(number(v) for v in values))


def spectrum(frame: pd.DataFrame, task: int, *, width: float = 500, height: float = 230) -> Drawing:
    """The top eigenvalues of one task at each point, side by side on one axis."""
    part = _at_task(frame, task)
    values = [v for row in part["eigenvalues"] for v in row] if len(part) else []
    there = [where for where in WHERE if len(part) and where in set(part["where"])]
    panel = Panel(
        span(values, include=(0.0,)),
        Scale(0, max(1, len(there))),
        text("eigenvalue"),
        text("the largest eigenvalues, task %(task)d", task=task + 1),
        alt="",
        width=width,
        height=height,
        left=190 if "end" in there else 150,
        y_ticks=(),
    )
    for row, where in enumerate(there):
        at, written, (_, look, shape) = len(there) - 0.5 - row, where_written(where), WHERE[where]
        panel.rule(y=at)
        panel.text(panel.x.low, at, written, f"label {look}", dx=-12, dy=4, anchor="end")
        for entry in rows(part[part["where"] == where]) if len(part) else ():
            for rank, value in enumerate(entry.eigenvalues):
                panel.point(
                    value,
                    at,
                    known(look, entry.converged),
                    shape=shape,
                    size=6 if rank == 0 else 4,
                    tip=f"{written}: λ{rank + 1} = {number(value)}{lest(entry)}",
                )
    found = "; ".join(f"{where_written(e.where)} {', '.join(number(v) for v in e.eigenvalues)}" for e in rows(part))
    panel.alt = text("Top eigenvalues of task %(task)d: %(found)s.", task=task + 1, found=found)
    return panel.drawing()
