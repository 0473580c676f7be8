"""Experiment 5: the anchor slider: plasticity against forgetting."""

import math

import numpy as np
import pandas as pd
import streamlit as st

from app import anchoring, reading, widgets
from app.anchoring import Series
from app.experiments.answering import Finding, answer, found
from app.experiments.notes import Notes
from app.figures import anchoring as drawn
from app.frames import rows
from app.language import marked, text
from app.predict import predict
from app.reading import Entry
from app.wording import number, percent, points
from esacl.records import RunRecord

FILE = "series/anchor-digits.json"  # in assets/
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
            "${\\tfrac{\\lambda}{2}\\sum_i \\Omega_i(\\theta_i-\\theta_i^*)^2}$ is added to the loss of the next. "
            "λ is the strength of the anchors. What holds the old may stand in the way of the new."
        )
    )
    series = recorded_series()
    if series is None:
        widgets.say("info", text("The recorded series over anchor strengths is not there: this experiment needs it."))
        st.caption(
            text("Your own: `esacl run --set anchor.strength=0.1`, and others; Compare makes a group of each strength.")
        )
        return
    options = {name: text(words) for name, words in OPTIONS.items()}
    strengths = series.strengths
    question = text(
        "λ from %(low)s to %(high)s: at which is the average accuracy after the last task the highest?",
        low=number(strengths[0]),
        high=number(strengths[-1]),
    )
    guess = predict(question, options, key="experiment-5")
    if guess is None:
        return
    first = int(np.argmin(np.abs(np.array(strengths) - record.config.anchor.strength)))
    widgets.step(
        text("Strength of the anchors"),
        [f"λ = {number(strength)}" for strength in strengths],
        [make(series, first) for make in (drawn.over_strength, drawn.tradeoff, drawn.each_task)],
        drawn.facts(series),
        key="experiment-5",
        index=first,
    )
    if series.told:
        told = text("A series of its own, not the run above: %(told)s", told=series.told)
        st.caption(widgets.plain(told))
    answer(guess, options, finding(series), key="5")
    st.page_link("../pages/forgetting.py", label=text("What one run forgot, task by task: Forgetting"))


def recorded_series() -> Series | None:
    """The series that comes with the project; None where it is not there."""
    return anchoring.read(reading.ASSETS / FILE)


def finding(series: Series) -> Finding:
    """Where the best strength lies; a difference within one standard error is none."""
    means = series.means()
    best = means.iloc[int(means["average_accuracy"].to_numpy().argmax())]
    near = means[best["average_accuracy"] - means["average_accuracy"] <= _error(best)]
    last = len(means) - 1
    true = {"none" if place == 0 else "strongest" if place == last else "between" for place in near.index}
    loose, tight = rows(means)[0], rows(means)[-1]
    said = [
        text(
            "Highest at **λ = %(best)s**: %(accuracy)s ± %(sd)s over %(n)d seeds.%(others)s",
            best=number(float(best["strength"])),
            accuracy=percent(float(best["average_accuracy"])),
            sd=percent(float(best["average_accuracy_sd"])),
            n=int(best["n"]),
            others=_others(near["strength"].tolist(), float(best["strength"])),
        ),
        text(
            "**Forgetting**: backward transfer is %(loose)s points at λ = %(low)s and %(tight)s at λ = %(high)s.",
            loose=points(loose.backward_transfer),
            tight=points(tight.backward_transfer),
            low=number(loose.strength),
            high=number(tight.strength),
        ),
        text(
            "**Plasticity**: each task is learned to %(loose)s at λ = %(low)s and to %(tight)s at λ = %(high)s.",
            loose=percent(loose.learning_accuracy),
            tight=percent(tight.learning_accuracy),
            low=number(loose.strength),
            high=number(tight.strength),
        ),
    ]
    against = []
    if tight.backward_transfer <= loose.backward_transfer:
        against.append(text("Stronger anchors should forget less; over this series they do not."))
    if tight.learning_accuracy >= loose.learning_accuracy:
        against.append(
            text(
                "Stronger anchors should cost plasticity; over this series new tasks are learned as well as without: "
                "the network has room enough for all of them."
            )
        )
    return found(true, said, " ".join(against))


def _error(best: pd.Series) -> float:
    """The standard error of a mean over seeds."""
    return float(best["average_accuracy_sd"]) / math.sqrt(max(1.0, float(best["n"])))


def _others(near: list[float], best: float) -> str:
    others = [number(strength) for strength in near if strength != best]
    if not others:
        return ""
    return " " + text("Within one standard error of it: λ = %(others)s.", others=", ".join(others))


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
        "Sweep anchor.strength over 0, 0.01, 0.1, 1, 10 with three seeds each and evaluation on validation data; open "
        "Compare. Give the network fewer neurons, or more tasks, until plasticity suffers."
    ),
    exercise=marked(
        "One weight, at θ* = 0 after task 1, whose loss is θ² / 2 near it. Task 2 has the loss (θ − 1)² / 2. Where "
        "does training with an anchor λ Ω θ² / 2, Ω = 1, end? Give the loss of both tasks, and the λ with the least "
        "sum."
    ),
    answer=marked(
        "At θ = 1/(1 + λ). Task 1 loses 1/(2 (1 + λ)²), task 2 λ²/(2 (1 + λ)²). The sum (1 + λ²)/(2 (1 + λ)²) is least "
        "at λ = 1: where the anchor is the true curvature of task 1, both tasks are learned as if together."
    ),
)
