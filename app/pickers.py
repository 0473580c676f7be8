"""Which run, which run beside it, which task: the choices that all pages share."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import glossary, reading, results, session
from app.language import LANGUAGES, language, text
from app.reading import Entry
from app.widgets import STATES, method_name, say
from esacl.errors import InputError
from esacl.records import RunRecord

_spoken = st.components.v2.component(
    "esacl_spoken", js=(Path(__file__).parent / "component" / "spoken.js").read_text(encoding="utf-8")
)
OFFERED = 200  # runs; a longer list nobody reads, and every page would carry it


def run_picker(found: Sequence[Entry]) -> Entry | None:
    """The run that all pages show, and beside it how they look; None where there is no run at all."""
    by_id = {entry.run_id: entry for entry in found}
    asked = session.shared("run")
    if asked is not None and asked not in by_id:
        name = repr(str(asked)[:80])
        say("warning", text("There is no run %(run)s here; it may have been deleted. Another is shown.", run=name))
        asked = None
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="frame")
    if not found:
        _look(row)
        return None
    current = asked or first_choice(found).run_id
    session.remember("run", current)
    session.remember("_run", current)
    names = labels(offered(found, current))
    more = len(found) - len(names)
    row.selectbox(
        text("Run"),
        list(names),
        format_func=lambda run_id: names[run_id],
        key="_run",
        on_change=session.choose,
        args=("run", "_run"),
        width=680,
        help=text("%(more)d older runs are on the Runs page.", more=more) if more else None,
    )
    _look(row)
    return by_id[current]


def offered(found: Sequence[Entry], current: str, most: int = OFFERED) -> list[Entry]:
    """What a picker lists: the newest, the chosen one, and those that came with the project."""
    own = [entry for entry in found if not entry.recorded]
    kept = {entry.run_id for entry in own[:most]} | {current}
    return [entry for entry in found if entry.recorded or entry.run_id in kept]


def _look(row: DeltaGenerator) -> None:
    """The language of the texts, large type for a projector (`assets/theme.css` looks at the switch), the glossary."""
    with st.container(key="spoken"):  # hidden
        _spoken(data={"language": language(), "at": time.time_ns() // 1_000_000}, key="spoken-language")
    session.remember("_language", language())
    row.selectbox(
        text("Language"),
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        key="_language",
        on_change=session.choose,
        args=("language", "_language"),
        label_visibility="collapsed",
        width=130,
    )
    session.remember("_large", session.large())
    row.toggle(text("Large type"), key="_large", on_change=_enlarge, width="content")
    with row:
        glossary.offer()


def _enlarge() -> None:
    session.share("large", str(int(bool(session.remembered("_large")))))


def first_choice(found: Sequence[Entry]) -> Entry:
    """What to show to somebody who has chosen nothing: a live run, the newest finished one, or a recorded one."""

    def order(entry: Entry) -> tuple[bool, bool, bool, bool]:
        state, config = entry.status.state, entry.config
        return (not entry.status.live, state != "finished", entry.recorded, config is None or config.method != "esacl")

    return min(found, key=order) if any(not e.recorded for e in found) else min(found, key=lambda e: order(e)[1:])


def labels(found: Sequence[Entry]) -> dict[str, str]:
    """Run id -> a line that no other run has: a picker tells its options apart by what is written."""
    lines = {entry.run_id: label(entry) for entry in found}
    often = {line for line, count in Counter(lines.values()).items() if count > 1}
    return {run_id: f"{line} · {run_id}" if line in often else line for run_id, line in lines.items()}


def label(entry: Entry) -> str:
    """A run in one line."""
    config, state = entry.config, entry.status.state
    if config is None:
        return f"{entry.run_id} · " + text("cannot be read")
    parts = [config.name.strip()[:60] or method_name(config), config.benchmark]
    if config.sparsity > 0:
        parts.append(text("%(sparsity).3g %% sparse", sparsity=100 * config.sparsity))
    parts.append(text("seed %(seed)d", seed=config.seed))
    parts.append(text("recorded with the project") if entry.recorded else _when(entry.run_id))
    if state != "finished":
        parts.append(text("under way") if entry.status.live else text(STATES[state]))
    return " · ".join(parts)


def beside_picker(entry: Entry, found: Sequence[Entry], *, needs: str = "") -> Entry | None:
    """The run to compare with: of the same benchmark and scenario; a baseline at the same sparsity by preference.

    `needs`: the name of an array that it must have recorded.
    """
    asked = session.shared("beside")
    if asked not in (None, "none", *(one.run_id for one in found)):
        said = text("There is no run %(run)s here to stand beside it; it may have been deleted.", run=repr(asked[:80]))
        say("warning", said)
        session.share("beside", None)
        asked = None
    near = offered(results.comparable(entry, found), str(asked))
    others = [e for e in near if not needs or reading.has_arrays(e, needs)]
    by_id = {e.run_id: e for e in others}
    preferred = results.baseline(entry, others)
    default = preferred.run_id if preferred else "none"
    current = asked if asked in by_id or asked == "none" else default
    session.remember("_beside", current)
    names = {"none": text("no other run"), **labels(others)}
    st.selectbox(
        text("Beside it"),
        list(names),
        format_func=lambda run_id: names[run_id],
        key="_beside",
        on_change=session.choose,
        args=("beside", "_beside"),
        help=text("Finished runs of the same benchmark, scenario and number of tasks."),
    )
    chosen = by_id.get(current)
    if chosen is not None:
        try:
            reading.record(chosen)
            if needs:
                reading.arrays(chosen, needs)
        except InputError as error:
            say("warning", text("The run beside it is left out: %(reason)s", reason=error))
            return None
    return chosen


def task_picker(record: RunRecord, *, about: str = "") -> int:
    """The task that all pages show, 0-based; the last one learned until somebody chooses."""
    about, tasks = about or text("Task"), record.config.tasks
    current = session.task(tasks, results.last_task(record))
    if tasks == 1:
        return 0
    key = f"_task-{tasks}"
    session.remember(key, current + 1)
    if tasks <= 10:
        st.segmented_control(
            about,
            range(1, tasks + 1),
            key=key,
            required=True,
            wrap=True,
            on_change=session.choose,
            args=("task", key),
        )
    else:
        st.slider(about, 1, tasks, key=key, on_change=session.choose, args=("task", key))
    return current


def _when(run_id: str) -> str:
    found = re.match(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)", run_id)
    return "{}-{}-{} {}:{}:{}".format(*found.groups()) if found else run_id
