"""Planes from above and in three dimensions, as plain plotly figures: to draw them nothing need be imported."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.figures.plane_colours import VIRIDIS, coloured, ticks
from app.figures.planes import WORDS, Plane, axis_title, extent, short
from app.language import marked, text

LINES = 14  # contour lines between the ends of the colour scale
PALE = "rgba(255,255,255,.45)"
DARK = "#15181c"
SHADE = "rgba(21,24,28,.7)"
GRID = "#9a9da3"  # opaque: what is clear turns white in WebGL; reads on both grounds
INK, FONT = "@ink", "@font"  # whoever shows the figure puts the theme's own in their place
TITLES = {"loss": marked("loss, nats"), "accuracy": marked("accuracy")}

Figure = dict[str, Any]  # {"data": [...], "layout": {...}}, as JSON can hold it

_SCALE = [[i / (len(VIRIDIS) - 1), colour] for i, colour in enumerate(VIRIDIS)]


def contour(
    plane: Plane,
    locked: tuple[float, float],
    *,
    quantity: str = "loss",
    beside: Sequence[Plane] = (),
    bar: bool = False,
    height: int = 400,
) -> Figure:
    """The plane from above, with the marked points, on axes that hold the planes `beside` it too."""
    values, low, high = coloured(plane, locked, quantity)
    field = {
        "type": "contour",
        "x": plane.x.tolist(),
        "y": plane.y.tolist(),
        "z": _cells(values),
        "customdata": _told(plane, quantity),
        "zmin": low,
        "zmax": high,
        "zauto": False,
        "autocontour": False,
        "colorscale": _SCALE,
        "contours": {"coloring": "heatmap", "start": low, "end": high, "size": (high - low) / LINES},
        "line": {"width": 0.6, "color": PALE},
        "connectgaps": False,
        "showscale": bar,
        "colorbar": _colour_bar(locked, quantity),
        "hovertemplate": _hover(quantity),
    }
    _, symbols, xs, ys = (list(part) for part in zip(*plane.points))
    marks = {
        "type": "scatter",
        "x": xs,
        "y": ys,
        "mode": "markers+lines",
        "line": {"color": "white", "width": 1.5, "dash": "dot"},
        "marker": {"symbol": symbols, "size": 13, "color": "white", "line": {"color": DARK, "width": 2}},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    ranges = extent([plane, *beside])
    axis = {"zeroline": False, "showgrid": False, "ticks": "outside", "tickcolor": "rgba(128,128,128,.5)"}
    names_of = (plane.x_name, plane.y_name)
    axes = [{**axis, "range": list(r), "title": {"text": axis_title(name)}} for r, name in zip(ranges, names_of)]
    layout = {
        **_layout(height),
        "margin": {"l": 62, "r": 16, "t": 8, "b": 52},  # right: half the last number of the axis
        "xaxis": axes[0],
        "yaxis": axes[1],
        "annotations": [_name(name, x, y) for name, _, x, y in plane.points],
    }
    return {"data": [field, marks], "layout": layout}


def surface(
    plane: Plane,
    locked: tuple[float, float],
    *,
    quantity: str = "loss",
    beside: Sequence[Plane] = (),
    bar: bool = False,
    height: int = 400,
) -> Figure:
    """The plane in three dimensions, with the marked points; height and colour both show the quantity."""
    values, low, high = coloured(plane, locked, quantity)
    values = np.clip(values, low, high)
    room = high - low
    lines = {"show": True, "color": PALE, "width": 1, "start": low, "end": high, "size": room / LINES}
    sheet = {
        "type": "surface",
        "x": plane.x.tolist(),
        "y": plane.y.tolist(),
        "z": _cells(values),
        "customdata": _told(plane, quantity),
        "cmin": low,
        "cmax": high,
        "cauto": False,
        "colorscale": _SCALE,
        "showscale": bar,
        "colorbar": _colour_bar(locked, quantity),
        "contours": {"z": lines},
        "connectgaps": False,
        "hovertemplate": _hover(quantity),
        "lighting": {"ambient": 0.75, "diffuse": 0.5, "specular": 0.05},
    }
    ranges = extent([plane, *beside])
    axis = {"showbackground": False, "gridcolor": GRID, "zeroline": False, "showspikes": False}
    axes = {
        f"{name}axis": {**axis, "range": list(given), "title": {"text": short(direction)}}
        for name, given, direction in zip("xy", ranges, (plane.x_name, plane.y_name))
    }
    top = {
        **axis,
        "title": {"text": text(TITLES[quantity])},
        "range": [low, high + 0.12 * room],
        **_few(ticks(locked, quantity)),
    }
    layout = {
        **_layout(height),
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "scene": {
            **axes,
            "zaxis": top,
            "camera": {"eye": {"x": -1.3, "y": -1.3, "z": 1.05}, "center": {"x": 0, "y": 0, "z": -0.14}},
            "aspectmode": "manual",
            "aspectratio": {"x": 1.1, "y": 1.1, "z": 0.65},
        },
    }
    pins = [part for point in plane.points for part in _pin(plane, values, point, high + 0.1 * room)]
    return {"data": [sheet, *pins], "layout": layout}


def key(locked: tuple[float, float], quantity: str) -> dict[str, Any]:
    """The colours that all panels share: title, colours in order, and what is written where (0 to 1)."""
    low, high = locked if quantity == "accuracy" else tuple(float(np.log10(v)) for v in locked)
    marks = ticks(locked, quantity)
    places = [
        {"at": (value - low) / (high - low), "text": written}
        for value, written in zip(marks["tickvals"], marks["ticktext"])
        if high > low
    ]
    return {"title": text(TITLES[quantity]), "colours": list(VIRIDIS), "ticks": places}


def themed(figure: Figure, ink: str, font: str) -> Figure:
    """The figure with a theme's text colour and font."""

    def put(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: put(part) for name, part in value.items()}
        if isinstance(value, list) and value and not isinstance(value[0], (float, int)):
            return [put(part) for part in value]
        return {INK: ink, FONT: font}.get(value, value) if isinstance(value, str) else value

    return {"data": put(figure["data"]), "layout": put(figure["layout"])}


def _name(name: str, x: float, y: float) -> dict[str, Any]:
    """The name of a point, on a ground of its own: a plane beside a wider one leaves the page's under it."""
    return {
        "x": x,
        "y": y,
        "text": name,
        "showarrow": False,
        "yshift": 20,
        "font": {"color": "white", "size": 14},
        "bgcolor": SHADE,
        "borderpad": 2,
    }


def _pin(plane: Plane, values: np.ndarray, point: tuple[str, str, float, float], top: float) -> list[dict[str, Any]]:
    """A point on the sheet, and its name on a stem above all of it, where nothing is behind the word."""
    name, symbol, x, y = point
    height = float(values[np.abs(plane.y - y).argmin(), np.abs(plane.x - x).argmin()])
    foot = height if np.isfinite(height) else None
    quiet = {"type": "scatter3d", "showlegend": False, "hoverinfo": "skip"}
    stem = {
        **quiet,
        "x": [x, x],
        "y": [y, y],
        "z": [foot, top],
        "mode": "lines+text",
        "text": ["", name],
        "textposition": "top center",
        "textfont": {"size": 14, "color": INK},
        "line": {"color": INK, "width": 2},
    }
    marker = {"symbol": symbol, "size": 6, "color": "white", "line": {"color": DARK, "width": 2}}
    return [stem, {**quiet, "x": [x], "y": [y], "z": [foot], "mode": "markers", "marker": marker}]


def _few(marks: dict[str, Any], most: int = 4) -> dict[str, Any]:
    """Every so many of the ticks, where an axis is seen askew."""
    step = -(-len(marks["tickvals"]) // most) or 1
    return {name: values[::step] for name, values in marks.items()}


def _layout(height: int) -> dict[str, Any]:
    clear = "rgba(0,0,0,0)"
    return {
        "height": height,
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "font": {"family": FONT, "color": INK, "size": 13},
        "hovermode": "closest",
    }


def _cells(values: np.ndarray) -> list[list[float | None]]:
    """Rows for JSON: a hole is null."""
    return [[float(f"{v:.6g}") if np.isfinite(v) else None for v in row] for row in values.tolist()]


def _told(plane: Plane, quantity: str) -> list[list[str]]:
    """What a cell says of itself: its value, and whether it was computed."""
    shown = plane.accuracy if quantity == "accuracy" and plane.accuracy is not None else plane.loss
    known = np.ones(plane.loss.shape, dtype=bool) if plane.evaluated is None else plane.evaluated
    return [
        [f"{value:.4g}" if sure else text("%(value).4g (interpolated)", value=value) for value, sure in zip(*pair)]
        for pair in zip(shown.tolist(), known.tolist())
    ]


def _hover(quantity: str) -> str:
    return f"x %{{x:.3g}}, y %{{y:.3g}}<br>{text(WORDS[quantity])} %{{customdata}}<extra></extra>"


def _colour_bar(locked: tuple[float, float], quantity: str) -> dict[str, Any]:
    title = {"text": text(TITLES[quantity]), "side": "right"}
    return {"title": title, "thickness": 12, "outlinewidth": 0, **ticks(locked, quantity)}
