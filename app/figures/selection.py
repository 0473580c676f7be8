"""Which instances IDS chose: their images, scores, classes, and what each way of choosing would have estimated."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.drawing import Drawing, Mark, Panel, marker, png, words
from app.frames import rows
from app.scale import Scale, span
from app.wording import number, percent

CHOICES = {  # name in the array -> (as it is written, look, shape)
    "whole pool": ("the whole pool: the truth", "dense", "circle"),
    "IDS": ("IDS, weighted 1/(n p)", "pruned", "diamond"),
    "random": ("random", "warm", "square"),
    "top-k": ("highest scores, unweighted", "purple", "triangle"),
}


def thumbnails(
    frame: pd.DataFrame, images: np.ndarray, *, columns: int = 10, most: int = 40, side: float = 52, alt: str = ""
) -> Drawing:
    """The instances of `frame` that have an image, in its order; the chosen ones are framed."""
    shown = frame[(frame["thumbnail"] >= 0) & (frame["thumbnail"] < len(images))].head(most)
    marks: list[Mark] = []
    for place, row in enumerate(rows(shown)):
        x, y = (place % columns) * side, (place // columns) * (side + 15)
        tip = f"class {row.class_name}, score {number(row.score)}\n"
        tip += f"chosen {row.times}×, weight {number(row.weight)}" if row.chosen else "not chosen"
        at = {"x": x + 2, "y": y + 2, "width": side - 6, "height": side - 6}
        picture = {
            "tag": "image",
            "at": {**at, "href": png(images[int(row.thumbnail)]), "class": "pixel", "preserveAspectRatio": "none"},
            "tip": tip,
        }
        marks += [picture, {"tag": "rect", "at": {**at, "class": "frame pruned" if row.chosen else "rule"}}]
        marks.append(words(x + side / 2 - 1, y + side + 8, number(row.score, 2), "tick", "middle"))
    lines = max(1, -(-len(shown) // columns))
    text = alt or f"{len(shown)} instances as images, {int(shown['chosen'].sum())} of them chosen."
    return {"width": columns * side, "height": lines * (side + 15) + 4, "alt": text, "caption": "", "marks": marks}


def scores(frame: pd.DataFrame, *, width: float = 500, height: float = 260) -> Drawing:
    """Histogram of the scores on a log axis: the pool (outline) and the chosen (filled)."""
    values = frame["score"].to_numpy(dtype=float)
    positive = values[values > 0]
    if not len(positive):
        return Panel(
            Scale(0, 1),
            Scale(0, 1),
            "score",
            "no instance has a score above zero",
            alt="No scores.",
            width=width,
            height=90,
            x_ticks=(),
            y_ticks=(),
        ).drawing()
    low, high = np.log10(positive.min()), np.log10(positive.max() * 1.0001)
    edges = np.logspace(low, high if high > low else low + 1, 25)
    floor = np.clip(values, edges[0], None)
    pool, _ = np.histogram(floor, edges)
    chosen, _ = np.histogram(floor[frame["chosen"].to_numpy()], edges)
    panel = Panel(
        Scale(edges[0], edges[-1], log=True),
        Scale(0, float(pool.max()) * 1.05),
        "score of the instance (log)",
        "instances",
        alt="",
        width=width,
        height=height,
    )
    for left, right, n, kept in zip(edges[:-1], edges[1:], pool, chosen):
        tip = f"scores {number(left)} to {number(right)}\n{n} in the pool, {kept} chosen"
        panel.bar(left, right, float(n), "dense hatched", tip=tip)
        panel.bar(left, right, float(kept), "pruned", tip=tip)
    panel.text(edges[0], panel.y.high, f"□ pool, {len(frame)}", "label dense", dx=6, dy=14)
    panel.text(edges[0], panel.y.high, f"■ chosen, {int(frame['chosen'].sum())}", "label pruned", dx=6, dy=31)
    panel.alt = (
        f"Scores of {len(frame)} instances; {int(frame['chosen'].sum())} were chosen, mostly those with high scores."
    )
    return panel.drawing()


def balance(frame: pd.DataFrame, *, width: float = 500, height: float = 260) -> Drawing:
    """Share of each class: in the pool, among the chosen, and after weighting, which brings it back."""
    kinds = (
        ("pool", "in the pool", "dense", "circle"),
        ("chosen", "among the chosen", "warm", "square"),
        ("weighted", "chosen and weighted", "pruned", "diamond"),
    )
    count = len(frame)
    panel = Panel(
        span(frame["pool"], frame["chosen"], frame["weighted"], include=(0.0,)),
        Scale(0, max(1, count)),
        "share of the instances",
        "class balance",
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
            panel.point(
                value, at, look, shape=shape, size=6, tip=f"class {entry.class_name}, {written}: {percent(value)}"
            )
    for place, (_, written, look, shape) in enumerate(kinds):
        x = panel.left + place * 140 - 60
        panel.marks += [{**marker(x, 33, look, shape)}, words(x + 11, 37, written, f"label {look}")]
    panel.alt = (
        "Class balance: "
        + "; ".join(
            f"{e.class_name}: pool {percent(e.pool)}, chosen {percent(e.chosen)}, weighted {percent(e.weighted)}"
            for e in rows(frame)
        )
        + "."
    )
    return panel.drawing()


def estimates(frame: pd.DataFrame, *, width: float = 500, height: float = 220) -> Drawing:
    """What each selection estimates against the truth of the whole pool: mean and standard deviation over draws."""
    values, spread = frame["lambda_max"].to_numpy(dtype=float), frame["sd"].to_numpy(dtype=float)
    panel = Panel(
        span(values - spread, values + spread, include=(0.0,)),
        Scale(0, max(1, len(frame))),
        "λₘₐₓ, mean ± standard deviation over draws",
        "",
        alt="",
        width=width,
        height=height,
        left=190,
        right=64,
        top=10,
        y_ticks=(),
    )
    truth = float(values[0]) if len(values) else 0.0
    panel.rule(x=truth, look="axis dotted")
    said = []
    for row, entry in enumerate(rows(frame)):
        at = len(frame) - row - 0.5
        written, look, shape = CHOICES.get(entry.name, (entry.name, "joint", "cross"))
        value, error, off = float(entry.lambda_max), float(entry.sd), float(entry.bias)
        signed = f"{round(100 * off):+d} %".replace("-", "−").replace("+0 ", "0 ") if np.isfinite(off) else ""
        note = f"{written}: {number(value)} ± {number(error)}, {entry.draws} draws; bias {signed}"
        if row == 0:
            note = f"{written}: {number(value)}"
        panel.text(panel.x.low, at, written, f"label {look}", dx=-12, dy=4, anchor="end")
        if error > 0:
            panel.line([value - error, value + error], [at, at], f"{look} thin")
        panel.point(value, at, look, shape=shape, size=6, tip=note)
        if row and signed:
            panel.marks.append(
                words(
                    width - 4,
                    (panel.at_y(at) or 0) + 4,
                    signed,
                    f"label {look}",
                    "end",
                )
            )
        said.append(note)
    panel.alt = "; ".join(said) + "."
    return panel.drawing()


def embedding(frame: pd.DataFrame, classes: Sequence[str], *, width: float = 500, height: float = 340) -> Drawing:
    """The features of the instances in two principal components: shape = class, filled = chosen, size = weight."""
    panel = Panel(
        span(frame["x"]),
        span(frame["y"]),
        "first principal component",
        "second principal component of the features",
        alt="",
        width=width,
        height=height,
        left=40,
        top=58,
    )
    shapes = ("circle", "square", "diamond", "triangle", "cross")
    looks = ("esacl", "warm", "green", "purple", "er")
    heaviest = float(frame["weight"].max()) or 1.0
    for row in rows(frame.sort_values("chosen")):
        kind = classes.index(row.class_name) if row.class_name in classes else 0
        shape, look = shapes[kind % 5], looks[kind % 5]
        size = 3.0 + 4.0 * float(np.sqrt(row.weight / heaviest)) if row.chosen else 3.0
        tip = f"class {row.class_name}, score {number(row.score)}, " + (
            f"weight {number(row.weight)}" if row.chosen else "not chosen"
        )
        panel.point(row.x, row.y, look if row.chosen else f"open thin faint {look}", shape=shape, size=size, tip=tip)
    for place, name in enumerate(classes[:10]):
        panel.marks += [
            marker(8 + place * 70, 33, looks[place % 5], shapes[place % 5]),
            words(19 + place * 70, 37, str(name)[:8], f"label {looks[place % 5]}"),
        ]
    panel.alt = f"{len(frame)} instances by their features; the {int(frame['chosen'].sum())} chosen ones are filled."
    return panel.drawing()
