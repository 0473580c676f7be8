"""The Hessian's spectrum: eigenvalues linked to the loss along their eigenvectors, its density, its estimate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.drawing import Drawing, Panel, words
from app.figures.curvature import WHERE, known, where_written
from app.language import text
from app.scale import Scale, span
from app.spectra import Density, Ends, Interval
from app.wording import number, percent, whole

DIGITS = "₀₁₂₃₄₅₆₇₈₉"
ABOVE = 1.6  # nats above the highest of the points that the slices are drawn to: the parabolas rise by one


@dataclass(frozen=True)
class Linked:
    """Eigenvalues to step through, and what follows the step."""

    names: list[str]  # one a stop
    facts: list[dict[str, Any]]
    drawings: list[Drawing]


def subscript(rank: int) -> str:
    """λ₁ for 1."""
    return "λ" + "".join(DIGITS[int(digit)] for digit in str(rank))


def linked(found: Sequence[Ends]) -> Linked | None:
    """The spectrum with one eigenvalue marked, and the loss along its eigenvector; None without slices."""
    stops = [(point, i) for point in found for i in range(len(point.top)) if point.steps.shape[1]]
    if not stops:
        return None
    names = [f"{subscript(i + 1)} = {number(float(p.top[i]))}, {where_written(p.where)}" for p, i in stops]
    columns = {
        text("residual |Hv − λv|"): [number(float(p.residuals[i])) for p, i in stops],
        text("products for all of this point"): [str(p.products) for p, _ in stops],
        text("converged"): [text("yes") if p.converged else text("no: hollow") for p, _ in stops],
        text("slope g'v at the point"): [number(float(p.gradient[i])) for p, i in stops],
    }
    facts = [{"label": label, "values": values} for label, values in columns.items()]
    return Linked(names, facts, [_rows(found, stops), _along(stops)])


def _rows(found: Sequence[Ends], stops: Sequence[tuple[Ends, int]], *, width: float = 520) -> Drawing:
    values = [value for point in found for value in (*point.top, point.bottom)]
    panel = Panel(
        span(values, include=(0.0,)),
        Scale(0, len(found)),
        text("eigenvalue"),
        text("both ends of the spectrum"),
        alt="",
        width=width,
        height=96 + 66 * len(found),
        left=12,
        right=12,
        y_ticks=(),
    )
    panel.rule(x=0.0)
    for row, point in enumerate(found):
        at = len(found) - row - 0.62
        written, (_, look, shape) = where_written(point.where), WHERE[point.where]
        panel.rule(y=at)
        words = written if point.converged else text("%(point)s: did not converge", point=written)
        panel.text(panel.x.low, at, words, f"label {look}", dy=-16)
        if point.bottom is not None:
            tip = text("%(point)s: the smallest eigenvalue, %(value)s", point=written, value=number(point.bottom))
            panel.point(point.bottom, at, known(look, point.converged), shape="cross", size=5, tip=tip)
        for i in reversed(range(len(point.top))):
            tip = f"{written}: {subscript(i + 1)} = {number(float(point.top[i]))}\n"
            tip += text("click to see the slice along it")
            panel.point(float(point.top[i]), at, known(look, point.converged), shape=shape, size=6, tip=tip)
            pick = next((n for n, (p, j) in enumerate(stops) if p is point and j == i), None)
            if pick is not None:
                panel.marks[-1]["pick"] = pick
    ring = [(p.top[i], len(found) - found.index(p) - 0.62) for p, i in stops]
    places = {"cx": [panel.at_x(float(x)) for x, _ in ring], "cy": [panel.at_y(y) for _, y in ring]}
    first = {"cx": places["cx"][0], "cy": places["cy"][0], "r": 11, "class": "cursor"}
    panel.marks.append({"tag": "circle", "at": first, "frames": places})
    panel.text(panel.x.high, len(found), text("a cross marks the smallest"), "note", dy=-4, anchor="end")
    said = "; ".join(f"{where_written(p.where)} {', '.join(number(float(v)) for v in p.top)}" for p in found)
    panel.alt = text("Top eigenvalues: %(found)s.", found=said)
    return panel.drawing()


def _along(stops: Sequence[tuple[Ends, int]], *, width: float = 520, height: float = 294) -> Drawing:
    ceiling = max(point.value for point, _ in stops) + ABOVE
    curves = [(p.steps[i], p.losses[i], p.parabola(i)) for p, i in stops]
    lowest = min(float(np.nanmin([loss, fit])) if np.isfinite(loss).any() else 0.0 for _, loss, fit in curves)
    panel = Panel(
        span(*(steps for steps, _, _ in curves), pad=0.0),
        Scale(min(0.0, lowest), ceiling),
        text("step along the unit eigenvector, weight units"),
        text("loss, nats"),
        alt=text("The loss along the chosen eigenvector, measured and as its parabola tells it; one scale for all."),
        width=width,
        height=height,
        right=14,
        top=48,
    )
    panel.rule(x=0.0)
    for kind, look in ((2, "line dash dense"), (1, "line")):
        paths = [panel.path(steps, (loss, fit)[kind - 1]) for steps, loss, fit in curves]
        looks = [look if kind == 2 else f"{look} {WHERE[point.where][1]}" for point, _ in stops]
        frames = {"d": paths, "class": looks}
        panel.marks.append({"tag": "path", "at": {"d": paths[0], "class": looks[0]}, "frames": frames})
    here = [panel.at_y(point.value) for point, _ in stops]
    dot = {"cx": panel.at_x(0.0), "cy": here[0], "r": 5, "class": "mark"}
    panel.marks.append({"tag": "circle", "at": dot, "frames": {"cy": here}})
    for at, look, name in ((0, "line", text("measured")), (112, "line dash dense", text("loss + g'v a + λa²/2"))):
        key = {"x1": panel.left + at, "x2": panel.left + at + 30, "y1": 34, "y2": 34, "class": look}
        panel.marks += [{"tag": "line", "at": key}, words(panel.left + at + 38, 38, name, "note")]
    return panel.drawing()


def density(found: Sequence[Density], tops: Sequence[Ends] = (), *, width: float = 400) -> list[Drawing]:
    """The density at each point with its error band, the top eigenvalues marked; one pair of scales for all."""
    if not found:
        return []
    floor = min(_one_eigenvalue(one) for one in found) / 30
    top = max(float(np.nanmax(one.density + 2 * one.error)) for one in found)
    x = span(*(one.grid for one in found), pad=0.0)
    y = Scale(10 ** np.floor(np.log10(floor)), 10 ** np.ceil(np.log10(top)), log=True)
    return [_density(one, x, y, next((e for e in tops if e.where == one.where), None), width) for one in found]


def _one_eigenvalue(one: Density) -> float:
    """The height of the hump that a single one of the eigenvalues makes."""
    return 1 / (one.entries * one.width * np.sqrt(2 * np.pi)) if one.entries and one.width > 0 else 1e-6


def _density(one: Density, x: Scale, y: Scale, tops: Ends | None, width: float) -> Drawing:
    written, (_, look, shape) = where_written(one.where), WHERE[one.where]
    title = text("density of the spectrum (log): %(point)s", point=written)
    panel = Panel(x, y, text("eigenvalue"), title, "", width, 290, left=50, right=14)
    low, high = (np.maximum(one.density + sign * 2 * one.error, y.low) for sign in (-1, 1))
    panel.area(one.grid, low, high, look)
    panel.line(one.grid, np.where(one.density >= y.low, one.density, np.nan), look)
    said = ""
    for i, value in enumerate(tops.top if tops else ()):
        settled = tops is not None and tops.converged
        tip = f"{subscript(i + 1)} = {number(float(value))}"
        tip = tip if settled else text("%(value)s, did not converge", value=tip)
        panel.point(float(value), y.low * 1.6, known(look, settled), shape=shape, size=5, tip=tip)
        said += f" {number(float(value))}"
    panel.caption = _density_told(one)
    panel.alt = text(
        "Density of the eigenvalues, %(point)s. %(caption)s Top eigenvalues marked: %(found)s.",
        point=written,
        caption=panel.caption,
        found=said.strip() or text("none"),
    )
    return panel.drawing()


def _density_told(one: Density) -> str:
    said = [
        text(
            "%(entries)s eigenvalues, smoothed by %(width)s; %(products)d products.",
            entries=whole(one.entries),
            width=number(one.width),
            products=one.products,
        )
    ]
    # A ReLU network's trace is no sample.
    error = f"± {number(one.trace_error)}" if one.trace_error > 0 else text("to rounding")
    if np.isfinite(one.trace):
        values = {"trace": number(one.trace), "error": error, "products": one.trace_products}
        said.append(text("Trace %(trace)s %(error)s (%(products)d products).", **values))
    if not one.converged:
        said.append(text("Its quadrature did not converge."))
    return " ".join(said)


def interval(found: Interval, *, width: float = 500) -> Drawing:
    """Each top eigenvalue from the chosen instances with its interval, and from the whole pool beneath it."""
    k = len(found.value)
    scale = span(found.low, found.high, found.full, include=(0.0,))
    panel = Panel(
        Scale(min(0.0, float(np.nanmin([found.low, found.full]))), scale.high),
        Scale(0, k),
        text("eigenvalue at the dense point"),
        text("from %(examples)d instances, and from all", examples=found.examples),
        alt="",
        width=width,
        height=84 + 50 * k,
        left=34,
        right=20,
        y_ticks=(),
    )
    said = []
    for i in range(k):
        at = k - i - 0.5
        panel.text(panel.x.low, at, subscript(i + 1), "title", dx=-28, dy=4)
        panel.rule(y=at)
        value, low, high, full = (float(v[i]) for v in (found.value, found.low, found.high, found.full))
        panel.line([low, high], [at + 0.14] * 2, "pruned")
        values = {"value": number(value), "low": number(low), "high": number(high), "whole": number(full)}
        tip = text("IDS: %(value)s, %(level)s interval %(low)s to %(high)s", level=percent(found.level, 0), **values)
        tip += "\n" + text("estimated upward bias %(bias)s", bias=number(float(found.bias[i])))
        panel.point(value, at + 0.14, known("pruned", found.converged), tip=tip)
        look = known("dense", found.full_converged)
        panel.point(full, at - 0.14, look, shape="diamond", tip=text("whole pool: %(whole)s", **values))
        place = subscript(i + 1)
        said.append(text("%(place)s %(value)s (%(low)s to %(high)s), whole pool %(whole)s", place=place, **values))
    if not (found.converged and found.full_converged):
        panel.caption = text("Hollow: did not converge.")
    panel.alt = text(
        "Top eigenvalues from the chosen instances with their intervals: %(found)s.", found="; ".join(said)
    )
    return panel.drawing()
