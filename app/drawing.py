"""Figures as plain data: scales, axes and marks that `app/component/drawing.js` turns into SVG.

A `Drawing` is a dict that JSON can hold: `{"width", "height", "alt", "marks": [...]}`. Colours are CSS classes, so that
one figure serves the light and the dark theme. Marks may carry `frames`, one value a level of the slider.
"""

import base64
import io
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.scale import Numbers, Scale
from app.wording import number

Mark = dict[str, Any]
Drawing = dict[str, Any]


@dataclass
class Panel:
    """One pair of axes. Marks are added one after the other; `drawing()` gives the finished figure."""

    x: Scale
    y: Scale
    x_label: str
    y_label: str
    alt: str
    width: float = 520
    height: float = 310
    left: float = 52
    right: float = 18
    top: float = 30
    bottom: float = 46
    x_format: Callable[[float], str] = lambda value: number(value)
    y_format: Callable[[float], str] = lambda value: number(value)
    x_ticks: Sequence[float] | None = None
    y_ticks: Sequence[float] | None = None
    caption: str = ""
    basis: float | None = None
    marks: list[Mark] = field(default_factory=list)

    def at_x(self, value: float | None) -> float | None:
        """The pixel of an x value."""
        share = self.x.share(value)
        return None if share is None else round(self.left + share * (self.width - self.left - self.right), 2)

    def at_y(self, value: float | None) -> float | None:
        """The pixel of a y value."""
        share = self.y.share(value)
        return (
            None
            if share is None
            else round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 2)
        )

    def line(self, xs: Numbers, ys: Numbers, look: str, *, hue: float | None = None) -> None:
        """A line through the points; a value that cannot be drawn breaks it."""
        self._add(hue, tag="path", at={"d": self.path(xs, ys), "class": f"line {look}"})

    def path(self, xs: Numbers, ys: Numbers) -> str:
        """The SVG path through the points."""
        parts, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            px, py = self.at_x(_plain(x)), self.at_y(_plain(y))
            if px is None or py is None or not self.top - 2 <= py <= self.height - self.bottom + 2:
                pen = "M"
                continue
            parts.append(f"{pen}{px} {py}")
            pen = "L"
        return " ".join(parts)

    def area(self, xs: Numbers, low: Numbers, high: Numbers, look: str) -> None:
        """The band between two lines."""
        edge = [
            (self.at_x(_plain(x)), self.at_y(_plain(y))) for x, y in [*zip(xs, high), *reversed(list(zip(xs, low)))]
        ]
        points = " ".join(f"{x},{y}" for x, y in edge if x is not None and y is not None)
        self.marks.append({"tag": "polygon", "at": {"points": points, "class": f"area {look}"}})

    def point(
        self,
        x: float,
        y: float | None,
        look: str,
        *,
        shape: str = "circle",
        tip: str = "",
        hue: float | None = None,
        size: float = 5,
    ) -> None:
        """A marker; shapes: circle, square, diamond, triangle, cross."""
        px, py = self.at_x(x), self.at_y(_plain(y))
        if px is not None and py is not None:
            self._add(hue, **marker(px, py, look, shape, size), tip=tip)

    def bar(
        self, x0: float, x1: float, value: float | None, look: str, *, tip: str = "", base: float | None = None
    ) -> None:
        """A bar from the foot of the axis (or `base`) to the value."""
        left, right, top = self.at_x(x0), self.at_x(x1), self.at_y(_plain(value))
        foot = self.height - self.bottom if base is None else self.at_y(base)
        if left is None or right is None or top is None or foot is None:
            return
        at = {
            "x": left,
            "y": min(top, foot),
            "width": max(0.0, right - left),
            "height": abs(foot - top),
            "class": f"bar {look}",
        }
        self.marks.append({"tag": "rect", "at": at, "tip": tip})

    def rule(self, *, x: float | None = None, y: float | None = None, look: str = "rule", frames: Numbers = ()) -> None:
        """A straight line across the panel; `frames` moves a vertical one."""
        if x is not None:
            px = self.at_x(x)
            at = {"x1": px, "x2": px, "y1": self.top, "y2": self.height - self.bottom, "class": look}
            mark: Mark = {"tag": "line", "at": at}
            if len(frames):
                pixels = [self.at_x(value) for value in frames]
                mark["frames"] = {"x1": pixels, "x2": pixels}
            self.marks.append(mark)
        if y is not None:
            py = self.at_y(y)
            self.marks.append(
                {
                    "tag": "line",
                    "at": {"x1": self.left, "x2": self.width - self.right, "y1": py, "y2": py, "class": look},
                }
            )

    def follow(
        self, xs: Numbers, ys: Numbers, look: str, index: int, *, tips: Sequence[str] = (), hue: float | None = None
    ) -> None:
        """A marker that rides on a curve: one place a level."""
        pixels = [(self.at_x(_plain(x)), self.at_y(_plain(y))) for x, y in zip(xs, ys, strict=True)]
        floor = self.height - self.bottom + 2
        places = [(None, None) if x is None or y is None or y > floor else (x, y) for x, y in pixels]
        frames: dict[str, Any] = {"cx": [p[0] for p in places], "cy": [p[1] for p in places]}
        if tips:
            frames["tip"] = list(tips)
        cx, cy = places[index]
        self._add(hue, tag="circle", at={"cx": cx or 0, "cy": cy or 0, "r": 5, "class": f"mark {look}"}, frames=frames)

    def text(
        self, x: float, y: float, text: str, look: str = "note", *, dx: float = 0, dy: float = 0, anchor: str = "start"
    ) -> None:
        """A word at a place in the data."""
        px, py = self.at_x(x), self.at_y(y)
        if px is not None and py is not None:
            self.marks.append(words(px + dx, py + dy, text, look, anchor))

    def labels(self, ends: Sequence[tuple[float | None, str, str, float | None]]) -> None:
        """Names at the right edge, `(y, text, look, hue)`, pushed apart until none covers another."""
        placed = [(py, text, look, hue) for y, text, look, hue in ends if (py := self.at_y(_plain(y))) is not None]
        placed.sort(key=lambda item: item[0])
        spread = apart([item[0] for item in placed], 15.0, self.top + 4, self.height - self.bottom)
        for py, (_, text, look, hue) in zip(spread, placed, strict=True):
            self._add(hue, **words(self.width - self.right + 8, py + 4, text, f"label {look}"))

    def drawing(self) -> Drawing:
        """The figure with its axes beneath the marks."""
        return {
            "width": self.width,
            "height": self.height,
            "alt": self.alt,
            "caption": self.caption,
            "basis": self.basis or self.width,
            "marks": [*self._axes(), *self.marks],
        }

    def _axes(self) -> list[Mark]:
        foot, edge = self.height - self.bottom, self.width - self.right
        marks = [words(0, 14, self.y_label, "title")] if self.y_label else []
        for value in self.y.ticks() if self.y_ticks is None else self.y_ticks:
            py = self.at_y(value)
            if py is not None:
                marks.append({"tag": "line", "at": {"x1": self.left, "x2": edge, "y1": py, "y2": py, "class": "rule"}})
                marks.append(words(self.left - 8, py + 4, self.y_format(value), "tick", "end"))
        marks.append({"tag": "line", "at": {"x1": self.left, "x2": edge, "y1": foot, "y2": foot, "class": "axis"}})
        for value in self.x.ticks() if self.x_ticks is None else self.x_ticks:
            px = self.at_x(value)
            if px is not None:
                marks.append({"tag": "line", "at": {"x1": px, "x2": px, "y1": foot, "y2": foot + 4, "class": "axis"}})
                marks.append(words(px, foot + 18, self.x_format(value), "tick", "middle"))
        if self.x_label:
            marks.append(words(edge, self.height - 6, self.x_label, "title", "end"))
        return marks

    def _add(self, hue: float | None, **mark: Any) -> None:
        self.marks.append(mark if hue is None else {**mark, "hue": round(hue, 1)})


def words(x: float, y: float, text: str, look: str = "", anchor: str = "start") -> Mark:
    """Text at a pixel."""
    return {
        "tag": "text",
        "at": {"x": round(x, 2), "y": round(y, 2), "class": look, "text-anchor": anchor},
        "text": text,
    }


def wide(word: str, each: float = 7.2) -> float:
    """About how many pixels a word takes: a Chinese, Japanese or Korean sign is twice as wide as a letter."""
    return each * sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in word)


def in_two(name: str, most: float, each: float = 7.2) -> list[str]:
    """A name wider than `most` pixels in two lines, broken after a comma, as evenly as can be; any other in one."""
    parts = name.split(", ")
    if wide(name, each) <= most or len(parts) == 1:
        return [name]
    broken = [[", ".join(parts[:end]) + ",", ", ".join(parts[end:])] for end in range(1, len(parts))]
    return min(broken, key=lambda lines: max(wide(line) for line in lines))


def marker(x: float, y: float, look: str, shape: str = "circle", size: float = 5) -> Mark:
    """A marker at a pixel: shape and colour both tell the series."""
    look = look if "open" in look.split() else f"mark {look}"
    if shape == "circle":
        return {"tag": "circle", "at": {"cx": x, "cy": y, "r": size, "class": look}}
    corners = {
        "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "triangle": ((0, -1.3), (1.2, 1), (-1.2, 1)),
        "cross": (
            (-1.2, -0.5),
            (-0.5, -1.2),
            (0, -0.6),
            (0.5, -1.2),
            (1.2, -0.5),
            (0.6, 0),
            (1.2, 0.5),
            (0.5, 1.2),
            (0, 0.6),
            (-0.5, 1.2),
            (-1.2, 0.5),
            (-0.6, 0),
        ),
    }[shape]
    points = " ".join(f"{round(x + dx * size, 2)},{round(y + dy * size, 2)}" for dx, dy in corners)
    return {"tag": "polygon", "at": {"points": points, "class": look}}


def apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The ascending places moved as little as needed to be `gap` apart, kept above `high` where they fit."""
    spread: list[float] = []
    for place in places:
        spread.append(max(place, spread[-1] + gap) if spread else max(place, low))
    overflow = spread[-1] - high if spread else 0.0
    if overflow > 0:
        for i in range(len(spread) - 1, -1, -1):
            limit = high if i == len(spread) - 1 else spread[i + 1] - gap
            spread[i] = min(spread[i], limit)
    return spread


def png(pixels: np.ndarray) -> str:
    """A data address of `pixels` (h, w) grey or (h, w, 3) colour, uint8."""
    from PIL import Image  # loaded late: the first page has numbers to show, and no pictures

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8)).save(file, "png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _plain(value: Any) -> float | None:
    return None if value is None else float(value)
