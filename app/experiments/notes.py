"""The page of notes that each experiment has for the teacher."""

from dataclasses import dataclass

import streamlit as st

from app.language import text


@dataclass(frozen=True)
class Notes:
    """What a teacher needs to know before class. Every text is marked for translation."""

    aim: str
    script: tuple[tuple[str, str], ...]  # (minutes, what to do)
    ask: str  # before the figure is shown
    misconceptions: tuple[tuple[str, str], ...]  # (what is thought, what is so)
    own_data: str
    exercise: str
    answer: str


def for_teacher(notes: Notes, *, key: str) -> None:
    """The notes, folded away: nothing of them depends on a run."""
    with st.expander(text("For the teacher"), key=f"teacher-{key}"):
        _part(text("Aim"), text(notes.aim))
        timed = [(text("%(minutes)s min.", minutes=minutes), text(what)) for minutes, what in notes.script]
        lines = [f"- *{time}* {what}" for time, what in timed]
        _part(text("Ten minutes"), "\n".join(lines))
        _part(text("Ask before you reveal"), text(notes.ask))
        thought = [f"- *“{text(wrong)}”* {text(right)}" for wrong, right in notes.misconceptions]
        _part(text("What is often thought"), "\n".join(thought))
        _part(text("With your own data"), text(notes.own_data))
        _part(text("Exercise"), text(notes.exercise))
        _part(text("Its answer"), text(notes.answer))


def _part(title: str, body: str) -> None:
    st.markdown(f"**{title}**\n\n{body}")
