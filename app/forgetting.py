"""The parts of the forgetting page that look beyond one run: methods side by side, the anchor, fine-tuning."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import comparing, comparison, grouping, reading, results, series, session, widgets
from app.drawing import Drawing, in_two, words
from app.figures import accuracy, anchor, compared, palette
from app.grouping import Grouped
from app.language import text
from app.reading import Entry
from app.series import Level, Series
from app.stepping import merged
from app.wording import percent, points
from esacl.config import RunConfig
from esacl.errors import RunUnreadable

GUESSING, NEAR = 0.5, 0.05  # of the two classes of a task of split digits; and what is no better than that
GROUPS = 6  # methods at once; the Compare page shows all


def methods(entry: Entry, chance: float, *, task_known: bool) -> None:
    """The curves of this run's method and of others that learned the same tasks."""
    every = comparing.grouped([entry, *results.comparable(entry, session.listed())])
    found = _groups(every, entry.run_id)
    kept = comparing.keeper(every, found, task_known)
    tasks = entry.config.tasks if entry.config else 0
    on_tasks = kept("on-tasks", lambda: comparison.on_tasks(found, task_known=task_known))
    if len(found) < 2 or on_tasks.empty:
        st.caption(
            text(
                "No other finished run has learned these tasks in this scenario. Start one with another method on the "
                "Run page, and it stands here."
            )
        )
        return
    views = {"mean": text("Mean over tasks"), "tasks": text("Task by task"), "methods": text("Method by method")}
    view = widgets.choice(text("Shown"), views, key="side-by-side")
    if view == "mean":
        means, _ = kept("curves", lambda: comparing.curves(found, on_tasks, tasks, task_known=task_known))
        widgets.draw(means[0], compared.legend(on_tasks), key="methods-mean")
    elif view == "tasks":
        _, each = kept("curves", lambda: comparing.curves(found, on_tasks, tasks, task_known=task_known))
        widgets.draw(compared.legend(on_tasks), key="methods-key")
        widgets.draw(*each, key="methods-tasks", even=True)
    else:
        widgets.draw(*_each_method(on_tasks, tasks, chance), key="methods-each")
    told = {"n": min(group.row["n"] for group in found)}
    few = text("One run each: a difference of a point may well be chance.")
    many = text("Mean and standard deviation over the seeds, at least %(n)d each.", **told)
    st.caption(text("Same benchmark, scenario and tasks, one scale.") + " " + (few if told["n"] == 1 else many))


def _groups(every: Grouped, run_id: str) -> list[comparison.Group]:
    order = grouping.to_begin_with(every.groups, run_id, GROUPS)
    order.sort(key=lambda group: run_id not in group.row["runs"])
    return comparison.tagged(order)


def _each_method(on_tasks: pd.DataFrame, tasks: int, chance: float) -> list[Drawing]:
    low = float(on_tasks["value"].min())
    made = []
    for (label, tag), part in on_tasks.groupby(["label", "tag"], sort=False):
        table = part.pivot(index="after", columns="on", values="value").reindex(columns=range(tasks))
        rows = [[None if pd.isna(value) else float(value) for value in row] for row in table.to_numpy()]
        drawing = accuracy.over_sequence(rows, chance, width=430, height=290, floor=low)
        look = palette.look(str(part["method"].iloc[0]))
        lines = in_two(f"{tag}: {label}" if tag else str(label), 420)
        # Below, for beside the title of the axis a name with all that tells it apart has no room.
        foot = drawing["height"]
        name = [words(0, foot + 16 + 17 * place, line, f"label {look}") for place, line in enumerate(lines)]
        tall = foot + 5 + 17 * len(lines)
        made.append(
            {**drawing, "height": tall, "marks": [*drawing["marks"], *name], "alt": f"{label}. {drawing['alt']}"}
        )
    return made


def anchor_slider() -> None:
    """Pre-computed runs at several strengths of the anchor, moved through in the browser."""
    try:
        found = series.anchor_series()
    except RunUnreadable as error:
        widgets.say("info", str(error))
        return
    levels = series.levels(found)
    drawings, facts = reading.once(lambda: _moved_through(levels), "anchor", (), found.rows)
    names = [f"{one.strength:g}" for one in levels]
    widgets.step(text("Strength of the anchor"), names, drawings, facts, key="anchor", index=0)
    best = max(range(len(levels)), key=lambda place: levels[place].numbers["average_accuracy"][0])
    _said_of(found, names[best], levels[best].numbers["average_accuracy"][0])


def _moved_through(levels: Sequence[Level]) -> tuple[list[Drawing], list[dict[str, object]]]:
    """The figures over the strengths, and the numbers above them."""
    tasks = len(levels[0].mean)
    low = min(float(min(row[j] for j in range(i + 1))) for one in levels for i, row in enumerate(one.mean))
    rows = [[[float(v) if j <= i else None for j, v in enumerate(r)] for i, r in enumerate(one.mean)] for one in levels]
    drawings = [
        merged([anchor.sequence(one, levels) for one in levels]),
        merged([anchor.tradeoff(levels, index) for index in range(len(levels))]),
        merged([accuracy.matrix(one, tasks=tasks, low=max(0.0, low - 0.05), basis=460) for one in rows]),
    ]
    forms = {"average_accuracy": percent, "learning_accuracy": percent, "backward_transfer": points}
    labels = (text("average accuracy"), text("learning accuracy"), text("backward transfer, points"))
    return drawings, [
        {"label": label, "values": [f"{form(one.numbers[n][0])} ± {100 * one.numbers[n][1]:.1f}" for one in levels]}
        for label, (n, form) in zip(labels, forms.items())
    ]


def _said_of(found: Series, best: str, average: float) -> None:
    highest = text(
        "Of these strengths %(best)s has the highest average, %(average)s.", best=best, average=percent(average)
    )
    st.caption(f"{series.setting_said(found)} {highest}")
    st.caption(widgets.plain(series.made_said(found.made)))


def why_zero(config: RunConfig, rows: Sequence[Sequence[float | None]]) -> None:
    """What 0 % on earlier tasks means: fine-tuning where all classes compete."""
    plain = not config.mask_logits and config.balance_logits == 0
    own = config.scenario == "class" and config.method == "finetune" and plain
    matrix, known, n = [list(row) for row in rows], None, 1
    if not own:
        try:
            found = series.finetune_series()
        except RunUnreadable as error:
            widgets.say("info", str(error))
            return
        matrix, n = series.mean_matrix([row.accuracy_matrix for row in found.rows]), found.made.n
        tasks = [row.accuracy_matrix_task for row in found.rows]
        known = series.mean_matrix([one for one in tasks if one is not None]) if all(tasks) else None
    left, right = st.columns([3, 2], gap="large")
    with left:
        widgets.draw(accuracy.matrix(matrix, tasks=len(matrix[0]), basis=460), key="why-zero")
        if own:
            st.caption(text("This run."))
        else:
            st.caption(text("Dense fine-tuning on split digits in class-IL, mean of n = %(n)d seeds.", n=n))
    with right:
        _explained(matrix, known)


def _explained(matrix: Sequence[Sequence[float | None]], known: Sequence[Sequence[float | None]] | None) -> None:
    earlier = [value for value in matrix[-1][: len(matrix) - 1] if value is not None]
    if earlier:
        told = {"earlier": percent(sum(earlier) / len(earlier)), "last": percent(matrix[-1][len(matrix) - 1])}
        st.markdown(text("At the end: **%(earlier)s** on the earlier tasks, **%(last)s** on the last.", **told))
    st.markdown(
        text(
            "In class-IL all classes compete for one answer, and nobody says which task an image is from. While a task "
            "is learned, no example of an earlier class is seen, so no step ever raises an old class's logit for "
            "its own images. But every step pushes it down: the gradient of cross-entropy at the logit of a class that "
            "is absent is its probability, which is positive. Soon the answer is a class of the last task, whatever "
            "is shown. **So 0 % on earlier tasks is not bad luck; it is what plain fine-tuning does in class-IL.**"
        )
    )
    if known:
        last = [value for value in known[-1][: len(known) - 1] if value is not None]
        if last:
            reached = sum(last) / len(last)
            told = {"known": percent(reached), "guessing": percent(GUESSING, 0)}
            st.markdown(
                text(
                    "Told the task, so that only its own classes compete, the same networks reach **%(known)s** on the "
                    "earlier tasks, where guessing reaches %(guessing)s.",
                    **told,
                )
                + " "
                + (
                    text("So it is not the competition alone: what told two old classes apart is overwritten as well.")
                    if reached < GUESSING + NEAR
                    else text("So much of what looks forgotten is drowned out, and not lost.")
                )
            )
