"""The live figure of the lesson: a loss of two weights that the reader drags, turns and cuts, all in the browser."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import cos, radians, sin
from pathlib import Path

import streamlit as st

from app.language import marked, text

_FOLDER = Path(__file__).parents[1] / "component"
PARTS = ("two_weights_loss.js", "two_weights_plane.js", "two_weights_charts.js", "two_weights.js")
_figure = st.components.v2.component(
    "esacl_two_weights",
    html='<div class="drawings lesson"></div>',
    css="\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("drawing.css", "two_weights.css")),
    js="\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in PARTS),
)
LOOKS = {  # as in the figures of a real run
    "rise": "dense",
    "at_once": "dense",
    "total": "dense",
    "training": "green",
    "at_cut": "warm",
    "taylor": "warm",
    "path": "green",
    "lambda_here": "purple pale",
    "lambda_bound": "purple",
}
WORDS = {
    "weight_1": marked("weight θ₁"),
    "weight_2": marked("weight θ₂"),
    "plane": marked("The loss over two weights, as a map: each line joins points of equal loss"),
    "theta": marked("The trained point θ; arrow keys move it"),
    "minimum": marked("The lowest point of the loss; arrow keys move it"),
    "turn": marked("The sharp axis of the valley; arrow keys turn it"),
    "sharp_axis": marked("sharp"),
    "flat_axis": marked("flat"),
    "cut": marked("Cut"),
    "shape": marked("Away from its minimum the loss"),
    "shape_bowl": marked("stays a bowl"),
    "shape_steepens": marked("steepens"),
    "shape_levels": marked("levels off"),
    "shape_bends": marked("bends (softplus)"),
    "shape_breaks": marked("breaks (ReLU)"),
    "slider_sharp": marked("Curvature, sharp axis"),
    "slider_flat": marked("Curvature, flat axis"),
    "slider_angle": marked("Turn of the valley"),
    "slider_beta": marked("How sudden the bend is, β"),
    "slider_shrunk": marked("How far SDP has shrunk the doomed weight"),
    "again": marked("Start again"),
    "way": marked("The loss along the way from θ to θ + d"),
    "way_axis": marked("rise of the loss along the way"),
    "bars": marked("The rise of the loss, and what is said of it, on a logarithmic axis"),
    "bars_axis": marked("rise of the loss (log)"),
    "rise": marked("true rise"),
    "slope": marked("gᵀd"),
    "curvature": marked("½ dᵀHd"),
    "taylor": marked("Taylor"),
    "path": marked("path integral"),
    "lambda_here": marked("λ at θ only"),
    "lambda_bound": marked("λ bound"),
    "length": marked("|d|, length of the step"),
    "before": marked("loss before the cut"),
    "after": marked("loss after it"),
    "in_sharp": marked("of |d|² along the sharp axis"),
    "at_once": marked("cut at once"),
    "training": marked("paid in training"),
    "at_cut": marked("paid at the cut"),
    "total": marked("with SDP, in all"),
    "saved": marked("saved against a cut at once"),
    "line_rise": marked("true rise"),
    "line_slope": marked("tangent, gᵀd"),
    "line_taylor": marked("Taylor, both terms"),
    "line_bound": marked("λ bound"),
    "equal": marked("equal"),
    "below": marked("below it"),
    "part": marked("# % of it"),  # the browser puts the number in
    "times": marked("# times it"),
}


@dataclass(frozen=True)
class Valley:
    """Where a figure starts: the trained point, the minimum, the eigenvalues, the turn in degrees, what is cut."""

    theta: tuple[float, float]
    minimum: tuple[float, float] | None = None  # None: training has ended in it
    sharp: float = 4.0
    flat: float = 0.1
    turn: float = 90.0
    shape: str = "bowl"
    beta: float = 8.0
    cut: tuple[bool, bool] = (True, False)
    shrunk: float = 0.0

    def start(self) -> dict[str, object]:
        """The same as the component takes it."""
        given = asdict(replace(self, minimum=self.minimum or self.theta))
        return {**given, "angle": radians(given.pop("turn"))}

    def price(self, cut: tuple[bool, bool]) -> float:
        """What a cut costs where training has ended in the minimum of a bowl: half of d'Hd."""
        if self.shape != "bowl" or self.minimum not in (None, self.theta):
            raise ValueError("only in the minimum of a bowl is half of d'Hd the price of a cut")
        d = [-weight if gone else 0.0 for weight, gone in zip(self.theta, cut, strict=True)]
        c, s = cos(radians(self.turn)), sin(radians(self.turn))
        return 0.5 * (self.sharp * (c * d[0] + s * d[1]) ** 2 + self.flat * (c * d[1] - s * d[0]) ** 2)


@dataclass(frozen=True)
class Figure:
    """What a figure shows and lets the reader move; the names are those of the component."""

    start: Valley
    shows: Sequence[str] = ()  # columns, valley, reach, trail, way
    handles: Sequence[str] = ("theta",)  # theta, minimum, turn
    sliders: Sequence[str] = ()  # sharp, flat, angle, beta, shrunk
    shapes: Sequence[str] = ()
    lines: Sequence[str] = ()  # along the way: rise, slope, taylor, bound
    bars: Sequence[str] = ()
    numbers: Sequence[str] = ()
    words: Mapping[str, str] = field(default_factory=dict)  # where this figure says something else

    def data(self, key: str) -> dict[str, object]:
        """What the component is given."""
        return {
            "key": key,
            "start": self.start.start(),
            "joined": "minimum" not in self.handles,
            "shows": list(self.shows),
            "handles": list(self.handles),
            "sliders": list(self.sliders),
            "shapes": list(self.shapes),
            "lines": list(self.lines),
            "bars": list(self.bars),
            "compares": "taylor" in self.bars or "lambda_bound" in self.bars,
            "numbers": list(self.numbers),
            "looks": LOOKS,
            "words": {name: text(word) for name, word in {**WORDS, **self.words}.items()},
        }


def show(figure: Figure, *, key: str) -> None:
    """Put the figure on the page."""
    _figure(data=figure.data(key), key=key)
