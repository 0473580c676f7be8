"""The parts of the selection page: maps, images, scores and estimates, all of which follow the way of choosing."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import analysing, frames, reading, widgets
from app.drawing import Drawing, png
from app.figures import maps, selection
from app.frames import Arrays
from app.language import marked, text
from app.reading import Entry
from app.stepping import merged
from app.ways import Map, Way, each_draw, errors, of_way, ways
from app.ways import maps as maps_of
from app.wording import number, percent

SIDE = 32  # pixels of an image in the sheet, at most
WIDE = 345  # of a figure, three in a row
DRAWN = 1500  # instances on a map, at most
NAMES = {"IDS": marked("IDS"), "random": marked("random"), "EL2N": marked("EL2N"), "top-k": marked("top-k")}
SCORES = {"ggn-trace": marked("curvature score (log)"), "el2n": marked("EL2N (log)"), "uniform": marked("score (log)")}


def choices(
    entry: Entry, task: int, arrays: Arrays, pool: pd.DataFrame, score: str, *, estimated: bool, key: str
) -> None:
    """Which instances each way takes, where they lie, their images; `estimated`: and what it says of the sharpness."""
    found, places = ways(arrays), maps_of(arrays)
    if "way_names" not in arrays or len(places) < 2:
        said = text("This run has recorded neither a nonlinear map nor what random and EL2N would have taken")
        analysing.offer(entry, said, "selection", {"task": task}, boxed=False)
    label = text("Which instances would be taken by")

    def make() -> tuple[Any, ...]:
        names = [text(NAMES[way.name]) if way.name in NAMES else way.name for way in found]
        known = arrays if estimated else {name: array for name, array in arrays.items() if name != "estimate_names"}
        drawings = [*_maps(pool, found, places), *_scores(pool, found, arrays, score), *_told(pool, found, known)]
        looks = [selection.look(way.name) for way in found]
        about = {**linked(arrays, pool, found), "ways": names, "looks": looks, "words": _words()}
        return names, looks, drawings, _facts(pool, found, known), about

    widgets.linked(label, *reading.once(make, "instances", [entry], task, estimated), key=key)


def why_biased() -> None:
    """Why the estimates come out as they do."""
    st.markdown(
        text(
            "**Hard examples are biased.** The highest scores without weights are no sample of this loss: they are "
            "the images that bend it most, so they tell of a loss that is sharper than it is. **Weighted sampling** "
            "asks often where much is to be learned, and its weights undo that. **Random** images weigh every image "
            "alike, but a single draw can be far off, and for λₘₐₓ so is the mean over draws."
        )
    )
    st.caption(
        text(
            "λₘₐₓ is not linear in the data, so even a fair sample keeps a bias, upward in the mean; it is shown "
            "signed. Weights undo the preference for a class on average over draws, not within one draw."
        )
    )


def _maps(pool: pd.DataFrame, found: Sequence[Way], places: Sequence[Map]) -> list[Drawing]:
    classes = sorted(pool["class_name"].unique())
    made = []
    for where in places:
        shown = _thinned(where, found)
        made.append(merged([maps.scatter(of_way(pool, way), shown, classes, way=way.name) for way in found]))
    return made


def _thinned(where: Map, found: Sequence[Way]) -> Map:
    """The map with what somebody takes, and of the others as many as can be told apart."""
    n = len(where.x)
    if n <= DRAWN:
        return where
    order = np.argsort(-np.max([way.times for way in found], axis=0), kind="stable")
    kept = np.isin(np.arange(n), order[:DRAWN])
    return Map(where.name, np.where(kept, where.x, np.nan), np.where(kept, where.y, np.nan), where.trust)


def _scores(pool: pd.DataFrame, found: Sequence[Way], arrays: Arrays, score: str) -> list[Drawing]:
    hard = errors(arrays)
    columns = {"score": text(SCORES.get(score, "score"))}
    if hard is not None and score != "el2n":
        pool, columns["el2n"] = pool.assign(el2n=hard), text(SCORES["el2n"])
    made = []
    for column, title in columns.items():
        steps = [
            selection.scores(of_way(pool, way), column=column, title=title, look=selection.look(way.name), width=WIDE)
            for way in found
        ]
        made.append(merged(steps))
    balances = [frames.balance(of_way(pool, way)) for way in found]
    scale = selection.shares(*balances)
    made.append(merged([selection.balance(balance, scale=scale, width=WIDE) for balance in balances]))
    return [{**made[0], "section": text("Scores and classes of what is taken")}, *made[1:]]


def _told(pool: pd.DataFrame, found: Sequence[Way], arrays: Arrays) -> list[Drawing]:
    if "estimate_names" not in arrays:
        return []
    frame, each = frames.estimates(arrays), each_draw(arrays)
    figure = merged([selection.estimates(frame, each, way=way.name) for way in found])
    return [{**figure, "section": text("What would each have told about the sharpness?"), "caption": _draws(frame)}]


def _draws(frame: pd.DataFrame) -> str:
    told = {"draws": int(frame["draws"].max())}
    return text(
        "Dotted: the truth, from the whole pool. Marks: mean ± standard deviation over %(draws)d draws, each a tick; "
        "the highest scores are always the same. Percent: signed bias.",
        **told,
    )


def _facts(pool: pd.DataFrame, found: Sequence[Way], arrays: Arrays) -> list[dict[str, object]]:
    taken = [text("%(taken)d of %(pool)d", taken=int((way.times > 0).sum()), pool=len(pool)) for way in found]
    total = max(1e-12, float(pool["score"].sum()))
    share = [float(pool.loc[way.times > 0, "score"].sum()) / total for way in found]
    facts: list[dict[str, object]] = [
        {"label": text("instances taken"), "values": taken},
        {"label": text("of all scores"), "values": [percent(one, 0) for one in share]},
        {"label": text("weights, from – to"), "values": [_weights(way) for way in found]},
    ]
    if "estimate_names" in arrays:
        frame = frames.estimates(arrays).set_index("name")
        known = [frame.loc[way.name].to_dict() if way.name in frame.index else None for way in found]
        truth = text("λₘₐₓ estimated; the truth is %(truth)s", truth=number(float(frame["lambda_max"].iloc[0])))
        values = ["–" if one is None else number(float(one["lambda_max"])) for one in known]
        off = ["–" if one is None else selection.bias(float(one["bias"])) for one in known]
        facts += [{"label": truth, "values": values}, {"label": text("signed bias of λₘₐₓ"), "values": off}]
    return facts


def _weights(way: Way) -> str:
    known = way.weight[way.times > 0]
    if not len(known):
        return "–"
    low, high = number(float(known.min()), 2), number(float(known.max()), 2)
    return low if low == high else f"{low} – {high}"


def linked(arrays: Arrays, pool: pd.DataFrame, found: Sequence[Way]) -> dict[str, object]:
    """What the browser needs to show the images of selected instances: images, scores, classes, weights."""
    classes = sorted(pool["class_name"].unique())
    place = {name: index for index, name in enumerate(classes)}
    images = np.asarray(arrays.get("thumbnails", np.zeros((0, 1, 1), dtype=np.uint8)))
    image = np.where(pool["thumbnail"] < len(images), pool["thumbnail"], -1)
    return {
        "sheet": sheet(images),
        "image": image.tolist(),
        "order": np.argsort(-pool["score"].to_numpy(), kind="stable").tolist(),
        "scores": [number(float(value), 2) for value in pool["score"]],
        "kind": [place[name] for name in pool["class_name"]],
        "kinds": classes,
        "weights": [[number(float(w), 2) if t else "" for w, t in zip(way.weight, way.times)] for way in found],
    }


def sheet(images: np.ndarray) -> dict[str, object]:
    """All images in one picture, row by row: `href`, `columns`, and the `width` and `height` of one."""
    if images.ndim not in (3, 4) or not len(images):
        images = np.zeros((1, 1, 1), dtype=np.uint8)
    step = -(-max(images.shape[1:3]) // SIDE)
    small = images[:, ::step, ::step]
    n, height, width = small.shape[:3]
    columns = math.ceil(math.sqrt(n))
    lines = -(-n // columns)
    padded = np.zeros((lines * columns, *small.shape[1:]), dtype=np.uint8)
    padded[:n] = small
    grid = padded.reshape(lines, columns, *small.shape[1:]).swapaxes(1, 2)
    whole = grid.reshape(lines * height, columns * width, *small.shape[3:])
    return {"href": png(whole), "columns": columns, "width": width, "height": height}


def _words() -> Mapping[str, str]:
    return {
        "draw": text("Draw"),
        "lasso": text("a lasso"),
        "box": text("a box"),
        "kind": text("Class"),
        "any": text("any"),
        "from": text("Scores from"),
        "to": text("to"),
        "clear": text("Clear"),
        "images": text("Images of the selected instances, highest score first"),
        "selected": text("{n} selected, highest score first."),
        "between": text(" Scores from {from} to {to}."),
        "nothing": text("Draw around some marks, or choose a class. Until then: the {n} that {way} takes."),
        "of_these": text("Taken of these: "),
        "weight": text("weight {weight}"),
        "not_taken": text("not taken"),
        "no_image": text("no image"),
        "about": text("class {kind}, score {score}, {weight}"),
        "more": text("and {n} more"),
    }
