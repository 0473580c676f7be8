"""The tour: seven steps for a first visitor, each on its page, with what to look at and what to try."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn

import streamlit as st

from app import reading, session, widgets
from app.language import marked, text


@dataclass(frozen=True)
class Step:
    """One step: where it is, what is to be seen there, and what to try."""

    page: str  # file in pages/
    look: str
    attempt: str


STEPS: Mapping[str, Step] = {  # by what stands in the link: ?tour=2
    "1": Step(
        "start",
        marked(
            "A network learned one task after another, and in each it lost most of its weights in a single cut. The "
            "four numbers say how well that went."
        ),
        marked("Rest on the question mark beside a number: it says what is meant."),
    ),
    "2": Step(
        "forgetting",
        marked("Each line is one task, from where it was learned: a line that stays level was not forgotten."),
        marked("Further down, move the anchor up from 0, and watch the first tasks come back."),
    ),
    "3": Step(
        "sparsity",
        marked("This is the network right before its cut, and what every other cut would have done to it."),
        marked("Press Play, or drag the slider, and find where the accuracy breaks; compare the run beside it."),
    ),
    "4": Step(
        "theory",
        marked(
            "Why a cut can cost almost nothing: it is a step, and its price depends on how far it goes and in which "
            "direction. The Landscape page shows the same on a real network."
        ),
        marked("Drag the orange point; then cut one weight, the other, and both."),
    ),
    "5": Step(
        "selection",
        marked("The shape of the loss is measured on a few images. Which ones are taken decides what they tell."),
        marked("Commit to an answer further down; then go from IDS to top-k, and look at the signed bias."),
    ),
    "6": Step(
        "cost",
        marked("Every extra is on the bill, and what was counted stands beside what the clock measured."),
        marked("Find this run among its rivals, and then the dearest item of its bill."),
    ),
    "7": Step(
        "experiments",
        marked("Six experiments, each with a question before its figure; what they answer, the data say."),
        marked("Commit to an answer in the first one. Then start a run of your own on the Run page."),
    ),
}


_BEFORE = "before-tour"  # the run that was chosen when the tour began, and the one that the tour chose


def offer() -> None:
    """The button that begins the tour; nothing while it lasts."""
    if _step() is None:
        st.button(text("Take the tour"), key="tour-begin", on_click=_begin)


def banner(here: str, titles: Mapping[str, str]) -> None:
    """Where the tour stands, above a page; nothing where there is no tour.

    Args:
        here: the page, by its file in pages/.
        titles: of all pages, English, marked.
    """
    number = _step()
    if number is None:
        asked = session.shared("tour")
        session.share("tour", None)  # out of the link, where somebody wrote a step that there is not
        if asked is not None:
            told = {"value": repr(str(asked)[:40]), "steps": len(STEPS)}
            widgets.say("warning", text("The link asks for step %(value)s of the tour, which has %(steps)d.", **told))
        return
    step = STEPS[number]
    with st.container(border=True, key="tour"):
        words, buttons = st.columns([2, 1], gap="medium", vertical_alignment="bottom")
        with words, st.container(gap=None):
            st.caption(text("Step %(step)s of %(steps)d", step=number, steps=len(STEPS)))
            st.markdown(_said(step) if step.page == here else _waits(text(titles[step.page])))
        with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            (_onward if step.page == here else _return)(number)


def _said(step: Step) -> str:
    return f"{text(step.look)} *{text(step.attempt)}*"


def _waits(page: str) -> str:
    return text("The tour waits on the page %(page)s, and can be taken up from here at any time.", page=page)


def _onward(number: str) -> None:
    numbers = list(STEPS)
    at = numbers.index(number)
    last = at + 1 == len(numbers)
    _end("primary" if last else "tertiary")
    if st.button(text("Back"), key="tour-back", disabled=at == 0):
        _go(numbers[at - 1])
    if not last and st.button(text("Next"), key="tour-next", type="primary"):
        _go(numbers[at + 1])


def _return(number: str) -> None:
    _end("tertiary")
    if st.button(text("Back to the tour"), key="tour-return", type="primary"):
        _go(number)


def _go(number: str) -> NoReturn:
    session.share("tour", number)
    st.switch_page(f"../pages/{STEPS[number].page}.py")


def _begin() -> None:
    """The first step, on the run that came with the project: everything was recorded of it."""
    found = (entry for entry in reading.entries() if entry.recorded and entry.config)
    recorded = next((entry for entry in found if entry.config and entry.config.method == "esacl"), None)
    if recorded is not None:
        session.remember(_BEFORE, (session.shared("run"), recorded.run_id))
        session.share("run", recorded.run_id)
    session.share("tour", next(iter(STEPS)))


def _end(kind: Literal["primary", "tertiary"]) -> None:
    st.button(text("End the tour"), key="tour-end", type=kind, on_click=_leave)


def _leave() -> None:
    """The end, and back to the run of before, unless another was chosen on the way or it is gone."""
    session.share("tour", None)
    before, shown = session.remembered(_BEFORE, (None, None))
    session.remember(_BEFORE, None)
    if session.shared("run") == shown and before in {entry.run_id for entry in reading.entries()}:
        session.share("run", before)


def _step() -> str | None:
    """The step that the session or the link asks for; None where it asks for none that there is."""
    asked = session.shared("tour")
    return asked if asked in STEPS else None
