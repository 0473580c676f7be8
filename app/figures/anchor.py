"""What the strength of the anchor does: the tasks over the sequence, and plasticity against forgetting."""

from collections.abc import Sequence

import numpy as np

from app.drawing import Drawing, Panel, apart, words
from app.figures import palette
from app.language import text
from app.scale import Scale, span
from app.series import Level
from app.wording import number, percent, points


def sequence(level: Level, every: Sequence[Level], *, width: float = 540, height: float = 320) -> Drawing:
    """One line a task, mean over seeds, with a band of ± sd; on the scale of all levels."""
    tasks = len(level.mean)
    low = min(float(np.nanmin(one.mean - one.sd)) for one in every)
    panel = Panel(
        Scale(1, max(2, tasks)), Scale(max(0.0, low - 0.03), 1.01), text("after learning task"),
        text("accuracy on each task"), alt="", width=width, height=height, right=72, x_ticks=range(1, tasks + 1),
        x_format=lambda v: f"{v:.0f}", y_format=lambda v: percent(v, 0),
    )  # fmt: skip
    ends = []
    for task in range(tasks):
        after, tone = np.arange(task, tasks), palette.hue(task, tasks)
        mean, sd = level.mean[task:, task], level.sd[task:, task]
        panel.area(after + 1, np.maximum(mean - sd, panel.y.low), np.minimum(mean + sd, 1), "ordered")
        panel.marks[-1]["hue"] = round(tone, 1)
        panel.line(after + 1, mean, "ordered", hue=tone)
        for at, value, error in zip(after, mean, sd):
            told = {"on": task + 1, "after": at + 1, "value": percent(value), "sd": points(error).lstrip("+")}
            tip = text("task %(on)d, after task %(after)d: %(value)s ± %(sd)s", **told)
            place, shape = (float(at + 1), float(value)), palette.task_shape(task)
            panel.point(*place, "ordered", shape=shape, tip=tip, hue=tone, size=4.5)
        ends.append((float(mean[-1]), text("task %(task)d", task=task + 1), "ordered", tone))
    panel.labels(ends)
    told = {"strength": f"{level.strength:g}", "ends": ", ".join(percent(value) for value, *_ in ends)}
    panel.alt = text("Accuracy over the sequence at anchor strength %(strength)s; at the end %(ends)s.", **told)
    return panel.drawing()


def tradeoff(every: Sequence[Level], index: int, *, width: float = 540, height: float = 320) -> Drawing:
    """Learning accuracy against backward transfer, one mark a strength, a ring on the one that is looked at."""
    x, x_sd, y, y_sd = (
        np.array([one.numbers[name][part] for one in every])
        for name in ("backward_transfer", "learning_accuracy")
        for part in (0, 1)
    )
    wide = span(x - x_sd, x + x_sd, include=(0.0,))
    panel = Panel(
        wide, span(y - y_sd, y + y_sd), text("backward transfer, points: further right, less is forgotten"),
        text("learning accuracy: higher, more is learned"), alt="", width=width, height=height, left=56,
        right=44, x_format=points, y_format=lambda v: percent(v, 0 if float(y.max() - y.min()) > 0.06 else 1),
    )  # fmt: skip
    panel.line(x, y, "thin")
    for place, one in enumerate(every):
        panel.line([x[place] - x_sd[place], x[place] + x_sd[place]], [y[place], y[place]], "esacl thin faint")
        panel.line([x[place], x[place]], [y[place] - y_sd[place], y[place] + y_sd[place]], "esacl thin faint")
        told = {"strength": f"{one.strength:g}", "learned": percent(y[place]), "transfer": points(x[place])}
        average = percent(one.numbers["average_accuracy"][0])
        tip = text(
            "strength %(strength)s: learning accuracy %(learned)s, backward transfer %(transfer)s\naverage %(average)s",
            **told,
            average=average,
        )
        panel.point(x[place], y[place], "esacl", tip=tip, size=5.5)
        panel.marks[-1]["pick"] = place
    _strengths(panel, every, x, y)
    ring = {"cx": panel.at_x(x[index]), "cy": panel.at_y(y[index]), "r": 11, "class": "frame"}
    panel.marks.append({"tag": "circle", "at": ring})
    told = {"strength": f"{every[index].strength:g}", "learned": percent(y[index]), "transfer": points(x[index])}
    panel.alt = text(
        "Learning accuracy against backward transfer at %(n)d strengths of the anchor; at %(strength)s they are "
        "%(learned)s and %(transfer)s points.",
        n=len(every),
        **told,
    )
    return panel.drawing()


def _strengths(panel: Panel, every: Sequence[Level], x: np.ndarray, y: np.ndarray) -> None:
    """Names of the marks: above those on the way right, in a column beside those on the way down."""
    down = [place for place in range(len(every)) if x[place] > x.min() + 0.9 * (x.max() - x.min())]
    for place in sorted(set(range(len(every))) - set(down)):
        panel.text(x[place], y[place], f"{every[place].strength:g}", "label esacl", dx=-4, dy=-11)
    down.sort(key=lambda place: -y[place])
    heights = apart([panel.at_y(y[place]) or 0.0 for place in down], 14.0, panel.top, panel.height - panel.bottom)
    beside = (panel.at_x(float(x.max())) or 0.0) + 18
    for place, height in zip(down, heights):
        panel.marks.append(words(beside, height + 4, f"{every[place].strength:g}", "label esacl"))


def over_strength(every: Sequence[Level], index: int, *, width: float = 540, height: float = 320) -> Drawing:
    """Average accuracy at the end and learning accuracy over the strengths, evenly spaced; bands are ± sd."""
    stops = np.arange(len(every), dtype=float)
    lines = (
        ("average_accuracy", text("average, at the end"), "esacl", ""),
        ("learning_accuracy", text("just after learning"), "warm", "dash"),
    )
    numbers = {name: np.array([one.numbers[name] for one in every]).T for name, *_ in lines}  # mean, sd
    lows, highs = ([mean + sign * sd for mean, sd in numbers.values()] for sign in (-1, 1))
    panel = Panel(
        Scale(0, max(1.0, float(stops[-1]))), span(*lows, *highs), text("strength λ of the anchors"), text("accuracy"),
        alt="", width=width, height=height, right=140, x_ticks=stops.tolist(),
        x_format=lambda value: number(every[round(value)].strength),
        y_format=lambda value: percent(value, 0 if panel.y.high - panel.y.low > 0.1 else 1),
    )  # fmt: skip
    panel.rule(x=float(stops[index]), look="cursor")
    ends: list[tuple[float | None, str, str, float | None]] = []
    for (name, written, look, dash), low, high in zip(lines, lows, highs):
        mean, _ = numbers[name]
        panel.area(stops, low, high, look)
        panel.line(stops, mean, f"{look} {dash}")
        for place, (one, value) in enumerate(zip(every, mean)):
            tip = f"λ = {number(one.strength)}: {percent(value)}"
            panel.point(float(place), value, look, tip=tip, size=5.5 if place == index else 3.5)
        ends.append((float(mean[-1]), written, look, None))
    panel.labels(ends)
    said = "; ".join(f"λ {number(one.strength)}: {percent(one.numbers['average_accuracy'][0])}" for one in every)
    panel.alt = text("Average accuracy at the end by strength: %(said)s.", said=said)
    return panel.drawing()


def each_task(every: Sequence[Level], index: int, *, width: float = 540, height: float = 260) -> Drawing:
    """What is left of each task at the end, at one strength among all."""
    ends = np.array([one.mean[-1] for one in every])  # (levels, tasks)
    tasks = ends.shape[1]
    panel = Panel(
        Scale(1, max(2, tasks)), span(ends.ravel(), include=(1.0,)), text("task"),
        text("accuracy on each task at the end; grey: the other strengths"),
        alt=text("Accuracy on each of %(tasks)d tasks at the end; it moves with the strength.", tasks=tasks),
        width=width, height=height, x_ticks=range(1, tasks + 1), x_format=lambda value: f"{value:.0f}",
        y_format=lambda value: percent(value, 0),
    )  # fmt: skip
    along = np.arange(1, tasks + 1)
    for row in ends:
        panel.line(along, row, "thin dense faint")
    panel.line(along, ends[index], "esacl")
    for task, value in zip(along, ends[index]):
        tip = f"λ = {number(every[index].strength)}, {text('task')} {task}: {percent(value)}"
        panel.point(float(task), float(value), "esacl", tip=tip, size=5)
    return panel.drawing()
