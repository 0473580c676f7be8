"""The gallery of runs: search, filters, pages, and rows that can be compared at a glance. A click chooses the run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app import reading, results, session, widgets
from app.figures import palette
from app.glance import Glance
from app.language import marked, text
from app.reading import Entry
from app.wording import brief, number, percent

ROWS = 12
ANY = ""
STATES = {
    "finished": marked("finished"),
    "live": marked("under way"),
    "cancelled": marked("cancelled"),
    "failed": marked("failed"),
    "lost": marked("lost"),
    "unreadable": marked("cannot be read"),
}
_FOLDER = Path(__file__).parent / "component"
_rows = st.components.v2.component(
    "esacl_gallery",
    html='<div class="gallery"></div>',
    css="\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("drawing.css", "gallery.css")),
    js=(_FOLDER / "gallery.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Sought:
    """What the reader looks for; "" where it does not matter."""

    words: str = ""
    method: str = ANY
    benchmark: str = ANY
    state: str = ANY


def show(found: Sequence[Entry], chosen: Entry | None) -> None:
    """Search, filters and one page of rows; choosing a row chooses the run for all pages."""
    sought = ask(found)
    matching = [entry for entry in found if fits(entry, sought)]
    if not matching:
        widgets.say("info", text("No run is like that. Clear the search or choose other filters."))
        return
    first = _page(sought, len(matching))
    shown = matching[first : first + ROWS]
    data = rows(shown, [reading.glance(entry) for entry in shown], chosen.run_id if chosen else "")

    def clicked() -> None:
        run_id = session.component_state("gallery", "chosen")
        if run_id in {entry.run_id for entry in found}:
            session.share("run", run_id)

    _rows(data=data, key="gallery", on_chosen_change=clicked)
    if chosen is not None and chosen not in matching and chosen in found:
        name = results.named(chosen)
        st.caption(widgets.plain(text("What stands beside the list is still %(run)s, not one of these.", run=name)))
    _turn(sought, first, len(matching), len(found), data["low"])


def ask(found: Sequence[Entry]) -> Sought:
    """The search box and the filters."""
    keep: dict[str, Any] = {"persist_state": "session"}
    configs = [entry.config for entry in found if entry.config]
    methods = [name for name in palette.METHODS if any(config.method == name for config in configs)]
    benchmarks = sorted({config.benchmark for config in configs})
    states = [name for name in STATES if any(state(entry) == name for entry in found)]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        words = st.text_input(
            text("Search"),
            key="seek-words",
            max_chars=200,
            placeholder=text("name, id, setting, e.g. seed 3"),
            width=200,
            **keep,
        )
        method = _filter(text("Method"), {name: palette.written(name) for name in methods}, "method")
        benchmark = _filter(text("Benchmark"), {name: name for name in benchmarks}, "benchmark")
        how = _filter(text("State"), {name: text(STATES[name]) for name in states}, "state")
    return Sought(words, method, benchmark, how)


def _filter(label: str, options: Mapping[str, str], name: str) -> str:
    names = [ANY, *options]
    return st.selectbox(
        label,
        names,
        format_func=lambda one: options.get(one) or text("all"),
        key=f"seek-{name}-{len(names)}",
        width=140,
        persist_state="session",
    )


def fits(entry: Entry, sought: Sought) -> bool:
    """Whether a run is what is looked for: every word and every number occurs in what is known of it."""
    config = entry.config
    if sought.state and state(entry) != sought.state:
        return False
    if (sought.method or sought.benchmark) and config is None:
        return False
    if config is not None and sought.method not in (ANY, config.method):
        return False
    if config is not None and sought.benchmark not in (ANY, config.benchmark):
        return False
    words = sought.words.casefold().replace("%", " ").split()
    about = _about(entry) if words else ""
    numbers = set(about.split())
    # A number means itself: 3 is no part of 30, nor of a date.
    return all(word in numbers if word.replace(".", "").isdigit() else word in about for word in words)


def _about(entry: Entry) -> str:
    config = entry.config
    parts = [entry.run_id, STATES[state(entry)]]
    if config is not None:
        parts += [config.name, widgets.method_name(config), config.benchmark, f"{config.scenario}-il", config.network]
        parts += [f"seed {config.seed}", brief(config.sparsity)]
    return " ".join(parts).casefold()


def state(entry: Entry) -> str:
    """How a run stands, as the filter has it."""
    return "live" if entry.status.live else entry.status.state


def rows(shown: Sequence[Entry], glances: Sequence[Glance], chosen: str) -> dict[str, Any]:
    """What the component draws: the rows, and the lowest accuracy of their common scale."""
    known = [value for glance in glances for value in glance.so_far]
    low = max(0.0, min([*known, 0.95]) - 0.05)
    return {
        "rows": [_row(entry, glance) for entry, glance in zip(shown, glances, strict=True)],
        "columns": [text("Accuracy"), text("Removed"), text("FLOPs"), text("When")],
        "first": text("Accuracy so far"),
        "second": text("Run"),
        "chosen": chosen,
        "low": round(low, 3),
    }


def _row(entry: Entry, glance: Glance) -> dict[str, Any]:
    config, name = entry.config, results.named(entry)
    about, tasks = text("cannot be read"), 1
    removed, look, dash = "–", "dense", ""
    if config is not None:
        look, dash, tasks = palette.look(config.method), palette.dash(config.method), config.tasks
        seed = text("seed %(seed)d", seed=config.seed)
        parts = [widgets.method_name(config), config.benchmark, f"{config.scenario}-IL", seed]
        about = " · ".join(parts)
        removed = brief(config.sparsity)
    said = text(STATES[state(entry)])
    more = [when(entry)]
    more += [] if state(entry) == "finished" else [said]
    more += [text("imported")] if glance.imported else []
    reached = percent(glance.accuracy)
    spoken = [name, about, text("accuracy %(value)s", value=reached), said, " ".join(more[0].split())]
    cells = [reached, removed, number(glance.flops), "\n".join(more)]
    return {
        "id": entry.run_id,
        "name": name,
        "about": about,
        "tasks": tasks,
        "curve": [round(value, 4) for value in glance.so_far],
        "look": look,
        "dash": dash,
        "cells": cells,
        "spoken": ", ".join(spoken),
    }


def when(entry: Entry) -> str:
    """When a run was started, to the minute."""
    if entry.recorded:
        return text("with the project")
    found = re.match(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)", entry.run_id)
    return "{}-{}-{}\n{}:{}".format(*found.groups()) if found else "–"


def _page(sought: Sought, count: int) -> int:
    """The place of the first row that is shown: another search begins anew."""
    asked, first = session.remembered("gallery-page") or (sought, 0)
    if asked != sought or not 0 <= first < count:
        first = 0
    return first - first % ROWS


def _turn(sought: Sought, first: int, count: int, every: int, low: float) -> None:
    last = min(count, first + ROWS)
    said = text("%(first)d to %(last)d of %(count)d", first=first + 1, last=last, count=count)
    if count < every:
        said += " " + text("(%(every)d runs in all)", every=every)
    scale = text("Lines: average accuracy so far, all on one scale from %(low)s to 100 %%.", low=percent(low, 0))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if count > ROWS:
            st.button(text("Newer"), key="newer", on_click=_go, args=(sought, first - ROWS), disabled=first == 0)
            st.button(text("Older"), key="older", on_click=_go, args=(sought, first + ROWS), disabled=last == count)
        st.caption(text("%(what)s. %(why)s", what=said, why=scale))


def _go(sought: Sought, first: int) -> None:
    session.remember("gallery-page", (sought, first))
