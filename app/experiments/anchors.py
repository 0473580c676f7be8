"""Experiment 5: the anchor slider: plasticity against forgetting."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st

from app import series, widgets
from app.experiments.answering import Finding, answer, found
from app.experiments.notes import Notes
from app.figures import anchor
from app.language import listed, marked, text
from app.predict import predict
from app.reading import Entry
from app.series import Level
from app.stepping import merged
from app.wording import number, percent, points
from esacl.errors import RunUnreadable
from esacl.records import RunRecord

DRAWN = (anchor.over_strength, anchor.tradeoff, anchor.each_task)
OPTIONS = {
    "none": marked("None at all: λ = 0"),
    "between": marked("Something in between"),
    "strongest": marked("The strongest"),
}


def show(entry: Entry, record: RunRecord) -> None:
    """Ask where the best strength lies, then let it be moved."""
    st.markdown(
        text(
            "After a task every weight is tied to where it was, the tighter the more the task needs it: "
            "${\\tfrac{\\lambda}{20}\\sum_i \\Omega_i(\\theta_i-\\theta_i^*)^2}$ is added to the loss of the next. "
            "λ is the strength of the anchors. What holds the old may stand in the way of the new."
        )
    )
    try:
        recorded = series.anchor_series()
    except RunUnreadable as error:
        widgets.say("info", text("The recorded series over anchor strengths is not there: this experiment needs it."))
        st.caption(widgets.plain(str(error)))
        st.caption(
            text("Your own: `esacl run --set anchor.strength=0.1`, and others; Compare makes a group of each strength.")
        )
        return
    levels = series.levels(recorded)
    options = {name: text(words) for name, words in OPTIONS.items()}
    question = text(
        "λ from %(low)s to %(high)s: at which is the average accuracy after the last task the highest?",
        low=number(levels[0].strength),
        high=number(levels[-1].strength),
    )
    guess = predict(question, options, key="experiment-5")
    if guess is None:
        return
    first = int(np.argmin([abs(level.strength - record.config.anchor.strength) for level in levels]))
    widgets.step(
        text("Strength of the anchors"),
        [f"λ = {number(level.strength)}" for level in levels],
        [merged([draw(levels, place) for place in range(len(levels))]) for draw in DRAWN],
        facts(levels),
        key="experiment-5",
        index=first,
    )
    st.caption(text("A series of its own, not the run above.") + " " + series.setting_said(recorded))
    st.caption(widgets.plain(series.made_said(recorded.made)))
    answer(guess, options, finding(levels), key="5")
    st.page_link("../pages/forgetting.py", label=text("What one run forgot, task by task: Forgetting"))


def facts(levels: Sequence[Level]) -> list[dict[str, object]]:
    """What stands above the figures, a value a strength."""
    return [
        {"label": text("average accuracy, at the end"), "values": _means(levels, "average_accuracy", percent)},
        {"label": text("just after learning each task"), "values": _means(levels, "learning_accuracy", percent)},
        {"label": text("backward transfer, points"), "values": _means(levels, "backward_transfer", points)},
        {"label": text("runs"), "values": [str(level.n) for level in levels]},
    ]


def finding(levels: Sequence[Level]) -> Finding:
    """Where the best strength lies; a difference within one standard error is none."""
    averages = [level.numbers["average_accuracy"] for level in levels]
    best = max(range(len(levels)), key=lambda place: averages[place][0])
    mean, sd = averages[best]
    error = sd / math.sqrt(levels[best].n)
    near = [place for place, (other, _) in enumerate(averages) if mean - other <= error]
    last = len(levels) - 1
    true = {"none" if place == 0 else "strongest" if place == last else "between" for place in near}
    loose, tight = levels[0], levels[-1]
    ends = {"low": number(loose.strength), "high": number(tight.strength)}
    said = [
        text(
            "Highest at **λ = %(best)s**: %(accuracy)s ± %(sd)s over %(n)d seeds.%(others)s",
            best=number(levels[best].strength),
            accuracy=percent(mean),
            sd=percent(sd),
            n=levels[best].n,
            others=_others([levels[place].strength for place in near if place != best]),
        ),
        text(
            "**Forgetting**: backward transfer is %(loose)s points at λ = %(low)s and %(tight)s at λ = %(high)s.",
            loose=points(loose.numbers["backward_transfer"][0]),
            tight=points(tight.numbers["backward_transfer"][0]),
            **ends,
        ),
        text(
            "**Plasticity**: each task is learned to %(loose)s at λ = %(low)s and to %(tight)s at λ = %(high)s.",
            loose=percent(loose.numbers["learning_accuracy"][0]),
            tight=percent(tight.numbers["learning_accuracy"][0]),
            **ends,
        ),
    ]
    return found(true, said, " ".join(_against(loose, tight)))


def _against(loose: Level, tight: Level) -> list[str]:
    """What of the theory this series does not show."""
    against = []
    if tight.numbers["backward_transfer"][0] <= loose.numbers["backward_transfer"][0]:
        against.append(text("Stronger anchors should forget less; over this series they do not."))
    if tight.numbers["learning_accuracy"][0] >= loose.numbers["learning_accuracy"][0]:
        against.append(
            text(
                "Stronger anchors should cost plasticity; over this series new tasks are learned as well as without: "
                "the network has room enough for all of them."
            )
        )
    return against


def _means(levels: Sequence[Level], name: str, form: Callable[[float], str]) -> list[str]:
    return [form(level.numbers[name][0]) for level in levels]


def _others(near: Sequence[float]) -> str:
    if not near:
        return ""
    others = listed(number(strength) for strength in near)
    return " " + text("Within one standard error of it: λ = %(others)s.", others=others)


NOTES = Notes(
    aim=marked(
        "To see stability and plasticity as two numbers that one setting trades against each other, and the average "
        "accuracy as what hides the trade."
    ),
    script=(
        ("2", marked("Draw the spring: a weight, where it was, how stiff. λ stiffens all of them.")),
        ("2", marked("Ask what happens at λ = 0 and at λ = ∞, in words, before asking for the best.")),
        ("3", marked("Reveal; move λ from the left. Which task gains first? Look at task 1 at the end.")),
        ("2", marked("Show both numbers apart: the accuracy just after learning, and what was lost since.")),
        ("1", marked("Is the best λ of this series the best for ten tasks? Why should it not be?")),
    ),
    ask=marked("A colleague reports no forgetting at all. Which second number do you ask for?"),
    misconceptions=(
        (
            marked("No forgetting is the goal."),
            marked("A network that never learns the second task forgets nothing."),
        ),
        (
            marked("The right λ can be chosen from the data of the test."),
            marked("That is choosing by the answer. Choose on validation data, then look once."),
        ),
        (
            marked("λ means the same in every paper."),
            marked("It multiplies an importance Ω whose scale is a convention: here Ω has mean 1 on the survivors."),
        ),
    ),
    own_data=marked(
        "Sweep anchor.strength over 0, 0.01, 0.1, 1, 10 with three seeds each, `sparsity = 0.98` and "
        "`anchor.distillation = 0`, which is what this series has and the defaults have not, and evaluation on "
        "validation data; open Compare. Give the network fewer neurons, or more tasks, until plasticity suffers."
    ),
    exercise=marked(
        "One weight, at θ* = 0 after task 1, whose loss is θ² / 2 near it. Task 2 has the loss (θ − 1)² / 2. Where "
        "does training with an anchor μ Ω θ² / 2, Ω = 1 and μ = λ/10, end? Give the loss of both tasks, and the μ with "
        "the least sum."
    ),
    answer=marked(
        "At θ = 1/(1 + μ). Task 1 loses 1/(2 (1 + μ)²), task 2 μ²/(2 (1 + μ)²). The sum (1 + μ²)/(2 (1 + μ)²) is least "
        "at μ = 1: where the anchor is the true curvature of task 1, both tasks are learned as if together."
    ),
)
