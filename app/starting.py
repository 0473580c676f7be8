"""The form that starts a run: its controls, the command that would do the same, and the click."""

from typing import Any

import streamlit as st

from app import controls, duplicating, reading, session, widgets
from app.language import SOURCE, language, text
from esacl import jobs
from esacl.config import RunConfig, read_config
from esacl.errors import InputError
from esacl.reproducing import command


def form() -> None:
    """The controls and the button."""
    duplicating.announce()
    chosen = controls.choices()
    settings = duplicating.carried(chosen) | chosen
    config = _checked(settings)
    duplicating.compared(config)
    begin = st.button(text("Start the run"), key="start", type="primary", disabled=config is None, width="stretch")
    # No callback: on a click straight from a field it would start what the form said before.
    if begin and config is not None:
        _start(config)
        st.rerun()
    widgets.trouble()
    if config is not None:
        with st.expander(text("The same on the command line")):
            st.code(command(settings), language=None, wrap_lines=True)


def _checked(settings: dict[str, Any]) -> RunConfig | None:
    try:
        return read_config(None, settings)
    except InputError as error:
        widgets.say("error", labelled(str(error)))
        return None


def labelled(line: str) -> str:
    """What is wrong with a setting, behind the name of its control where the reader's language is not the line's."""
    label = controls.LABELS.get(line.partition(":")[0])
    if label is None or language() == SOURCE:
        return line
    return text("%(label)s: %(line)s", label=text(label), line=line)


def _start(config: RunConfig) -> None:
    try:
        session.share("run", jobs.start(config, reading.own_runs(), owner=session.user()))
    except InputError as error:
        session.remember("trouble", str(error))
