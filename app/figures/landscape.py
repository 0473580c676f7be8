"""Slices through the loss: lines as drawings, planes as contours and surfaces with locked colour scales."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.drawing import Drawing, number, percent, png, words
from esacl.errors import RunUnreadable

PLANES = {  # name in the array -> (title, x axis, y axis)
    "plane_pruning": (
        "through the dense and the pruned point",
        "pruning displacement: 0 dense, 1 pruned",
        "a random direction",
    ),
    "plane_dense": ("around the dense point", "random direction 1", "random direction 2"),
    "plane_pruned": ("around the pruned point", "random direction 1", "random direction 2"),
}
SLICES = {
    "plane_pruning": "Through dense and pruned",
    "around": "Around each of them",
    "plane_dense": "Around the dense point",
    "plane_pruned": "Around the pruned point",
}
QUANTITIES = {"loss": "loss, nats", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Plane:
    """A 2-D slice."""

    name: str
    x: np.ndarray  # (nx,)
    y: np.ndarray  # (ny,)
    values: np.ndarray  # (ny, nx), NaN where the loss was not finite
    quantity: str

    @property
    def points(self) -> list[tuple[str, str, float, float]]:
        """The marked points: name, marker, x, y."""
        if self.name == "plane_pruning":
            return [("dense", "circle", 0.0, 0.0), ("pruned", "diamond", 1.0, 0.0)]
        return [("dense", "circle", 0.0, 0.0)] if self.name == "plane_dense" else [("pruned", "diamond", 0.0, 0.0)]


def planes(arrays: Mapping[str, np.ndarray], quantity: str) -> dict[str, Plane]:
    """The planes that the arrays hold.

    Raises:
        RunUnreadable: a plane's shape does not fit its axes.
    """
    found = {}
    for name in PLANES:
        keys = [f"{name}/{part}" for part in ("x", "y", quantity)]
        if not all(key in arrays for key in keys):
            continue
        x, y, values = (np.asarray(arrays[key], dtype=float) for key in keys)
        if values.shape != (len(y), len(x)) or not values.size:
            raise RunUnreadable(
                f"the landscape of this task is damaged ({name} has another shape); record the run again"
            )
        found[name] = Plane(name, x, y, values, quantity)
    return found


def slices(found: Mapping[str, Plane]) -> dict[str, str]:
    """What can be shown: one plane, or the two around the dense and the pruned point side by side."""
    names = [name for name in found if name == "plane_pruning" or "plane_pruned" not in found]
    return {name: SLICES[name] for name in (*names, *(["around"] if "plane_pruned" in found else []))}


def limits(slices: Sequence[Plane]) -> tuple[float, float]:
    """One colour scale for all planes: the whole range, but at most three decades of loss above the lowest."""
    values = np.concatenate([plane.values[np.isfinite(plane.values)] for plane in slices]) if slices else np.zeros(0)
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if slices[0].quantity == "loss":
        low = max(low, 1e-6)
        high = min(max(high, low * 1.01), low * 1000)
    return low, high if high > low else low + 1e-6


def contour(plane: Plane, locked: tuple[float, float], *, height: int = 460) -> go.Figure:
    """The plane from above, with the marked points."""
    values, low, high, ticks = _coloured(plane, locked)
    figure = go.Figure(
        go.Contour(
            x=plane.x,
            y=plane.y,
            z=values,
            customdata=plane.values,
            zmin=low,
            zmax=high,
            colorscale=_scale(plane),
            contours={"coloring": "heatmap", "start": low, "end": high, "size": (high - low) / 14},
            line={"width": 0.6, "color": "rgba(255,255,255,.45)"},
            connectgaps=False,
            zauto=False,
            colorbar={
                "title": {"text": QUANTITIES[plane.quantity], "side": "right"},
                "thickness": 12,
                "outlinewidth": 0,
                **ticks,
            },
            hovertemplate="x %{x:.2f}, y %{y:.2f}<br>%{customdata:.4g}<extra></extra>",
        )
    )
    xs, ys = [p[2] for p in plane.points], [p[3] for p in plane.points]
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="markers+text" + ("+lines" if len(xs) > 1 else ""),
        text=[p[0] for p in plane.points],
        textposition="top center",
        textfont={"color": "white", "size": 14},
        line={"color": "white", "width": 1.5, "dash": "dot"},
        marker={
            "symbol": [p[1] for p in plane.points],
            "size": 13,
            "color": "white",
            "line": {"color": "#15181c", "width": 2},
        },
        hoverinfo="skip",
        showlegend=False,
    )
    _, x_title, y_title = PLANES[plane.name]
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 12, "b": 8}, xaxis_title=x_title, yaxis_title=y_title
    )
    figure.update_xaxes(zeroline=False, showgrid=False)
    figure.update_yaxes(zeroline=False, showgrid=False)
    return figure


def surface(plane: Plane, locked: tuple[float, float], *, height: int = 520) -> go.Figure:
    """The plane in three dimensions, with the marked points; height and colour both show the quantity."""
    values, low, high, ticks = _coloured(plane, locked)
    figure = go.Figure(
        go.Surface(
            x=plane.x,
            y=plane.y,
            z=np.clip(values, low, high),
            customdata=plane.values,
            cmin=low,
            cmax=high,
            colorscale=_scale(plane),
            colorbar={
                "title": {"text": QUANTITIES[plane.quantity], "side": "right"},
                "thickness": 12,
                "outlinewidth": 0,
                **ticks,
            },
            contours={
                "z": {
                    "show": True,
                    "color": "rgba(255,255,255,.35)",
                    "width": 1,
                    "start": low,
                    "end": high,
                    "size": (high - low) / 14,
                }
            },
            hovertemplate="x %{x:.2f}, y %{y:.2f}<br>%{customdata:.4g}<extra></extra>",
            lighting={"ambient": 0.75, "diffuse": 0.5, "specular": 0.05},
        )
    )
    for name, symbol, x, y in plane.points:
        z = (
            float(np.clip(values[np.abs(plane.y - y).argmin(), np.abs(plane.x - x).argmin()], low, high))
            + (high - low) * 0.03
        )
        figure.add_scatter3d(
            x=[x],
            y=[y],
            z=[z],
            mode="markers+text",
            text=[name],
            textposition="top center",
            textfont={"size": 14},
            marker={"symbol": symbol, "size": 6, "color": "white", "line": {"color": "#15181c", "width": 3}},
            showlegend=False,
            hoverinfo="skip",
        )
    _, x_title, y_title = PLANES[plane.name]
    axis = {"showbackground": False, "gridcolor": "rgba(128,128,128,.3)", "zeroline": False}
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        uirevision="camera",
        scene={
            "xaxis": {**axis, "title": x_title},
            "yaxis": {**axis, "title": y_title},
            "zaxis": {**axis, "title": QUANTITIES[plane.quantity], "range": [low, high + (high - low) * 0.1], **ticks},
            "camera": {"eye": {"x": -1.45, "y": -1.45, "z": 0.95}},
            "aspectratio": {"x": 1.2, "y": 1.2, "z": 0.7},
        },
    )
    return figure


def picture(plane: Plane, *, width: float = 320, height: float = 210) -> Drawing:
    """A small plane for the start page: colours only, with the marked points."""
    values, low, high, _ = _coloured(plane, limits([plane]))
    share = np.nan_to_num((values - low) / max(high - low, 1e-9), nan=1.0)
    pixels = _colours(_scale(plane), np.clip(share, 0, 1))[::-1]
    marks: list[dict[str, Any]] = [
        {
            "tag": "image",
            "at": {
                "x": 0,
                "y": 0,
                "width": width,
                "height": height,
                "href": png(pixels),
                "preserveAspectRatio": "none",
            },
        }
    ]
    for name, _, x, y in plane.points:
        px = (x - plane.x[0]) / (plane.x[-1] - plane.x[0]) * width
        py = height - (y - plane.y[0]) / (plane.y[-1] - plane.y[0]) * height
        marks += [
            {"tag": "circle", "at": {"cx": round(float(px), 1), "cy": round(float(py), 1), "r": 5, "fill": "#fff"}},
            {
                **words(float(px) + 9, float(py) + 4, name),
                "at": {"x": round(float(px) + 9, 1), "y": round(float(py) + 4, 1), "class": "on-picture"},
            },
        ]
    lowest = (
        number(float(np.nanmin(plane.values))) if plane.quantity == "loss" else percent(float(np.nanmin(plane.values)))
    )
    return {
        "width": width,
        "height": height,
        "alt": f"The loss in the plane {PLANES[plane.name][0]}; the lowest value is {lowest}.",
        "caption": "",
        "marks": marks,
    }


def holes(plane: Plane) -> int:
    """How many points of the plane have no finite value."""
    return int((~np.isfinite(plane.values)).sum())


def _scale(plane: Plane) -> str:
    return "Viridis" if plane.quantity == "loss" else "Cividis"


def _coloured(plane: Plane, locked: tuple[float, float]) -> tuple[np.ndarray, float, float, dict[str, Any]]:
    low, high = locked
    if plane.quantity != "loss":
        return plane.values, low, high, {"tickformat": ".0%"}
    with np.errstate(invalid="ignore"):
        values = np.log10(np.maximum(plane.values, low))
    values[~np.isfinite(plane.values)] = np.nan
    start, end = float(np.log10(low)), float(np.log10(high))
    steps = [m * 10.0**p for p in range(int(np.floor(start)), int(np.ceil(end)) + 1) for m in (1, 2, 5)]
    inside = [v for v in steps if low * 0.999 <= v <= high * 1.001]
    return (
        values,
        start,
        end,
        {"tickvals": [float(np.log10(v)) for v in inside], "ticktext": [f"{v:g}" for v in inside]},
    )


def _colours(name: str, share: np.ndarray) -> np.ndarray:
    """Colours (h, w, 3) uint8 of shares (h, w) in a named plotly scale."""
    from plotly.colors import get_colorscale, hex_to_rgb

    table = np.array([hex_to_rgb(colour) for _, colour in get_colorscale(name.lower())], dtype=float)
    at = share * (len(table) - 1)
    below = np.floor(at).astype(int).clip(0, len(table) - 2)
    part = (at - below)[..., None]
    return (table[below] * (1 - part) + table[below + 1] * part).round().astype(np.uint8)
