"""Accuracy over the sequence of tasks, the accuracy matrix, and runs beside each other."""

from collections.abc import Sequence

from app.drawing import Drawing, Mark, Panel, words
from app.figures import palette
from app.language import text
from app.scale import Scale
from app.wording import percent

# Class of the other ink, white by day and black by night -> the shade above which it is the one that can be read.
INKS = {"by-day": 0.825, "by-night": 0.65}


def over_sequence(
    rows: Sequence[Sequence[float | None]],
    chance: float,
    *,
    width: float = 560,
    height: float = 330,
    floor: float | None = None,
) -> Drawing:
    """One line a task: its accuracy after each task learned since."""
    tasks = len(rows[0]) if rows else 0
    known = [value for row in rows for value in row if value is not None]
    low = min([*known, 1.0]) if floor is None else floor
    low = max(0.0, min(low - 0.02, 0.9))
    panel = Panel(
        Scale(1, max(2, tasks)),
        Scale(low, 1 + (1 - low) * 0.03),
        text("after learning task"),
        text("accuracy on each task"),
        alt="",
        width=width,
        height=height,
        right=78,
        x_ticks=range(1, tasks + 1),
        x_format=lambda v: f"{v:.0f}",
        y_format=lambda v: percent(v, 0 if 1 - low > 0.1 else 1),
    )
    if low < chance:
        panel.rule(y=chance, look="axis dotted")
        panel.text(1, chance, text("guessing"), dx=2, dy=-5)
    ends = []
    for task in range(tasks):
        steps = [(i + 1, row[task]) for i, row in enumerate(rows) if task <= i and row[task] is not None]
        if not steps:
            continue
        tone = palette.hue(task, tasks)
        panel.line([x for x, _ in steps], [y for _, y in steps], "ordered", hue=tone)
        for x, y in steps:
            tip = text("task %(task)d, after task %(after)d: %(value)s", task=task + 1, after=x, value=percent(y))
            panel.point(x, y, "ordered", shape=palette.task_shape(task), hue=tone, tip=tip, size=4.5)
        ends.append((steps[-1][1], text("task %(task)d", task=task + 1), "ordered", tone))
    panel.labels(ends if tasks <= 12 else [ends[0], ends[-1]])
    panel.alt = text(
        "Accuracy on %(tasks)d tasks over the sequence; at the end %(found)s.",
        tasks=tasks,
        found=_list(end[0] for end in ends),
    )
    return panel.drawing()


def matrix(
    rows: Sequence[Sequence[float | None]], *, tasks: int, low: float = 0.0, basis: float = 420, caption: str = ""
) -> Drawing:
    """R[i, j] as a table of shaded cells: rows after learning task i, columns on task j."""
    cell, left, top = (58.0, 84.0, 44.0) if tasks <= 8 else (34.0, 84.0, 44.0)
    tall = min(cell, 40.0)
    digits = 1 if tasks <= 8 else 0
    marks: list[Mark] = [
        words(left, 14, text("accuracy on task →"), "title"),
        words(0, top - 8, text("after task ↓"), "title"),
    ]
    marks += [words(left + (j + 0.5) * cell, top - 8, str(j + 1), "tick", "middle") for j in range(tasks)]
    for i in range(tasks):
        y = top + i * tall
        marks.append(words(left - 12, y + tall / 2 + 4, str(i + 1), "tick", "end"))
        for j in range(tasks):
            value = rows[i][j] if i < len(rows) else None
            where = {"after": i + 1, "task": j + 1}
            marks += _cell(left + j * cell, y, cell, tall, value, low, digits, where)
    known = [value for row in rows for value in row if value is not None]
    filled = {"rows": len(rows), "tasks": tasks}
    alt = text("Accuracy matrix, %(rows)d of %(tasks)d rows filled in.", **filled)
    if known:
        alt = text(
            "Accuracy matrix, %(rows)d of %(tasks)d rows filled in, from %(low)s to %(high)s.",
            low=percent(min(known)),
            high=percent(max(known)),
            **filled,
        )
    width = left + tasks * cell
    return {
        "width": width,
        "height": top + tasks * tall + 4,
        "alt": alt,
        "basis": min(basis, width),
        "caption": caption,
        "marks": marks,
    }


def _cell(
    x: float, y: float, wide: float, tall: float, value: float | None, low: float, digits: int, where: dict[str, int]
) -> list[Mark]:
    box = {"x": x + 1, "y": y + 1, "width": wide - 2, "height": tall - 2, "rx": 3}
    if value is None:
        return [{"tag": "rect", "at": {**box, "class": "blank"}}]
    share = 0.06 + 0.94 * max(0.0, (value - low) / (1 - low))
    told = f"{100 * value:.{digits}f}"
    look = " ".join(["cell", *(ink for ink, above in INKS.items() if share > above)])
    tip = text("after task %(after)d, on task %(task)d: %(value)s", value=percent(value, 2), **where)
    return [
        {"tag": "rect", "at": {**box, "class": "heat"}, "share": round(share, 3), "tip": tip},
        {**words(x + wide / 2, y + tall / 2 + 4.5, told, look, "middle"), "tip": tip},
    ]


def _list(values: object) -> str:
    return ", ".join(percent(value) for value in values)  # type: ignore[attr-defined]
