"""A layer's weights as cells of a picture: receptive fields of a first layer, kernels of a convolution, a matrix."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from app.cuts import Cuts
from app.drawing import Drawing, Mark, words
from app.figures.sparsity import short
from app.language import text
from app.wording import number, percent, whole

MOST = 26_000  # cells: what a browser paints in a few milliseconds
MATRIX = 128  # most rows and columns of a matrix
GAP = -32768  # the value of a cell that is no weight, as in `component/mask.js`
WIDTH, SIDE = 520.0, 400.0  # of the figure, and of the picture in it at most


@dataclass(frozen=True)
class View:
    """Which weight each cell shows."""

    places: np.ndarray  # (h, w) positions in the flattened weight, -1 between the tiles
    told: str  # what a tile, a row and a column are, and how much is left out


def view(shape: Sequence[int], first: bool) -> View:
    """How a weight of this shape is laid out; `first`: its inputs may be pixels."""
    if len(shape) == 4 and shape[2] * shape[3] > 1:
        return _kernels(*shape)
    rows, columns = shape[0], int(np.prod(shape[1:]))
    for channels in (1, 3):
        side = isqrt(columns // channels)
        if first and len(shape) == 2 and side >= 4 and channels * side * side == columns:
            return _fields(rows, channels, side)
    return _matrix(rows, columns)


def _fields(units: int, channels: int, side: int) -> View:
    """One tile a unit: its weights where its pixels are; colours beside each other."""
    size = channels * side * side
    room = (side + 1) * (channels * side + 1)  # with the line between two tiles
    across = max(1, min(isqrt(MOST // room), int(np.ceil(np.sqrt(units)))))
    shown = min(units, across * across)
    tile = np.arange(size).reshape(channels, side, side).transpose(1, 0, 2).reshape(side, channels * side)
    tiles = np.arange(shown)[:, None, None] * size + tile
    told = text("Each tile is a unit: its weights lie where its pixels are.")
    return View(_mosaic(tiles, across), _with_rest(told, shown, units, text("units")))


def _kernels(outputs: int, inputs: int, height: int, width: int) -> View:
    """One tile a kernel: a row of tiles an output channel, a column an input channel."""
    most = max(1, isqrt(MOST // ((height + 1) * (width + 1))))
    rows, columns = min(outputs, most), min(inputs, most)
    # A layer with few inputs has room for more outputs, side by side.
    size = height * width
    one = np.arange(size).reshape(height, width)
    first = (np.arange(rows)[:, None] * inputs + np.arange(columns)) * size
    tiles = first.reshape(-1)[:, None, None] + one
    across = columns
    told = text("Each tile is a kernel: a row an output channel, a column an input channel.")
    if columns * 4 < rows:
        across = columns * max(1, isqrt(rows // columns))
        told = text("Each tile is a kernel, output channel after output channel.")
    return View(_mosaic(tiles, across), _with_rest(told, rows * columns, outputs * inputs, text("kernels")))


def _matrix(rows: int, columns: int) -> View:
    high, wide = min(rows, MATRIX), min(columns, MATRIX)
    places = np.arange(high)[:, None] * columns + np.arange(wide)
    told = text("A row is a unit, a column one of its inputs.")
    return View(places, _with_rest(told, high * wide, rows * columns, text("weights")))


def _mosaic(tiles: np.ndarray, across: int) -> np.ndarray:
    count, height, width = tiles.shape
    down = -(-count // across)
    places = np.full((down * (height + 1) - 1, across * (width + 1) - 1), -1)
    for i, tile in enumerate(tiles):
        y, x = i // across * (height + 1), i % across * (width + 1)
        places[y : y + height, x : x + width] = tile
    return places


def _with_rest(told: str, shown: int, every: int, what: str) -> str:
    if shown == every:
        return told
    numbers = {"shown": whole(shown), "every": whole(every), "what": what}
    return told + " " + text("Shown are the first %(shown)s of %(every)s %(what)s.", **numbers)


def mask(cuts: Cuts, layer: str, weights: np.ndarray, index: int) -> Drawing:
    """The weights of a layer by sign and size; those that the level takes are blank."""
    survived = np.asarray(cuts.survived[layer])
    laid = view(weights.shape, layer == next(iter(cuts.survived)))
    high, wide = laid.places.shape
    height = round(min(SIDE, SIDE * high / wide), 1)
    width = round(height * wide / high, 1)
    totals = [int((survived > place).sum()) for place in range(len(cuts.levels))]
    kept = [
        text("%(kept)s of %(all)s kept", kept=number(total), all=number(survived.size)) for total in totals
    ]  # fmt: skip
    picture: Mark = {
        "tag": "image",
        "at": {"x": 0, "y": 26, "width": width, "height": height, "preserveAspectRatio": "none", "class": "cells"},
        "cells": _packed(cuts, laid.places, weights, survived),
    }
    moving = words(WIDTH, 14, kept[index], "label pruned", "end") | {"frames": {"text": kept}}
    title = words(0, 14, text("weights of %(layer)s", layer=short(layer)), "title")
    side = width + 16
    key = [
        words(side, 40, "■ " + text("above zero"), "label pruned"),
        words(side, 62, "■ " + text("below zero"), "label warm"),
        words(side, 84, "□ " + text("removed"), "label dense"),
    ]
    alt = text(
        "The weights of %(layer)s as a picture; at %(level)s removed %(kept)s.",
        layer=short(layer), level=percent(float(cuts.levels[index])), kept=kept[index],
    )  # fmt: skip
    return {
        "width": WIDTH,
        "height": max(height, 66.0) + 30,
        "alt": alt,
        "caption": laid.told,
        "basis": 520,
        "marks": [title, moving, picture, *key],
    }


def _packed(cuts: Cuts, places: np.ndarray, weights: np.ndarray, survived: np.ndarray) -> dict[str, object]:
    scale = float(np.abs(weights).max()) or 1.0
    between = places < 0
    values = np.round(weights.reshape(-1)[places] / scale * 32767).astype("<i2")
    values[between] = GAP
    counts = survived.reshape(-1)[places].astype(np.uint8)
    counts[between] = 0
    goes = [text("goes at %(level)s", level=percent(float(level), 1 if level < 0.99 else 2)) for level in cuts.levels]
    return {
        "width": places.shape[1],
        "height": places.shape[0],
        "values": base64.b64encode(values.tobytes()).decode(),
        "survived": base64.b64encode(counts.tobytes()).decode(),
        "scale": scale,
        "gone": [*goes, text("stays at every level")],
    }
