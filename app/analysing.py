"""What a page shows where a run has not recorded what it needs: why, and a button that measures it now."""

from typing import NoReturn

import streamlit as st

from app import reading, widgets
from app.progress import STAGES
from app.reading import Entry
from esacl import jobs
from esacl.errors import InputError
from esacl.events import Analysing, Loading

EVERY = 0.7  # seconds


def missing(entry: Entry, what: str, kind: str, task: int) -> NoReturn:
    """Say that `what` is not there; offer to measure it where a job can; the page ends here."""
    trouble = reading.remembered("trouble")
    if trouble:
        widgets.say("error", trouble)
        reading.remember("trouble", None)
    possible = not entry.recorded and entry.status.state == "finished"
    if not possible or f"weights-t{task}" not in reading.array_names(entry):
        widgets.wait(entry, what)
    status = entry.store.analysis_status(entry.run_id)
    if status is not None and status.state == "running":
        _following(entry)
        st.stop()
    widgets.say("info", f"{what}.")
    if status is not None and status.state in ("failed", "lost"):
        widgets.say("error", f"The last attempt {widgets.STATES[status.state]}: {status.detail}")
    st.button("Measure it now", key="measure-now", type="primary", on_click=_start, args=(entry, kind, task))
    st.stop()


@st.fragment(run_every=EVERY)
def _following(entry: Entry) -> None:
    status = entry.store.analysis_status(entry.run_id)
    jobs.reap(entry.store)
    if status is None or status.state != "running":
        st.rerun()
    fraction, stage = 0.0, "starting"
    for event in reading.analyses(entry):
        match event:
            case Loading(what=what):
                fraction, stage = 0.0, f"loading {what}"
            case Analysing(stage=name, done=done, total=total):
                fraction, stage = done / max(1, total), STAGES.get(name, name)
    st.progress(min(0.999, fraction), widgets.plain(stage.capitalize()))


def _points(entry: Entry, kind: str) -> int | None:
    """How fine to look where the run itself was told not to look."""
    curvature = entry.config.curvature if entry.config else None
    if curvature is None:
        return None
    switched_off = {"landscape": (curvature.grid, 25), "spectrum": (curvature.top, 3)}
    own, instead = switched_off.get(kind, (1, None))
    return None if own else instead


def _start(entry: Entry, kind: str, task: int) -> None:
    try:
        jobs.analyse(entry.store, entry.run_id, kind, {"task": task, "points": _points(entry, kind)})
    except InputError as error:
        reading.remember("trouble", str(error))
