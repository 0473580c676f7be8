"""What a reader has chosen: kept in the session, mirrored in the link. The only place of `st.session_state`."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import numpy as np
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import language
from app.language import marked, text
from app.reading import Entry, NoRun
from esacl.errors import RunUnreadable

_NO_TASK = marked("The link asks for task %(value)s; this run has the tasks 1 to %(tasks)d. The usual one is shown.")
_NO_AXIS = marked("The link asks for the axis %(value)s, which no slice has. The usual ones are shown.")
_NO_LANGUAGE = marked("The link asks for the language %(value)s, which is not there. English is shown.")
_NO_LARGE = marked("The link asks for large type by %(value)s; 1 is large, 0 is not. The usual is shown.")
_NO_SPARSITY = marked("The link asks for sparsity %(value)s, which is no number from 0 to below 1. The usual is shown.")
# What a link carries: ?run=...&sparsity=...
SHARED = ("run", "beside", "task", "sparsity", "slice-x", "slice-y", "experiment", "tour", "language", "large")


def shared(name: str) -> Any:
    """A shared value as text or as it was set; None where nobody chose one."""
    if name not in st.session_state and name in st.query_params:
        st.session_state[name] = st.query_params[name]
    return st.session_state.get(name)


def share(name: str, value: Any) -> None:
    """Set a shared value, here and in the link; None takes it out of both."""
    st.session_state[name] = value
    if name == "language":
        note_language()
    publish()


def choose(name: str, key: str) -> None:
    """Share what the widget `key` holds; made to be its callback."""
    share(name, st.session_state.get(key))


def component_state(key: str, name: str) -> Any:
    """What a component has last told, None where nothing."""
    state = st.session_state.get(key)
    return state.get(name) if isinstance(state, Mapping) else None


def publish() -> None:
    """Bring the link up to date: a page change empties it."""
    for name in SHARED:
        value = st.session_state.get(name)
        if value is not None and st.query_params.get(name) != str(value):
            st.query_params[name] = str(value)
        elif value is None and name in st.session_state:
            st.query_params.pop(name, None)


def remembered(name: str, default: Any = None) -> Any:
    """A value that this session keeps and no link carries."""
    return st.session_state.get(name, default)


def remember(name: str, value: Any) -> None:
    """Keep a value in this session; None forgets it."""
    if value is None:
        st.session_state.pop(name, None)
    else:
        st.session_state[name] = value


def refill(key: str, value: Any) -> None:
    """Set a control that is drawn on another page, None included."""
    st.session_state[key] = value


_chosen: dict[str, str | None] = {}  # session -> language: a page asks a thousand times, and session state is slow


def note_language() -> None:
    """Look up the language of this session: at the start of a script run, and when somebody chooses another."""
    session = get_script_run_ctx(suppress_warning=True)
    if session is not None:
        if len(_chosen) > 1000:
            _chosen.clear()  # sessions that are long over; one that is not looks it up again
        asked = shared("language")
        _chosen[session.session_id] = asked if isinstance(asked, str) else None


def _language() -> str | None:
    """The language that the reader chose; None outside of a session and until somebody chooses."""
    session = get_script_run_ctx(suppress_warning=True)
    if session is None:
        return None
    if session.session_id not in _chosen:
        note_language()
    return _chosen.get(session.session_id)


language.spoken_by(_language)


def user() -> str:
    """Who has logged in, by the login or the proxy that the server trusts; nothing where nobody has to."""
    told = st.user.to_dict() if get_script_run_ctx(suppress_warning=True) else {}
    return next((str(told[name]) for name in ("email", "name", "sub") if told.get(name)), "")


def large() -> bool:
    """Whether the reader asked for large type, as a class in front of a projector needs it."""
    return str(shared("large")) == "1"


def appearance() -> dict[str, str]:
    """What a link to another page must carry for the reader to find it as this one: the language and the type."""
    return {name: str(value) for name in ("language", "large") if (value := shared(name)) is not None}


def sparsity(levels: np.ndarray | None = None, target: float = 0.0) -> float:
    """The sparsity that all pages show, moved to the nearest of `levels`.

    Until somebody chooses it is the run's own, `target`, or 90 % where the run cuts nothing.
    """
    own = target or 0.9
    try:
        value = float(shared("sparsity"))
        value = value if 0 <= value < 1 else own
    except (TypeError, ValueError):
        value = own
    if levels is not None and len(levels):
        value = float(levels[int(np.argmin(np.abs(np.asarray(levels) - value)))])
    return value


def task(tasks: int, default: int) -> int:
    """The task that all pages show, 0-based; `default` until somebody chooses. The link counts from 1."""
    try:
        return min(max(int(shared("task")), 1), tasks) - 1
    except (TypeError, ValueError):
        return default


def put_right(tasks: int) -> list[str]:
    """Take out of session and link what no page can show; a line on each, for the reader.

    Args:
        tasks: how many the shown run has.
    """
    said = []
    checks: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
        ("task", lambda value: 1 <= int(value) <= tasks, _NO_TASK),
        ("sparsity", lambda value: 0 <= float(value) < 1, _NO_SPARSITY),
        ("slice-x", _is_axis, _NO_AXIS),
        ("slice-y", _is_axis, _NO_AXIS),
        ("language", lambda value: value in language.LANGUAGES, _NO_LANGUAGE),
        ("large", lambda value: str(value) in ("0", "1"), _NO_LARGE),
    )
    for name, allowed, telling in checks:
        value = shared(name)
        if value is not None and not _holds(allowed, value):
            said.append(text(telling, value=repr(str(value)[:40]), tasks=tasks))
            share(name, None)
    return said


def _is_axis(value: Any) -> bool:
    return re.fullmatch(r"pruning|task|(eigen|random)[1-9]", value) is not None


def _holds(allowed: Callable[[Any], bool], value: Any) -> bool:
    try:
        return allowed(value)
    except (TypeError, ValueError):
        return False


def address(path: str, entry: Entry) -> str:
    """A link to a page that restores what this session looks at: the run, the sparsity, the task, the axes."""
    given = {name: str(value) for name in SHARED if (value := st.session_state.get(name)) is not None}
    here = urlsplit(st.context.url or "")
    folder = here.path.rpartition("/")[0]
    return urlunsplit((here.scheme, here.netloc, f"{folder}/{path}", urlencode({**given, "run": entry.run_id}), ""))


def lists(found: Sequence[Entry]) -> None:
    """Note the runs that there are in this script run: to look once is enough."""
    st.session_state["_entries"] = found


def listed() -> Sequence[Entry]:
    """All runs, as this script run has found them."""
    found: Sequence[Entry] = st.session_state.get("_entries", ())
    return found


def current(entry: Entry | None) -> None:
    """Note the run that this script run shows."""
    st.session_state["_entry"] = entry


def shown() -> Entry | None:
    """The run that this script run shows, readable or not; None where there is none."""
    entry: Entry | None = st.session_state.get("_entry")
    return entry


def chosen() -> Entry:
    """The run that the page shows.

    Raises:
        NoRun: there is none at all.
        RunUnreadable: its folder cannot be read.
    """
    entry = shown()
    if entry is None:
        raise NoRun(text("There is no run yet: start one on the Run page, or with `esacl run`."))
    if entry.config is None or entry.status.state == "unreadable":
        raise RunUnreadable(text("This run cannot be read: %(reason)s", reason=entry.status.detail))
    return entry
