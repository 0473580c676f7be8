"""The six experiments. Each: a question to answer first, a control, a figure, an honest answer, notes for the teacher.

An experiment is a file with `NOTES` and `show(entry, record)`; adding one is that file and a line in EXPERIMENTS.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import streamlit as st

from app import session, widgets
from app.experiments import anchors, bounds, hard_examples, rescaling, savings, two_networks
from app.experiments.notes import Notes, for_teacher
from app.language import marked, text
from app.reading import Entry
from esacl.records import RunRecord


@dataclass(frozen=True)
class Experiment:
    """One of the experiments."""

    short: str
    question: str
    show: Callable[[Entry, RunRecord], None]
    notes: Notes


EXPERIMENTS: Mapping[str, Experiment] = {  # by what stands in the link: ?experiment=3
    "1": Experiment(
        marked("Cut two networks"), marked("Which network survives the cut?"), two_networks.show, two_networks.NOTES
    ),
    "2": Experiment(marked("Bound or estimate"), marked("Which curve may be trusted?"), bounds.show, bounds.NOTES),
    "3": Experiment(marked("Rescale"), marked("What is sharpness not?"), rescaling.show, rescaling.NOTES),
    "4": Experiment(
        marked("Hard examples"), marked("Do hard examples tell the truth?"), hard_examples.show, hard_examples.NOTES
    ),
    "5": Experiment(marked("Anchors"), marked("How hard to hold on?"), anchors.show, anchors.NOTES),
    "6": Experiment(marked("Savings"), marked("What does sparsity save?"), savings.show, savings.NOTES),
}


def picker() -> str:
    """Which experiment, from the link until somebody chooses; one that is not there is said, and the first shown."""
    asked = session.shared("experiment")
    if asked is not None and asked not in EXPERIMENTS:
        about = text("There is no experiment %(asked)s; the first is shown.", asked=repr(str(asked)[:40]))
        widgets.say("warning", about)
    current = asked if asked in EXPERIMENTS else next(iter(EXPERIMENTS))
    session.remember("experiment", current)
    session.remember("_experiment", current)
    st.segmented_control(
        text("Experiment"),
        list(EXPERIMENTS),
        format_func=lambda number: f"{number} {text(EXPERIMENTS[number].short)}",
        key="_experiment",
        required=True,
        on_change=session.choose,
        args=("experiment", "_experiment"),
    )
    return current


def show(number: str, entry: Entry, record: RunRecord) -> None:
    """The experiment, and its notes: they are there whatever the run lacks."""
    experiment = EXPERIMENTS[number]
    st.header(text(experiment.question))
    body = st.container()
    for_teacher(experiment.notes, key=number)
    with body:
        experiment.show(entry, record)
