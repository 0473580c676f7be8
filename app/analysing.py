"""What a page shows where a run has not recorded what it needs: why, and a button that measures it now."""

import time
from collections.abc import Collection, Mapping
from typing import Any, Literal, NoReturn

import streamlit as st

from app import reading, session, widgets
from app.language import text
from app.progress import analysis_left, analysis_progress
from app.reading import Entry
from esacl import jobs
from esacl.errors import InputError

EVERY = 0.7  # seconds


def missing(entry: Entry, what: str, kind: str, task: int) -> NoReturn:
    """Say that `what` is not there; offer to measure it where a job can; the page ends here."""
    if not possible(entry, task):
        widgets.wait(entry, what)
    if not follow(entry):
        _last_attempt(entry)
        offer(entry, what, kind, {"task": task, "points": points(entry, kind)})
    st.stop()


def curve_missing(entry: Entry, task: int) -> NoReturn:
    """`missing`, of the sparsity curve of a task."""
    missing(entry, text("The sparsity curve of task %(task)d has not been recorded", task=task + 1), "sparsity", task)


def offer(
    entry: Entry,
    what: str,
    kind: str,
    options: Mapping[str, Any],
    *,
    label: str = "",
    key: str = "measure-now",
    boxed: bool = True,
) -> None:
    """Say that `what` is not there, and offer to measure it where a job can."""
    able = possible(entry, int(options["task"]))
    said = text("%(what)s.", what=what) if able else text("%(what)s. %(why)s", what=what, why=_why_not(entry))
    label = label or text("Measure it now")
    if boxed:
        widgets.say("info", said)
        if able:
            button(entry, label, kind, options, key=key)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if able:
            button(entry, label, kind, options, key=key, quiet=True)
        st.caption(widgets.plain(said), width="content")
    progress_at(entry, key)


def button(
    entry: Entry,
    label: str,
    kind: str,
    options: Mapping[str, Any],
    *,
    key: str,
    quiet: bool = False,
    disabled: bool = False,
) -> None:
    """Starts an analysis; held back while another one works on the run."""
    at_work = busy(entry)
    about = text("Another analysis works on this run; its progress is on this page.") if at_work else None
    look: Literal["primary", "secondary"] = "secondary" if quiet else "primary"
    held = disabled or at_work
    # No callback: on a click straight from a field it would get the options of before, as the page last drew them.
    if st.button(label, key=key, type=look, disabled=held, help=about) and not held:
        _start(entry, kind, options, key)
        st.rerun()


def possible(entry: Entry, task: int) -> bool:
    """Whether a job can look again at a task of the run."""
    finished = not entry.recorded and entry.status.state == "finished"
    return finished and f"weights-t{task}" in reading.array_names(entry)


def busy(entry: Entry) -> bool:
    """Whether an analysis works on a finished run; known before it has written its first line."""
    return not entry.recorded and not entry.status.live and entry.store.workers.alive(entry.run_id)


def follow(*entries: Entry | None, below: Collection[str] = ()) -> bool:
    """The progress of the analyses that work on these runs, with a way to stop them; returns whether there are any.

    When one ends, the page is drawn anew, with what was found. `below`: buttons far down on the page; what one of them
    has begun is followed there, by `progress_at`.
    """
    session.remember("followed-below", tuple(below))
    widgets.trouble()
    at_work = [entry for entry in entries if entry is not None and busy(entry)]
    for entry in entries:
        if entry is not None and entry not in at_work and session.remembered(_asked(entry)):
            _last_attempt(entry)
            session.remember(_asked(entry), None)
    for entry in at_work:
        if session.remembered(_asked(entry)) not in below:
            _following(entry)
    return bool(at_work)


def progress_at(entry: Entry, key: str) -> None:
    """What the button `key` has begun, followed beneath it where the page says that it is far down."""
    if key in session.remembered("followed-below", ()) and session.remembered(_asked(entry)) == key and busy(entry):
        _following(entry)


@st.fragment(run_every=EVERY)
def _following(entry: Entry) -> None:
    jobs.reap(entry.store)
    if not busy(entry):
        session.remember(_since(entry), None)
        st.rerun()
    now = time.monotonic()
    stands = analysis_progress(reading.analyses(entry))
    first = session.remembered(_since(entry))
    if first is None or first[1] > stands.fraction or first[2] != stands.stage:
        first = (now, stands.fraction, stands.stage)
        session.remember(_since(entry), first)
    left = analysis_left(stands.fraction, first[1], now - first[0])
    words = widgets.time_left(stands.stage, left)
    stopping = (entry.store.folder(entry.run_id) / "CANCEL").exists()
    bar, stop = st.columns([5, 1], vertical_alignment="bottom")
    bar.progress(min(0.999, stands.fraction), widgets.plain(words))
    stop.button(
        text("Stopping …") if stopping else text("Cancel"),
        key=f"cancel-{entry.run_id}",
        on_click=_cancel,
        args=(entry,),
        disabled=stopping,
    )


def _last_attempt(entry: Entry) -> None:
    status = entry.store.analysis_status(entry.run_id)
    if status is not None and status.state in ("failed", "lost"):
        state = text(widgets.STATES[status.state])
        widgets.say("error", text("The last analysis %(state)s: %(reason)s", state=state, reason=status.detail))
    elif status is not None and status.state == "cancelled":
        widgets.say("info", text("The last analysis was cancelled; what it had measured by then is kept."))


def _why_not(entry: Entry) -> str:
    if entry.recorded:
        return text("This run came with the project and is read-only: a run of your own can be measured again.")
    if entry.status.state != "finished":
        return text("It can be measured when the run is finished.")
    return text("It cannot be measured: the run keeps no weights of this task.")


def points(entry: Entry, kind: str) -> int | None:
    """How fine to look where the run itself was told not to look."""
    curvature = entry.config.curvature if entry.config else None
    if curvature is None:
        return None
    switched_off = {
        "landscape": (curvature.grid, 25),
        "spectrum": (curvature.top, 3),
        "sparsity": (curvature.levels, 25),
    }
    own, instead = switched_off.get(kind, (1, None))
    return None if own else instead


def _start(entry: Entry, kind: str, options: Mapping[str, Any], key: str) -> None:
    session.remember(_asked(entry), key)
    session.remember(_since(entry), None)
    try:
        jobs.analyse(entry.store, entry.run_id, kind, options, owner=session.user())
    except InputError as error:
        session.remember("trouble", str(error))


def _cancel(entry: Entry) -> None:
    try:
        jobs.cancel(entry.store, entry.run_id)
    except InputError as error:
        session.remember("trouble", str(error))


def _asked(entry: Entry) -> str:
    return f"asked-{entry.run_id}"


def _since(entry: Entry) -> str:
    return f"since-{entry.run_id}"
