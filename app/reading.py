"""What the pages read: runs, records, arrays. The only place of `st.cache_*` and of `st.session_state`."""

import contextlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import numpy as np
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import language
from app.glance import Glance
from app.glance import glance as read_glance
from app.language import text
from app.listing import Listing, stamp
from esacl import jobs
from esacl.config import RunConfig
from esacl.durable import read_json
from esacl.errors import InputError, RunUnreadable
from esacl.events import Event
from esacl.records import RunRecord, Status, Tail
from esacl.store import RunStore
from esacl.summary import summarise

ASSETS = Path(__file__).resolve().parent.parent / "assets"
RECORDED = ASSETS  # where the runs that come with the project are
NAMED = ("config.json", "label.json")  # what a run was told, and what it is called
# What a link carries: ?run=...&sparsity=...
SHARED = ("run", "beside", "task", "sparsity", "slice-x", "slice-y", "experiment", "language", "large")


class NoRun(InputError):
    """There is nothing to show yet, which is nobody's fault."""


@dataclass(frozen=True)
class Entry:
    """One run in the list. `recorded`: it came with the project and is read-only."""

    run_id: str
    recorded: bool
    config: RunConfig | None  # None where the folder cannot be read
    status: Status

    @property
    def store(self) -> RunStore:
        """The store that holds the run."""
        return recorded_runs() if self.recorded else own_runs()


def own_runs() -> RunStore:
    """The user's runs: `$ESACL_RUNS`, else `runs/`."""
    return _served(os.environ.get("ESACL_RUNS") or "runs")


def recorded_runs() -> RunStore:
    """The runs that came with the project."""
    return _store(str(RECORDED))


@st.cache_resource(show_spinner=False)
def _served(root: str) -> RunStore:
    """The store of a server that has just started: it picks up the jobs that died with the last one."""
    jobs.recover(_store(root))
    return _store(root)


@st.cache_resource(show_spinner=False)
def _store(root: str) -> RunStore:
    return RunStore(root)


def entries() -> list[Entry]:
    """All runs: the user's, newest first, then those that came with the project and were not taken in."""
    found: dict[str, Entry] = {}
    for recorded, store in ((False, own_runs()), (True, recorded_runs())):
        for run_id, config, status in _listing(str(store.root)).read():
            found.setdefault(run_id, Entry(run_id, recorded, config, status))
    return list(found.values())


@st.cache_resource(show_spinner=False)
def _listing(root: str) -> Listing:
    return Listing(_store(root))


def record(entry: Entry) -> RunRecord:
    """All that is kept of a run except its arrays.

    Raises:
        RunUnreadable: its folder is damaged.
    """
    if entry.status.live:
        follower = follow(entry)
        follower.poll()
        return follower.record(entry.status)
    mark = stamp(entry.store, entry.run_id, "events.jsonl", "measured.jsonl", "done.json", *NAMED)
    return _record(str(entry.store.root), entry.run_id, entry.status.state, mark)


@st.cache_resource(show_spinner=False, max_entries=64)
def _record(root: str, run_id: str, state: str, mark: tuple[int, ...]) -> RunRecord:
    return _store(root).read(run_id)


def summary(entry: Entry) -> dict[str, Any]:
    """A finished run in numbers, as `esacl show --json` has it; kept, for pages that look at many runs at once.

    Raises:
        RunUnreadable: its folder is damaged.
    """
    mark = stamp(entry.store, entry.run_id, "events.jsonl", "measured.jsonl", "done.json", *NAMED)
    return _summary(str(entry.store.root), entry.run_id, mark)


@st.cache_resource(show_spinner=False, max_entries=4096)
def _summary(root: str, run_id: str, mark: tuple[int, ...]) -> dict[str, Any]:
    return summarise(_store(root).read(run_id))


def glance(entry: Entry) -> Glance:
    """What a row of the gallery shows of a run."""
    mark = stamp(entry.store, entry.run_id, "events.jsonl", *NAMED)
    return _glance(str(entry.store.root), entry.run_id, mark, entry.config)


@st.cache_resource(show_spinner=False, max_entries=4096)
def _glance(root: str, run_id: str, mark: tuple[int, ...], _config: RunConfig | None) -> Glance:
    return read_glance(_store(root), run_id, _config)


def arrays(entry: Entry, name: str) -> dict[str, np.ndarray] | None:
    """The arrays that a run keeps under `name`; None where it recorded none of that name.

    Raises:
        RunUnreadable: the file is damaged.
    """
    if name not in entry.store.array_names(entry.run_id):
        return None
    return _arrays(str(entry.store.root), entry.run_id, name, stamp(entry.store, entry.run_id, f"arrays/{name}.npz"))


@st.cache_resource(show_spinner=False, max_entries=128)
def _arrays(root: str, run_id: str, name: str, mark: tuple[int, ...]) -> dict[str, np.ndarray]:
    return _store(root).array(run_id, name)


def member(entry: Entry, name: str, key: str) -> np.ndarray | None:
    """One of the arrays under `name`, kept without the others: those of a large network would fill the memory.

    Raises:
        RunUnreadable: the file is damaged.
    """
    if name not in entry.store.array_names(entry.run_id):
        return None
    stamp = _stamp(entry.store, entry.run_id, f"arrays/{name}.npz")
    return _member(str(entry.store.root), entry.run_id, name, key, stamp)


@st.cache_resource(show_spinner=False, max_entries=64)
def _member(root: str, run_id: str, name: str, key: str, stamp: tuple[int, ...]) -> np.ndarray | None:
    return _store(root).array(run_id, name).get(key)


def analyses(entry: Entry) -> tuple[Event, ...]:
    """The events of the analyses that were made after the run.

    Raises:
        RunUnreadable: their file is damaged.
    """
    mark = stamp(entry.store, entry.run_id, "analyses.jsonl")
    return _analyses(str(entry.store.root), entry.run_id, mark) if mark != (-1,) else ()


@st.cache_resource(show_spinner=False, max_entries=64)
def _analyses(root: str, run_id: str, mark: tuple[int, ...]) -> tuple[Event, ...]:
    return tuple(_store(root).tail(run_id, "analyses").poll())


def array_names(entry: Entry) -> tuple[str, ...]:
    """The names of all arrays that the run has recorded so far."""
    return entry.store.array_names(entry.run_id)


class Follower:
    """One tail a run, shared by all browser tabs, read by one thread at a time."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._tail: Tail = store.tail(run_id)
        self._lock = threading.Lock()

    def poll(self) -> int:
        """Read what is new; returns how many events there are."""
        with self._lock:
            self._tail.poll()
            return len(self._tail.events)

    def record(self, status: Status) -> RunRecord:
        """What the run's folder says so far."""
        with self._lock:
            events = tuple(self._tail.events)
        measured = self._store.measured(self._run_id)
        facts: dict[str, Any] = {}
        with contextlib.suppress(RunUnreadable):
            facts = read_json(self._store.folder(self._run_id) / "machine.json")
        return RunRecord(self._run_id, self._store.config(self._run_id), status, events, measured, facts)


def follow(entry: Entry) -> Follower:
    """The follower of a run."""
    return _follower(str(entry.store.root), entry.run_id)


@st.cache_resource(show_spinner=False, max_entries=32)
def _follower(root: str, run_id: str) -> Follower:
    return Follower(_store(root), run_id)


# What pages share: kept in the session, mirrored in the link.


def shared(name: str) -> Any:
    """A shared value as text or as it was set; None where nobody chose one."""
    if name not in st.session_state and name in st.query_params:
        st.session_state[name] = st.query_params[name]
    return st.session_state.get(name)


def share(name: str, value: Any) -> None:
    """Set a shared value, here and in the link."""
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


def large() -> bool:
    """Whether the reader asked for large type, as a class in front of a projector needs it."""
    return str(shared("large")) == "1"


def look() -> dict[str, str]:
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


def address(path: str, entry: Entry) -> str:
    """A link to a page that restores what this session looks at: the run, the sparsity, the task, the axes."""
    given = {name: str(value) for name in SHARED if (value := st.session_state.get(name)) is not None}
    here = urlsplit(st.context.url or "")
    folder = here.path.rpartition("/")[0]
    return urlunsplit((here.scheme, here.netloc, f"{folder}/{path}", urlencode({**given, "run": entry.run_id}), ""))


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
