"""Planes from above and in three dimensions, by plotly (which only the landscape page loads)."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.figures.planes import PLANES, Plane, coloured, ticks

LINES = 14  # contour lines between the ends of the colour scale
PALE = "rgba(255,255,255,.45)"
DARK = "#15181c"


def contour(plane: Plane, locked: tuple[float, float], *, height: int = 460) -> go.Figure:
    """The plane from above, with the marked points."""
    values, low, high = coloured(plane, locked)
    figure = go.Figure(
        go.Contour(
            x=plane.x,
            y=plane.y,
            z=values,
            customdata=plane.loss,
            zmin=low,
            zmax=high,
            zauto=False,
            colorscale="Viridis",
            contours={"coloring": "heatmap", "start": low, "end": high, "size": (high - low) / LINES},
            line={"width": 0.6, "color": PALE},
            connectgaps=False,
            colorbar=_colour_bar(locked),
            hovertemplate=_HOVER,
        )
    )
    names, symbols, xs, ys = (list(part) for part in zip(*plane.points))
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="markers+text+lines",
        text=names,
        textposition="top center",
        textfont={"color": "white", "size": 14},
        line={"color": "white", "width": 1.5, "dash": "dot"},
        marker={"symbol": symbols, "size": 13, "color": "white", "line": {"color": DARK, "width": 2}},
        hoverinfo="skip",
        showlegend=False,
    )
    _, x_title, y_title = PLANES[plane.name]
    margin = {"l": 8, "r": 8, "t": 12, "b": 8}
    figure.update_layout(height=height, margin=margin, xaxis_title=x_title, yaxis_title=y_title)
    figure.update_xaxes(zeroline=False, showgrid=False)
    figure.update_yaxes(zeroline=False, showgrid=False)
    return figure


def surface(plane: Plane, locked: tuple[float, float], *, height: int = 520) -> go.Figure:
    """The plane in three dimensions, with the marked points; height and colour both show the loss."""
    away = 1.3 if plane.name == "plane_pruning" else 1.6  # the others stand side by side, in half of the width
    values, low, high = coloured(plane, locked)
    values = np.clip(values, low, high)
    lines = {"show": True, "color": PALE, "width": 1, "start": low, "end": high, "size": (high - low) / LINES}
    figure = go.Figure(
        go.Surface(
            x=plane.x,
            y=plane.y,
            z=values,
            customdata=plane.loss,
            cmin=low,
            cmax=high,
            colorscale="Viridis",
            colorbar=_colour_bar(locked),
            contours={"z": lines},
            hovertemplate=_HOVER,
            lighting={"ambient": 0.75, "diffuse": 0.5, "specular": 0.05},
        )
    )
    for name, symbol, x, y in plane.points:
        z = float(values[np.abs(plane.y - y).argmin(), np.abs(plane.x - x).argmin()]) + (high - low) * 0.07
        figure.add_scatter3d(
            x=[x],
            y=[y],
            z=[z],
            mode="markers+text",
            text=[name],
            textposition="top center",
            textfont={"size": 15, "color": "white"},
            marker={"symbol": symbol, "size": 6, "color": "white", "line": {"color": DARK, "width": 3}},
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
            "xaxis": {**axis, "title": x_title.partition(":")[0]},
            "yaxis": {**axis, "title": y_title},
            "zaxis": {**axis, "title": "loss, nats", "range": [low, high + (high - low) * 0.1], **ticks(locked)},
            "camera": {"eye": {"x": -away, "y": -away, "z": 0.88 * away}, "center": {"x": 0, "y": 0, "z": -0.15}},
            "aspectratio": {"x": 1.1, "y": 1.1, "z": 0.65},
        },
    )
    return figure


_HOVER = "x %{x:.2f}, y %{y:.2f}<br>loss %{customdata:.4g}<extra></extra>"


def _colour_bar(locked: tuple[float, float]) -> dict[str, Any]:
    title = {"text": "loss, nats", "side": "right"}
    return {"title": title, "thickness": 12, "outlinewidth": 0, **ticks(locked)}
