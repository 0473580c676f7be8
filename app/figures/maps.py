"""The instances of a pool on the plane: shape and colour tell the class, filled marks are taken."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.drawing import Drawing, Panel, marker, words
from app.frames import rows
from app.language import text
from app.scale import span
from app.ways import LINEAR, Map
from app.wording import number, percent

SHAPES = ("circle", "square", "diamond", "triangle", "cross")
LOOKS = ("esacl", "warm", "green", "purple", "er")
NAMED, A_LINE = 10, 5  # classes in the key above a map, and in one line of it


def scatter(
    frame: pd.DataFrame, where: Map, classes: Sequence[str], *, way: str = "", width: float = 345, height: float = 360
) -> Drawing:
    """One map with an instance a mark; larger: more weight. What has no place on the map is left out."""
    linear = where.name == LINEAR
    title = text("second principal component") if linear else text("%(map)s of the features", map=text(where.name))
    panel = Panel(
        span(where.x), span(where.y), text("first principal component") if linear else "", title, alt="", width=width,
        height=height, left=8, right=8, top=60 + 18 * (len(classes) > A_LINE), bottom=30, x_ticks=(), y_ticks=(),
    )  # fmt: skip
    heaviest = float(frame["weight"].max()) or 1.0
    for item, row in enumerate(rows(frame)):
        if np.isfinite(where.x[item]) and np.isfinite(where.y[item]):
            _instance(panel, item, row, where, classes, heaviest)
    for place, name in enumerate(classes[:NAMED]):
        shape, look = _style(place)
        x, y = 8.0 + place % A_LINE * (width - 16) / A_LINE, 36 + place // A_LINE * 18
        panel.marks += [marker(x, y, look, shape), words(x + 11, y + 4, str(name)[:8], f"label {look}")]
    told = {"n": len(frame), "map": text(where.name), "way": way or text("the choice")}
    panel.alt = text(
        "%(n)d instances by their features (%(map)s); the %(taken)d that %(way)s takes are filled.",
        taken=int(frame["chosen"].sum()),
        **told,
    )
    panel.caption = _caption(where, linear)
    return {**panel.drawing(), "lasso": True}


def _caption(where: Map, linear: bool) -> str:
    said = text("Distances are those of the features, as far as two directions show them.")
    if not linear:
        said = text("Who is near whom counts here; distances between groups do not.")
    if where.trust is not None:
        said += " " + text("Trustworthiness of neighbours: %(share)s.", share=percent(where.trust, 0))
    return said


def _instance(panel: Panel, item: int, row: object, where: Map, classes: Sequence[str], heaviest: float) -> None:
    name, taken, weight = (getattr(row, column) for column in ("class_name", "chosen", "weight"))
    shape, look = _style(classes.index(name) if name in classes else 0)
    told = {"kind": name, "score": number(getattr(row, "score", None)), "weight": number(weight)}
    tip = text("class %(kind)s, score %(score)s, weight %(weight)s", **told)
    if not taken:
        tip = text("class %(kind)s, score %(score)s, not taken", **told)
    size = 3.2 + 3.8 * float(np.sqrt(weight / heaviest)) if taken else 3.2
    place = float(where.x[item]), float(where.y[item])
    panel.point(*place, look if taken else f"open thin faint {look}", shape=shape, size=size, tip=tip)
    panel.marks[-1]["item"] = item


def _style(kind: int) -> tuple[str, str]:
    return SHAPES[kind % 5], LOOKS[(kind + kind // 5) % 5]
