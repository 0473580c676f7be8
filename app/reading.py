"""What the pages read: runs, records, arrays. The only place of `st.cache_*`."""

import logging
import os
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import streamlit as st

from app import faults
from app.glance import Glance
from app.glance import glance as read_glance
from app.kept import Kept
from app.language import language, text
from app.listing import NAMED, Listing, Stamp, stamp
from esacl import jobs, origin
from esacl.config import RunConfig
from esacl.errors import InputError, RunUnreadable
from esacl.events import Analysing, ArrayRecorded, Event, Stepped
from esacl.records import RunRecord, Status, Tail
from esacl.store import RunStore
from esacl.summary import summarise

ASSETS = Path(__file__).resolve().parent.parent / "assets"
RECORDED = ASSETS  # where the runs that come with the project are
WHOLE = ("events.jsonl", "measured.jsonl", "analyses.jsonl", "arrays", "done.json", *NAMED)  # all that pages draw
UNSUMMED = (Stepped, Analysing, ArrayRecorded)  # nineteen events of twenty, of which a summary says nothing
Made = TypeVar("Made")


class NoRun(InputError):
    """There is nothing to show yet, which is nobody's fault."""


@dataclass(frozen=True)
class Entry:
    """One run in the list. `recorded`: it came with the project and is read-only."""

    run_id: str
    recorded: bool
    config: RunConfig | None  # None where the folder cannot be read
    status: Status
    mark: Stamp = field(default=(), compare=False, repr=False)  # of the files that the list has looked at

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
    """The store of a server that has just started: it keeps faults, and picks up the jobs that died with the last."""
    faults.keep(_store(root))
    jobs.recover(_store(root))
    return _store(root)


@st.cache_resource(show_spinner=False)
def _store(root: str) -> RunStore:
    return RunStore(root)


def entries() -> list[Entry]:
    """All runs: the user's, newest first, then those that came with the project and were not taken in."""
    found: dict[str, Entry] = {}
    for recorded, store in ((False, own_runs()), (True, recorded_runs())):
        for run_id, config, status, mark in _listing(str(store.root)).read():
            found.setdefault(run_id, Entry(run_id, recorded, config, status, mark))
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
    own = _key(entry)
    _followers().forget(lambda key: key == own)  # its events are held once
    mark = stamp(entry.store, entry.run_id, "events.jsonl", "measured.jsonl", "done.json", *NAMED)
    return _record(str(entry.store.root), entry.run_id, entry.status.state, mark)


@st.cache_resource(show_spinner=False, max_entries=32)
def _record(root: str, run_id: str, state: str, mark: tuple[int, ...]) -> RunRecord:
    return _store(root).read(run_id)


def summary(entry: Entry) -> dict[str, Any]:
    """A finished run in numbers, as `esacl show --json` has it; kept, for pages that look at many runs at once.

    Raises:
        RunUnreadable: its folder is damaged, or holds what nobody thought of.
    """

    def read() -> dict[str, Any]:
        try:
            return summarise(entry.store.read(entry.run_id, without=UNSUMMED))
        except InputError:
            raise
        except Exception as error:  # a fault of ours, which must not stop a page about another run
            logging.getLogger("app").exception("run %s", entry.run_id)
            told = {"run": entry.run_id, "error": type(error).__name__}
            said = text("run %(run)s cannot be summed up (%(error)s); the log of the server says more.", **told)
            raise RunUnreadable(said) from error

    return _summaries().get(summary_keys([entry])[0], read)


def summary_keys(found: Sequence[Entry]) -> tuple[Hashable, ...]:
    """What the summaries of these runs are made of: another key where a run has changed since the list was read."""
    return tuple(
        (root, entry.run_id, entry.mark, *stamp(store, entry.run_id, "events.jsonl", "measured.jsonl"))
        for entry, store, root in _with_stores(found)
    )


def _with_stores(found: Sequence[Entry]) -> Iterator[tuple[Entry, RunStore, str]]:
    """Each run with its store and the store's root, which are looked up once."""
    stores = {True: recorded_runs(), False: own_runs()}
    roots = {recorded: str(store.root) for recorded, store in stores.items()}
    for entry in found:
        yield entry, stores[entry.recorded], roots[entry.recorded]


def has_summary(key: Hashable) -> bool:
    """Whether `summary` need not read anything for this one of `summary_keys`."""
    return key in _summaries()


@st.cache_resource(show_spinner=False)
def _summaries() -> Kept[dict[str, Any]]:
    return Kept(4096)


def once(make: Callable[[], Made], what: str, found: Sequence[Entry], *given: Hashable) -> Made:
    """What `make` makes of these runs, made again only where one of them, `given` or the language is another.

    `make` draws nothing on the page: the next time it is not called. Nobody may change what it returned. Who reads a
    run under way names none in `found` and says in `given` how far it is.

    Args:
        make: Called with nothing.
        what: Names the thing among all that are kept.
        found: All runs that are read for it. Of one under way nothing is kept.
        given: All else that decides.
    """
    if any(entry.status.live for entry in found):
        return make()
    marks = tuple((root, one.run_id, stamp(store, one.run_id, *WHOLE)) for one, store, root in _with_stores(found))
    kept: Kept[Made] = _things(what)
    return kept.get((marks, given, language()), make)


@st.cache_resource(show_spinner=False)
def _things(what: str) -> Kept[Any]:
    return Kept(64)


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
    mark = stamp(entry.store, entry.run_id, f"arrays/{name}.npz")
    return _member(str(entry.store.root), entry.run_id, name, key, mark)


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


def has_arrays(entry: Entry, name: str) -> bool:
    """Whether the run has recorded arrays of that name: for many runs at once, as nothing is listed."""
    return stamp(entry.store, entry.run_id, f"arrays/{name}.npz") != (-1,)


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
        facts = origin.kept(self._store.folder(self._run_id))
        return RunRecord(self._run_id, self._store.config(self._run_id), status, events, measured, facts)


def follow(entry: Entry) -> Follower:
    """The follower of a run; those of runs that have ended meanwhile, which nobody may ask for again, are let go."""
    followers, key = _followers(), _key(entry)
    if key not in followers:
        followers.forget(_has_ended)
    return followers.get(key, lambda: Follower(entry.store, entry.run_id))


def _key(entry: Entry) -> tuple[str, str]:
    return str(entry.store.root), entry.run_id


def _has_ended(key: Hashable) -> bool:
    root, run_id = map(str, key) if isinstance(key, tuple) else ("", "")
    return stamp(_store(root), run_id, "done.json") != (-1,) or stamp(_store(root), run_id, "config.json") == (-1,)


@st.cache_resource(show_spinner=False)
def _followers() -> Kept[Follower]:
    return Kept(32)
