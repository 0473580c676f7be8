"""The sweeps of the runs folder: how far each has come, when it will end, a way to stop it and one to go on."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from app import reading, session, widgets
from app.language import text
from esacl.errors import InputError, RunUnreadable
from esacl.sweep import record, resuming
from esacl.sweep.record import SweepState

if TYPE_CHECKING:
    import pandas as pd

EVERY = 2.0  # seconds
LISTED = 8  # sweeps, those that somebody works on first


def show() -> None:
    """Every sweep; nothing where there is none. One that is worked on is drawn anew by itself."""
    folders = record.sweeps_of(reading.own_runs().root)
    if not folders:
        return
    st.header(text("Sweeps"))
    read = [(folder, _state(folder)) for folder in folders]
    read.sort(key=lambda one: (not isinstance(one[1], SweepState) or not one[1].live, -_changed(one[0])))
    for folder, state in read[:LISTED]:
        if isinstance(state, SweepState) and state.live:
            _live(folder)
        else:
            _one(folder, state)
    if len(read) > LISTED:
        st.caption(text("%(more)d older sweeps are in the runs folder.", more=len(read) - LISTED))


def summary(state: SweepState) -> str:
    """How a sweep stands, in one line."""
    parts = [text("%(done)d of %(all)d finished", done=state.done, all=len(state.rows))]
    if state.running:
        parts.append(text("%(count)d running", count=state.running))
    if state.failed:
        parts.append(text("%(count)d failed", count=state.failed))
    if state.waiting and not state.live:
        parts.append(text("%(count)d to come: the same command goes on with them", count=state.waiting))
    return widgets.time_left(", ".join(parts), state.eta)


def rows(state: SweepState) -> "pd.DataFrame":
    """A row a run: what it varies, how it stands, its id, and why it failed."""
    import pandas as pd  # loaded late: most folders have no sweep

    told = [
        (row.label, text(widgets.STATES["queued" if row.state == "waiting" else row.state]), row.run or "", row.detail)
        for row in state.rows
    ]
    return pd.DataFrame(told, columns=["settings", "status", "run", "detail"])


@st.fragment(run_every=EVERY)
def _live(folder: Path) -> None:
    widgets.trouble()  # of its own button, which draws nothing else anew
    state = _state(folder)
    _one(folder, state)
    if isinstance(state, str) or not state.live:
        st.rerun()  # the gallery has new runs, and nobody needs to look again


def _one(folder: Path, state: SweepState | str) -> None:
    name = folder.name
    if isinstance(state, str):
        widgets.say("warning", text("The sweep %(name)s cannot be read: %(reason)s", name=name, reason=state))
        return
    bar, stop = st.columns([5, 1], vertical_alignment="bottom")
    share = (state.done + state.failed) / max(1, len(state.rows))
    bar.progress(min(1.0, share), widgets.plain(f"{name}: {summary(state)}"))
    if state.live:
        stopping = (folder / record.CANCEL).exists()
        label = text("Stopping …") if stopping else text("Cancel")
        stop.button(label, key=f"cancel-sweep-{name}", on_click=_cancel, args=(folder,), disabled=stopping)
    elif state.done < len(state.rows):
        about = text("Goes on in a process of its own, as the same command does: what is finished is not run again.")
        stop.button(text("Resume"), key=f"resume-sweep-{name}", on_click=_resume, args=(folder,), help=about)
        if why := resuming.problem(folder):
            widgets.say("warning", text("The sweep %(name)s could not go on: %(why)s", name=name, why=why))
    widgets.table(rows(state), text("Its runs"), key=f"sweep-{name}")


def _state(folder: Path) -> SweepState | str:
    try:
        return record.read_sweep(folder)
    except RunUnreadable as error:
        return str(error)


def _changed(folder: Path) -> float:
    try:
        return (folder / record.FILE).stat().st_mtime
    except OSError:
        return 0.0


def _cancel(folder: Path) -> None:
    try:
        record.cancel(folder)
    except OSError as error:
        told = text("%(where)s cannot be written (%(why)s).", where=folder, why=error.strerror)
        session.remember("trouble", told)


def _resume(folder: Path) -> None:
    try:
        resuming.resume(reading.own_runs(), folder, owner=session.user())
    except InputError as error:
        session.remember("trouble", str(error))
