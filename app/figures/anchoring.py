"""Anchor strength: what is learned, what is forgotten, and what is left in the end."""

from collections.abc import Mapping

import numpy as np

from app.anchoring import Series
from app.drawing import Drawing, Panel
from app.frames import rows
from app.language import text
from app.scale import Scale, span
from app.wording import number, percent, points


def tradeoff(series: Series, index: int, *, width: float = 500, height: float = 320) -> Drawing:
    """Each strength a point: how well tasks are learned, and what later tasks took from them; ± sd over seeds."""
    means = series.means()
    x, y = means["learning_accuracy"], means["backward_transfer"]
    x_sd, y_sd = means["learning_accuracy_sd"], means["backward_transfer_sd"]
    panel = Panel(
        span(x - x_sd, x + x_sd), span(y - y_sd, y + y_sd, include=(0.0,)), text("learning accuracy: plasticity →"),
        text("backward transfer, points: ↑ less is forgotten"), alt="", width=width, height=height,
        x_format=lambda value: percent(value, 1), y_format=lambda value: points(value, 0),
    )  # fmt: skip
    panel.rule(y=0.0, look="axis dotted")
    panel.line(x, y, "thin dense")
    for place, row in enumerate(rows(means)):
        lr, bt = row.learning_accuracy, row.backward_transfer
        panel.line([lr - row.learning_accuracy_sd, lr + row.learning_accuracy_sd], [bt, bt], "thin esacl")
        panel.line([lr, lr], [bt - row.backward_transfer_sd, bt + row.backward_transfer_sd], "thin esacl")
        tip = f"λ = {number(row.strength)}: {percent(lr)}, {points(bt)}, n = {row.n}"
        panel.point(lr, bt, "esacl", size=5, tip=tip)
        if place in (0, len(means) - 1):
            panel.text(lr, bt, f"λ = {number(row.strength)}", "label esacl", dx=9, dy=18 if place else -8)
    ring = {"cx": [panel.at_x(v) for v in x], "cy": [panel.at_y(v) for v in y]}
    at = {"cx": ring["cx"][index], "cy": ring["cy"][index], "r": 11, "class": "cursor"}
    panel.marks.append({"tag": "circle", "at": at, "frames": ring})
    said = "; ".join(
        f"λ {number(r.strength)}: {percent(r.learning_accuracy)}, {points(r.backward_transfer)}" for r in rows(means)
    )
    panel.alt = text("Learning accuracy and backward transfer by strength: %(said)s.", said=said)
    return panel.drawing()


def over_strength(series: Series, index: int, *, width: float = 500, height: float = 320) -> Drawing:
    """Average accuracy at the end and learning accuracy over the strengths, evenly spaced; bands are ± sd."""
    means = series.means()
    stops = np.arange(len(means), dtype=float)
    lines = (
        ("average_accuracy", text("average, at the end"), "esacl", ""),
        ("learning_accuracy", text("just after learning"), "warm", "dash"),
    )
    lows = [means[name] - means[f"{name}_sd"] for name, *_ in lines]
    highs = [means[name] + means[f"{name}_sd"] for name, *_ in lines]
    panel = Panel(
        Scale(0, max(1.0, float(stops[-1]))), span(*lows, *highs), text("strength λ of the anchors"), text("accuracy"),
        alt="", width=width, height=height, right=140, x_ticks=stops.tolist(),
        x_format=lambda value: number(float(means["strength"].iloc[round(value)])),
        y_format=lambda value: percent(value, 0 if panel.y.high - panel.y.low > 0.1 else 1),
    )  # fmt: skip
    panel.rule(x=float(stops[index]), look="cursor", frames=stops)
    ends: list[tuple[float | None, str, str, float | None]] = []
    for (name, written, look, dash), low, high in zip(lines, lows, highs):
        values = means[name].to_numpy(dtype=float)
        panel.area(stops, low, high, look)
        panel.line(stops, values, f"{look} {dash}")
        tips = [f"λ = {number(s)}: {percent(v)}" for s, v in zip(series.strengths, values)]
        panel.follow(stops, values, look, index, tips=tips)
        ends.append((float(values[-1]), written, look, None))
    panel.labels(ends)
    said = "; ".join(f"λ {number(r.strength)}: {percent(r.average_accuracy)}" for r in rows(means))
    panel.alt = text("Average accuracy at the end by strength: %(said)s.", said=said)
    return panel.drawing()


def each_task(series: Series, index: int, *, width: float = 500, height: float = 260) -> Drawing:
    """What is left of each task at the end; the line moves with the strength."""
    ends = series.at_the_end()
    tasks = ends.shape[1]
    panel = Panel(
        Scale(1, max(2, tasks)), span(ends.ravel(), include=(1.0,)), text("task"), text("accuracy on it at the end"),
        alt=text("Accuracy on each of %(tasks)d tasks at the end; it moves with the strength.", tasks=tasks),
        width=width, height=height, x_ticks=range(1, tasks + 1), x_format=lambda value: f"{value:.0f}",
        y_format=lambda value: percent(value, 0),
    )  # fmt: skip
    xs = np.arange(1, tasks + 1)
    for row in ends:
        panel.line(xs, row, "thin dense faint")
    paths = [panel.path(xs, row) for row in ends]
    panel.marks.append({"tag": "path", "at": {"d": paths[index], "class": "line esacl"}, "frames": {"d": paths}})
    for task in range(tasks):
        places = [panel.at_y(float(row[task])) for row in ends]
        tips = [
            f"λ = {number(s)}, {text('task')} {task + 1}: {percent(float(r[task]))}"
            for s, r in zip(series.strengths, ends)
        ]
        at = {"cx": panel.at_x(task + 1), "cy": places[index], "r": 5, "class": "mark esacl"}
        panel.marks.append({"tag": "circle", "at": at, "frames": {"cy": places, "tip": tips}, "tip": tips[index]})
    return panel.drawing()


def facts(series: Series) -> list[Mapping[str, object]]:
    """What stands above the figures, a value a strength."""
    means = series.means()
    return [
        {"label": text("average accuracy, at the end"), "values": [percent(v) for v in means["average_accuracy"]]},
        {"label": text("just after learning each task"), "values": [percent(v) for v in means["learning_accuracy"]]},
        {"label": text("backward transfer, points"), "values": [points(v) for v in means["backward_transfer"]]},
        {"label": text("runs"), "values": [str(int(v)) for v in means["n"]]},
    ]
