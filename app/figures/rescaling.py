"""One function, other weights: what rescaling two ReLU layers leaves alone, and what it moves."""

from collections.abc import Sequence

import numpy as np

from app.drawing import Drawing, Panel
from app.language import marked, text
from app.scale import Scale, span
from app.two_layers import FACTORS, ONE, Sweep
from app.wording import number

# name -> (as it is written, look, dash)
MEASURES = {
    "lambda_max": (marked("λₘₐₓ"), "warm", ""),
    "relative": (marked("λₘₐₓ · |θ|²"), "purple", "dash"),
    "layerwise": (marked("layer by layer"), "green", "dot-dash"),
    "elementwise": (marked("weight by weight"), "esacl", "dotted"),
}


def names() -> list[str]:
    """The stops of the slider."""
    return [f"× {number(float(factor))}" for factor in FACTORS]


def facts(sweep: Sweep) -> list[dict[str, object]]:
    """What stands above the figures, a value a factor."""
    return [
        {"label": text("largest change of an output"), "values": [number(v, 2) for v in sweep.apart]},
        {"label": text("loss"), "values": [number(v) for v in sweep.loss]},
        {"label": text("λₘₐₓ of the exact Hessian"), "values": [number(v) for v in sweep.measures["lambda_max"]]},
        {"label": text("loss once half of the weights is cut by size"), "values": [number(v) for v in sweep.halved]},
    ]


def function(sweep: Sweep, *, width: float = 520, height: float = 300) -> Drawing:
    """The data and the network's function, drawn anew at every factor."""
    net = sweep.nets[ONE]
    xs = np.linspace(float(net.x.min()), float(net.x.max()), 161)
    panel = Panel(
        span(xs, pad=0.02),
        span(net.y),
        "x",
        text("the function f(x), and its data"),
        alt="",
        width=width,
        height=height,
    )
    for x, y in zip(net.x, net.y):
        panel.point(float(x), float(y), "open thin dense", size=3.2, tip=f"x {number(x)}, y {number(y)}")
    paths = [panel.path(xs, one.outputs(xs)) for one in sweep.nets]
    _moving(panel, paths, "line esacl")
    panel.alt = text(
        "A network of two layers fitted to %(points)d points: the same curve at every factor.", points=len(net.x)
    )
    return panel.drawing()


def neurons(sweep: Sweep, *, width: float = 520, height: float = 300) -> Drawing:
    """Each neuron by the size of its two weights, on log axes: the product stays, so it moves along a diagonal."""
    first = np.array([np.abs(one.w1) for one in sweep.nets])
    second = np.array([np.abs(one.w2) for one in sweep.nets])
    panel = Panel(
        span(first.ravel(), log=True),
        span(second.ravel(), log=True),
        text("size of its weight in layer 1 (log)"),
        text("each neuron: its weight in layer 2 (log)"),
        alt=text("The neurons by the sizes of their two weights: the product of the two is the same at every factor."),
        width=width,
        height=height,
    )
    for k in range(first.shape[1]):
        panel.line(first[:, k], second[:, k], "thin dense faint")
        tips = [f"{number(a)} × {number(b)} = {number(a * b)}" for a, b in zip(first[:, k], second[:, k])]
        panel.follow(first[:, k], second[:, k], "esacl", ONE, tips=tips)
    return panel.drawing()


def valley(sweep: Sweep, *, width: float = 520, height: float = 300) -> Drawing:
    """The loss along the sharpest direction: the same minimum in a valley of another width."""
    ceiling = 4 * float(sweep.along[ONE].max())
    panel = Panel(
        span(sweep.steps, pad=0.0),
        Scale(0, ceiling),
        text("step along the sharpest direction, weight units"),
        text("loss"),
        alt=text("The loss along the sharpest direction: the larger λₘₐₓ, the narrower the valley."),
        width=width,
        height=height,
    )
    panel.line(sweep.steps, sweep.along[ONE], "thin dash dense")
    _moving(panel, [panel.path(sweep.steps, losses) for losses in sweep.along], "line warm")
    panel.text(panel.x.high, panel.y.high, text("dashed: factor 1"), "note", dx=-6, dy=14, anchor="end")
    return panel.drawing()


def measured(sweep: Sweep, *, width: float = 520, height: float = 300) -> Drawing:
    """Four measures of sharpness over the factor, each over its value at factor 1."""
    shares = {name: values / values[ONE] for name, values in sweep.measures.items()}
    panel = Panel(
        Scale(float(FACTORS[0]), float(FACTORS[-1]), log=True),
        span(*shares.values(), log=True),
        text("factor of layer 1 (log)"),
        text("sharpness, as a multiple of that at factor 1 (log)"),
        alt="",
        width=width,
        height=height,
        right=132,
        x_ticks=(0.125, 0.25, 0.5, 1, 2, 4, 8),
        x_format=lambda value: number(value),
    )
    panel.rule(x=1.0, look="cursor", frames=FACTORS)
    ends: list[tuple[float | None, str, str, float | None]] = []
    for name, values in shares.items():
        written, look, dash = MEASURES[name]
        panel.line(FACTORS, values, f"{look} {dash}")
        tips = [f"{text(written)}: {number(v)}" for v in sweep.measures[name]]
        panel.follow(FACTORS, values, look, ONE, tips=tips)
        ends.append((float(values[-1]), text(written), look, None))
    panel.labels(ends)
    said = "; ".join(f"{text(MEASURES[name][0])} {_range(values)}" for name, values in shares.items())
    panel.alt = text("Four measures over the factor, as multiples of that at factor 1: %(said)s.", said=said)
    return panel.drawing()


def _range(values: np.ndarray) -> str:
    return f"{number(float(values.min()))} – {number(float(values.max()))}"


def _moving(panel: Panel, paths: Sequence[str], look: str) -> None:
    panel.marks.append({"tag": "path", "at": {"d": paths[ONE], "class": look}, "frames": {"d": list(paths)}})
