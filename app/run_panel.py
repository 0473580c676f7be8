"""What can be done with the chosen run: rename, duplicate, delete, undo, export, import, copy what starts it again."""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import streamlit as st

from app import duplicating, reading, refilling, results, run_report, session, widgets
from app.language import text
from app.reading import Entry
from esacl import bundles, jobs, quota, trash, unpacking
from esacl.errors import InputError, RunUnreadable
from esacl.labels import MOST_CHARACTERS
from esacl.reproducing import as_command, as_toml

MOST_UPLOAD = 20  # MB
MOST_UNPACKED = 64 * 2**20
LISTED = 50


def news() -> None:
    """What the last click has done: an error, a deletion that can be undone, a run that came in."""
    widgets.trouble()
    told = session.remembered("told")
    session.remember("told", None)
    if told:
        widgets.say("success", told)
    deleted = session.remembered("deleted")
    if deleted is None:
        return
    run_id, name = deleted
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="undo"):
        st.caption(widgets.plain(text("%(run)s is deleted.", run=name)), width="content")
        st.button(text("Undo"), key="undo-delete", on_click=_try, args=(_restore, run_id))


def panel(entry: Entry) -> None:
    """The chosen run and everything that can be done with it."""
    widgets.quiet_header(widgets.plain(results.named(entry)), key="chosen")
    _about(entry)
    _name(entry)
    with st.container(horizontal=True, gap="small"):
        if st.button(text("Duplicate with changes"), key="duplicate", type="primary", disabled=entry.config is None):
            duplicating.begin(entry, refilling.fill)
            st.switch_page("../pages/run.py")
        _files(entry)
        if not entry.recorded:
            about = text("It is under way: cancel it on the Run page first.") if entry.status.live else None
            live = entry.status.live
            if entry.status.state in ("failed", "cancelled", "lost"):
                st.button(text("Resume"), key="resume", on_click=_try, args=(_resume, entry))
            st.button(text("Delete"), key="discard", on_click=_try, args=(_discard, entry), disabled=live, help=about)
    if entry.config is not None:
        _copies(entry)


def _resume(entry: Entry) -> None:
    jobs.resume(entry.store, entry.run_id, owner=session.user())


def _about(entry: Entry) -> None:
    parts = [entry.run_id]
    try:
        if entry.config is None or entry.status.state == "unreadable":
            raise RunUnreadable(entry.status.detail)
        parts += [widgets.facts_line(entry, reading.record(entry)), text(widgets.STATES[entry.status.state])]
    except InputError as error:
        widgets.say("error", text("This run cannot be read: %(why)s", why=error))
    st.caption(widgets.plain(" · ".join(parts)))


def _name(entry: Entry) -> None:
    config = entry.config
    if entry.recorded:
        st.caption(text("It came with the project and is read-only."))
        return
    key = f"name-{entry.run_id}"
    st.text_input(
        text("Name"),
        config.name if config else "",
        key=key,
        max_chars=MOST_CHARACTERS,
        placeholder=text("none"),
        help=text("What it is called in lists and figures. Its settings stay as they were started."),
        on_change=_try,
        args=(_rename, entry, key),
        disabled=config is None,
    )


def _files(entry: Entry) -> None:
    base = f"esacl-{entry.run_id}"
    report = {"on_click": "ignore", "disabled": entry.config is None}
    st.download_button(
        text("Report"),
        lambda: run_report.of(entry),
        f"{base}.html",
        "text/html",
        key="report",
        help=text("One HTML file with all figures and numbers, which opens anywhere."),
        **report,  # type: ignore[arg-type]
    )
    st.download_button(
        text("Export"),
        lambda: bundle(entry),
        f"{base}.zip",
        "application/zip",
        key="export",
        help=text("The run as one file, without checkpoints, to be imported here or by `esacl import`."),
        on_click="ignore",
        disabled=entry.status.live,
    )


def bundle(entry: Entry) -> bytes:
    """The run as one file."""
    file = io.BytesIO()
    bundles.write_bundle(entry.store, entry.run_id, file)
    return file.getvalue()


def _copies(entry: Entry) -> None:
    if entry.config is None:
        return
    line, settings, link = st.tabs([text("Command line"), text("TOML"), text("Link")])
    with line:
        st.code(as_command(entry.config), language=None, wrap_lines=True)
        st.caption(
            text(
                "Starts the same run: with the same versions and on the same kind of processor, the same numbers, bit "
                "for bit."
            )
        )
    with settings:
        st.code(as_toml(entry.config), language="toml", height=260)
        st.caption(text("Every setting, for `esacl run --config FILE.toml`."))
    with link:
        pages: dict[str, str] = session.remembered("_pages", {})
        page = st.selectbox(
            text("To the page"), list(pages), format_func=lambda path: pages[path], key="link-page", index=0
        )
        st.code(session.address(page, entry), language=None, wrap_lines=True)
        st.caption(text("Opens that page as it is for you: this run, the sparsity, the task, the axes."))


def taking_in() -> None:
    """Import a run, and bring back deleted ones."""
    with st.expander(text("Import a run")):
        count = session.remembered("uploads", 0)
        key = f"upload-{count}"
        st.file_uploader(
            text("A file that Export or `esacl export` wrote"),
            type="zip",
            key=key,
            max_upload_size=MOST_UPLOAD,
            on_change=_try,
            args=(_import, key, count),
        )
    try:
        found = trash.deleted(reading.own_runs())
    except InputError as error:
        widgets.say("error", str(error))
        return
    if not found:
        return
    with st.expander(text("Deleted runs (%(count)d)", count=len(found))):
        names = [one.run_id for one in found[:LISTED]]
        chosen = st.selectbox(text("Deleted last, first"), dict.fromkeys(names), key="deleted-runs")
        with st.container(horizontal=True, gap="small"):
            st.button(text("Bring it back"), key="restore", on_click=_try, args=(_restore, chosen))
            with st.popover(text("Empty …")):
                st.write(text("All of them are deleted for good."))
                st.button(text("Delete for good"), key="purge", on_click=_try, args=(_purge,))
        st.caption(text("Kept for seven days, or until their owner's room is needed."))


def _try(action: Callable[..., None], *given: Any) -> None:
    session.remember("deleted", None)
    try:
        action(*given)
    except InputError as error:
        session.remember("trouble", str(error))


def _rename(entry: Entry, key: str) -> None:
    try:
        entry.store.rename(entry.run_id, str(session.remembered(key) or ""))
    finally:
        session.remember(key, None)  # the control shows what is kept


def _discard(entry: Entry) -> None:
    trash.discard(entry.store, entry.run_id)
    session.remember("deleted", (entry.run_id, results.named(entry)))
    session.share("run", None)


def _restore(run_id: str) -> None:
    session.share("run", quota.restore(reading.own_runs(), run_id))


def _purge() -> None:
    trash.purge(reading.own_runs())


def _import(key: str, count: int) -> None:
    file = session.remembered(key)
    if file is None:
        return
    session.remember("uploads", count + 1)  # an empty control for the next one
    store, owner = reading.own_runs(), session.user()
    quota.check(store, owner, job=False)
    most = quota.room(store, owner, MOST_UNPACKED)  # known before it is unpacked: a run is not taken in to be refused
    run_id = unpacking.import_run(store, file, name=file.name, most=most)
    quota.claim(store, run_id, owner)
    with contextlib.suppress(InputError):  # what was asked is done; the next job makes room
        quota.make_room(store, owner)
    session.share("run", run_id)
    session.remember("told", text("%(run)s is imported.", run=run_id))
