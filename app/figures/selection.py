"""Which instances IDS chose: their images, scores, classes, and what each way of choosing would have estimated."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from app.drawing import Drawing, Mark, Panel, marker, png, words
from app.frames import rows
from app.language import marked, text
from app.scale import Numbers, Scale, span
from app.wording import excess, number, percent

CHOICES = {  # name in the array -> (as it is written, look, shape)
    "whole pool": (marked("the whole pool: the truth"), "dense", "circle"),
    "IDS": (marked("IDS, weighted 1/(n p)"), "pruned", "diamond"),
    "random": (marked("random"), "warm", "square"),
    "EL2N": (marked("highest EL2N, unweighted"), "green", "cross"),
    "top-k": (marked("highest scores, unweighted"), "purple", "triangle"),
}


def look(way: str) -> str:
    """The colour class of a way of choosing."""
    return CHOICES.get(way, (way, "joint", "cross"))[1]


def thumbnails(
    frame: pd.DataFrame, images: np.ndarray, *, columns: int = 10, most: int = 40, side: float = 52, alt: str = ""
) -> Drawing:
    """The instances of `frame` that have an image, in its order; the chosen ones are framed."""
    shown = frame[(frame["thumbnail"] >= 0) & (frame["thumbnail"] < len(images))].head(most)
    marks: list[Mark] = []
    for place, row in enumerate(rows(shown)):
        x, y = (place % columns) * side, (place // columns) * (side + 15)
        told = {"kind": row.class_name, "score": number(row.score), "times": row.times, "weight": number(row.weight)}
        tip = text("class %(kind)s, score %(score)s\nnot chosen", **told)
        if row.chosen:
            tip = text("class %(kind)s, score %(score)s\nchosen %(times)d×, weight %(weight)s", **told)
        at = {"x": x + 2, "y": y + 2, "width": side - 6, "height": side - 6}
        picture = {
            "tag": "image",
            "at": {**at, "href": png(images[int(row.thumbnail)]), "class": "pixel", "preserveAspectRatio": "none"},
            "tip": tip,
        }
        marks += [picture, {"tag": "rect", "at": {**at, "class": "frame pruned" if row.chosen else "rule"}}]
        marks.append(words(x + side / 2 - 1, y + side + 8, number(row.score, 2), "tick", "middle"))
    lines = max(1, -(-len(shown) // columns))
    counts = {"shown": len(shown), "chosen": int(shown["chosen"].sum())}
    alt = alt or text("%(shown)d instances as images, %(chosen)d of them chosen.", **counts)
    return {"width": columns * side, "height": lines * (side + 15) + 4, "alt": alt, "caption": "", "marks": marks}


def scores(
    frame: pd.DataFrame,
    *,
    column: str = "score",
    title: str = "",
    look: str = "pruned",
    width: float = 500,
    height: float = 260,
) -> Drawing:
    """Histogram of a score on a log axis: the pool (outline) and what was taken (filled)."""
    values, taken = frame[column].to_numpy(dtype=float), frame["chosen"].to_numpy(dtype=bool)
    title = title or text("score of the instance (log)")
    positive = values[values > 0]
    if not len(positive):
        nothing = Panel(
            Scale(0, 1), Scale(0, 1), title, text("no instance has a score above zero"), alt=text("No scores."),
            width=width, height=90, x_ticks=(), y_ticks=(),
        )  # fmt: skip
        return nothing.drawing()
    low, high = np.log10(positive.min()), np.log10(positive.max() * 1.0001)
    edges = np.logspace(low, high if high > low else low + 1, 25)
    floor = np.clip(values, edges[0], None)
    pool, chosen = (np.histogram(part, edges)[0] for part in (floor, floor[taken]))
    panel = Panel(
        Scale(edges[0], edges[-1], log=True), Scale(0, float(pool.max()) * 1.05), title, text("instances"), alt="",
        width=width, height=height,
    )  # fmt: skip
    for left, right, n, kept in zip(edges[:-1], edges[1:], pool, chosen):
        told = {"low": number(left), "high": number(right), "pool": n, "taken": kept}
        tip = text("scores %(low)s to %(high)s\n%(pool)d in the pool, %(taken)d taken", **told)
        panel.bar(left, right, float(n), "dense pale", tip=tip)
        panel.bar(left, right, float(kept), look, tip=tip)
    told = {"pool": len(frame), "taken": int(taken.sum())}
    panel.text(edges[0], panel.y.high, text("□ pool, %(pool)d", pool=len(frame)), "label dense", dx=6, dy=14)
    panel.text(edges[0], panel.y.high, text("■ taken, %(taken)d", taken=told["taken"]), f"label {look}", dx=6, dy=31)
    parts = (("all", values), ("those", values[taken]))
    middle = {name: number(float(np.median(part))) if len(part) else "–" for name, part in parts}
    panel.alt = text(
        "Scores of %(pool)d instances, half of them above %(all)s; of the %(taken)d taken half are above %(those)s.",
        **told,
        **middle,
    )
    return panel.drawing()


def balance(frame: pd.DataFrame, *, scale: Scale | None = None, width: float = 500, height: float = 260) -> Drawing:
    """Share of each class: in the pool, among the chosen, and after weighting, which brings it back."""
    kinds = (
        ("pool", text("in the pool"), "dense", "circle"),
        ("chosen", text("taken"), "warm", "square"),
        ("weighted", text("taken and weighted"), "pruned", "diamond"),
    )
    count = len(frame)
    panel = Panel(
        scale or shares(frame),
        Scale(0, max(1, count)),
        text("share of the instances"),
        text("class balance"),
        alt="",
        width=width,
        height=max(height, 96 + 34 * count),
        left=92,
        top=58,
        y_ticks=(),
        x_format=lambda v: percent(v, 0),
    )
    for row, entry in enumerate(rows(frame)):
        at = count - row - 0.5
        panel.rule(y=at)
        panel.text(panel.x.low, at, str(entry.class_name)[:14], "", dx=-10, dy=4, anchor="end")
        for name, written, look, shape in kinds:
            value = float(getattr(entry, name))
            told = {"kind": entry.class_name, "where": written, "share": percent(value)}
            tip = text("class %(kind)s, %(where)s: %(share)s", **told)
            panel.point(value, at, look, shape=shape, size=6, tip=tip)
    for place, (_, written, look, shape) in enumerate(kinds):
        x = 8 + (0, 95, 155)[place]
        panel.marks += [{**marker(x, 33, look, shape)}, words(x + 11, 37, written, f"label {look}")]
    said = [
        text(
            "%(kind)s: pool %(pool)s, taken %(taken)s, weighted %(weighted)s",
            kind=e.class_name, pool=percent(e.pool), taken=percent(e.chosen), weighted=percent(e.weighted),
        )
        for e in rows(frame)
    ]  # fmt: skip
    panel.alt = text("Class balance: %(said)s.", said="; ".join(said))
    return panel.drawing()


def shares(*every: pd.DataFrame) -> Scale:
    """One scale for the shares of the classes in these frames."""
    scale = span(*(frame[name] for frame in every for name in ("pool", "chosen", "weighted")), include=(0.0,))
    return Scale(0.0, scale.high)


def estimates(
    frame: pd.DataFrame,
    each: Mapping[str, np.ndarray] | None = None,
    *,
    way: str | None = None,
    width: float = 500,
    height: float = 250,
) -> Drawing:
    """What each way estimates against the truth of the whole pool: mean ± sd over draws, every draw, signed bias.

    `way`: the one that is looked at; the others step back.
    """
    values, spread = frame["lambda_max"].to_numpy(dtype=float), frame["sd"].to_numpy(dtype=float)
    drawn = dict(each or {})
    panel = Panel(
        span(values - spread, values + spread, *drawn.values(), include=(0.0,)), Scale(0, max(1, len(frame))),
        text("λₘₐₓ, mean ± standard deviation over draws"), "", alt="", width=width, height=height, left=176, right=58,
        top=26, y_ticks=(),
    )  # fmt: skip
    panel.rule(x=float(values[0]) if len(values) else 0.0, look="axis dotted")
    panel.marks.append(words(width - 4, 16, text("bias"), "tick", "end"))
    said = []
    for row, entry in enumerate(rows(frame)):
        back = " faint" if way is not None and row and entry.name != way else ""
        said.append(_estimate(panel, entry, len(frame) - row - 0.5, drawn.get(entry.name, ()), back, truth=row == 0))
    panel.alt = "; ".join(said) + "."
    return panel.drawing()


def _estimate(panel: Panel, entry: Any, at: float, each: Numbers, back: str, *, truth: bool) -> str:
    written, colour, shape = CHOICES.get(entry.name, (entry.name, "joint", "cross"))
    value, error, signed = float(entry.lambda_max), float(entry.sd), bias(float(entry.bias))
    told = {"name": text(written), "value": number(value), "sd": number(error), "n": entry.draws, "bias": signed}
    note = text("%(name)s: %(value)s", **told)
    if not truth:
        note = text("%(name)s: %(value)s ± %(sd)s, draws: %(n)d; bias %(bias)s", **told)
    panel.text(panel.x.low, at, text(written), f"label {colour}{back}", dx=-12, dy=4, anchor="end")
    if error > 0:
        panel.line([value - error, value + error], [at, at], f"{colour} thin{back}")
    if len(each) > 1:
        for one in each:
            panel.line([one, one], [at - 0.17, at + 0.17], f"{colour} thin{back}")
    panel.point(value, at, f"{colour}{back}", shape=shape, size=6, tip=note)
    if not truth and signed:
        place = (panel.at_y(at) or 0) + 4
        panel.marks.append(words(panel.width - 4, place, signed, f"label {colour}{back}", "end"))
    return note


def bias(share: float) -> str:
    """A relative bias as the reader reads it, with its sign; empty where it is undefined."""
    return excess(share) if np.isfinite(share) else ""
