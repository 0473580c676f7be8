"""Controls and texts that pages share. Text that a user or a run's folder brings is shown as text, never as markup."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import streamlit as st

from app import figure_script, reading, results, session
from app.drawing import Drawing
from app.figures import palette
from app.headings import heading
from app.language import marked, text
from app.reading import Entry
from app.wording import HELD, number, percent, sentence, whole
from esacl import jobs, normalisation
from esacl.config import RunConfig
from esacl.errors import InputError
from esacl.events import Evaluated, RunStarted
from esacl.records import RunRecord

if TYPE_CHECKING:
    import pandas as pd

_drawings = st.components.v2.component(
    "esacl_drawings", html='<div class="drawings"></div>', css=figure_script.STYLE, js=figure_script.MODULE
)
PLAY_LEVELS = 450  # milliseconds a level: time to see what changed
STATES = {
    "queued": marked("waits for its turn"),
    "loading": marked("is loading"),
    "running": marked("is under way"),
    "finished": marked("finished"),
    "failed": marked("failed"),
    "cancelled": marked("was cancelled"),
    "lost": marked("was lost"),
    "unreadable": marked("cannot be read"),
}

EVALUATIONS = {"test": marked("test"), "validation": marked("validation")}


def draw(*drawings: Drawing | None, key: str, even: bool = False) -> None:
    """Show drawings side by side, wrapped where the window is narrow; None is left out. `even`: all of one width."""
    shown = [drawing for drawing in drawings if drawing is not None]
    if shown:
        _drawings(data={"drawings": shown, "even": even, **_reader()}, key=key)


def _reader() -> dict[str, object]:
    """What the component says of itself."""
    return {"texts": {"save": text("Save as PNG")}}


def scrub(
    levels: Sequence[float] | np.ndarray,
    target: float,
    make: Callable[[int], Sequence[Drawing | None]] = lambda index: (),
    facts: Sequence[Mapping[str, object]] = (),
    *,
    key: str,
) -> int:
    """The shared sparsity as a slider with the drawings that follow it; returns the index of the level.

    The drawings follow in the browser while the slider moves; the level is shared when it is released.
    """
    names = [percent(level, 1 if level < 0.99 else 2) for level in levels]

    def released() -> None:
        chosen = session.component_state(key, "index")
        if isinstance(chosen, int) and 0 <= chosen < len(names):
            session.share("sparsity", round(float(levels[chosen]), 6))

    value = session.sparsity(np.asarray(levels), target)
    index = int(np.argmin(np.abs(np.asarray(levels) - value)))
    marked = int(np.argmin(np.abs(np.asarray(levels) - target))) if target > 0 else None
    data = {
        **_reader(),
        "drawings": [drawing for drawing in make(index) if drawing is not None],
        "scrub": {
            "label": text("Weights removed"),
            "names": names,
            "index": index,
            "marked": marked,
            "marked_label": text("this run's cut"),
            "facts": list(facts),
            "play": _play(PLAY_LEVELS),
        },
    }
    _drawings(data=data, key=key, on_index_change=released)
    return index


def step(
    label: str,
    names: Sequence[str],
    drawings: Sequence[Drawing],
    facts: Sequence[Mapping[str, object]],
    *,
    key: str,
    index: int = 0,
    marked: tuple[int, str] | None = None,
    interval: int | None = None,
) -> None:
    """A slider with drawings that follow it in the browser alone: nothing is shared, nothing is run again.

    Args:
        label: what is stepped through.
        names: of the steps.
        drawings: with one frame a step.
        facts: numbers above them, one value a step.
        key: of the component.
        index: where it begins.
        marked: a step that has a mark below the slider, and what is written there.
        interval: milliseconds a step while it plays; None: it cannot be played.
    """
    scrub = {"label": label, "names": list(names), "index": index, "facts": list(facts), "local": True}
    scrub |= {"marked": marked[0], "marked_label": marked[1]} if marked else {"marked": None}
    scrub |= {"play": _play(interval)} if interval else {}
    _drawings(data={"drawings": list(drawings), "scrub": scrub, **_reader()}, key=key)


def linked(
    label: str,
    names: Sequence[str],
    looks: Sequence[str],
    drawings: Sequence[Drawing],
    facts: Sequence[Mapping[str, object]],
    instances: Mapping[str, object],
    *,
    key: str,
) -> None:
    """Drawings that follow one of a few names, with maps on which instances are selected; in the browser alone."""
    scrub = {"label": label, "names": list(names), "index": 0, "facts": list(facts), "local": True}
    scrub |= {"looks": list(looks)}
    _drawings(data={"drawings": list(drawings), "scrub": scrub, "linked": dict(instances), **_reader()}, key=key)


def _play(interval: int) -> dict[str, object]:
    return {
        "interval": interval,
        "play": text("Play"),
        "pause": text("Pause"),
        "back": text("One step back"),
        "forward": text("One step on"),
        "hint": text("Arrow keys step, the space bar plays"),
    }


def method_name(config: RunConfig) -> str:
    """The method of a run as the reader knows it, with the structure of its mask where it has one."""
    name = palette.written(config.method, config.sparsity, config.pruning.saliency, config.sparcl.base)
    structure = palette.STRUCTURES.get(config.pruning.allocation) if config.sparsity > 0 else None
    return text("%(method)s, %(structure)s", method=name, structure=text(structure)) if structure else name


def say(kind: Literal["error", "warning", "info", "success"], line: str) -> None:
    """One line to the reader, as text."""
    getattr(st, kind)(plain(line))


def trouble() -> None:
    """What the last click got wrong, once."""
    line = session.remembered("trouble")
    if line:
        say("error", line)
        session.remember("trouble", None)


def plain(line: str) -> str:
    """Text in which Markdown finds nothing to do."""
    on_one_line = re.sub(rf"[^\S{HELD}]+", " ", line).strip()
    return re.sub(r"([\\`*_{}\[\]()<>#+!|$~:^=-])", r"\\\1", on_one_line)


def facts(entry: Entry, record: RunRecord | None = None) -> None:
    """Where the numbers come from, in one small line under the title."""
    with st.container(key="facts"):
        st.caption(plain(facts_line(entry, record or reading.record(entry))))


def wait(entry: Entry, missing: str) -> NoReturn:
    """Say that there is nothing to show yet, why, and what to do; the page ends here."""
    status = entry.status
    trouble()
    about = {"missing": missing, "state": text(STATES[status.state])}
    if status.live:
        said = text("%(missing)s: the run %(state)s. Follow it on the Run page; then look here again.", **about)
        say("info", said)
        st.button(text("Look again"), key="again")
    else:
        say("info", text("%(missing)s, and the run %(state)s. %(detail)s", detail=sentence(status.detail), **about))
        if status.state in ("failed", "cancelled", "lost") and not entry.recorded:
            st.button(text("Resume the run"), key="resume", on_click=_resume, args=(entry,))
    st.stop()


def _resume(entry: Entry) -> None:
    try:
        jobs.resume(entry.store, entry.run_id, owner=session.user())
    except InputError as error:
        session.remember("trouble", str(error))


def facts_line(entry: Entry, record: RunRecord | None) -> str:
    """Where the numbers come from: method, scenario, seed, sizes, device, time."""
    config = entry.config
    if config is None:
        return ""
    parts = [
        method_name(config),
        f"{config.scenario}-IL",
        results.so_many(config.tasks),
        f"{config.network}, {config.activation}",
        text("seed %(seed)d", seed=config.seed),
    ]
    if said := normalisation.said(config.network, config.batchnorm.statistics, config.batchnorm.refresh):
        parts.insert(-1, said)
    events = record.events if record else ()
    tested = sum(event.examples for event in events if isinstance(event, Evaluated) and event.after == -1)
    if tested:
        told = {"images": whole(tested), "evaluation": text(EVALUATIONS[config.evaluation])}
        parts.append(text("n = %(images)s %(evaluation)s images in all", **told))
    started = next((event for event in events if isinstance(event, RunStarted)), None)
    if started is not None:
        hardware = (record.machine.get("hardware") or {}) if record else {}
        name = hardware.get("cpu") if started.device == "cpu" else started.device_name
        parts.append(f"{started.device} ({str(name or started.device_name).strip()})")
    if record and record.measured:
        parts.append(duration(record.measured[-1]["seconds"]))
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """A time span in one or two units, which are the same in every language."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f}{HELD}s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.0f}{HELD}min" if minutes < 90 else f"{hours:.1f}{HELD}h"


def time_left(stage: str, seconds: float | None) -> str:
    """What is being done, and for how long still where that is known."""
    if seconds is not None:
        stage = text("%(stage)s, about %(time)s left", stage=stage, time=duration(seconds))
    return stage.capitalize()


def quiet_header(words: str, *, key: str) -> None:
    """A heading of the second order that looks like one of the third: in a column, and with no level left out."""
    with st.container(key=f"quiet-{key}"):
        st.header(words)


def metrics(numbers: Sequence[tuple[str, str, str]], *, narrow: bool = False) -> None:
    """Big numbers in a row that wraps: label, value, what it means. `narrow`: four fit into a column of the page."""
    with st.container(horizontal=True, gap="small", key="metrics-narrow" if narrow else None):
        for name, value, meaning in numbers:
            st.metric(name, value, help=meaning or None, width=168 if narrow else 178)


def choice(about: str, options: Mapping[str, str], *, key: str) -> str:
    """One of a few, `{value: English, marked}`, kept in the session and the link; the first until somebody chooses."""
    names, written = list(options), {name: text(word) for name, word in options.items()}
    if len(names) == 1:
        return names[0]
    chosen = st.segmented_control(
        about,
        names,
        default=names[0],
        required=True,
        key=f"{key}-{len(names)}",
        format_func=written.__getitem__,
        wrap=True,
        persist_state="session",
        bind="query-params",
    )
    return chosen if chosen in options else names[0]


def grid(
    frame: "pd.DataFrame",
    alt: str,
    *,
    key: str,
    headings: Mapping[str, str] | None = None,
    numbers: Collection[str] = (),
) -> None:
    """A table with numbers of three significant digits; its headings stay English in what is downloaded of it.

    `headings`: of columns whose names hold a number, in the reader's language. `numbers`: columns whose numbers are
    texts already, which stand at the right as numbers do. What is not known is a dash, as in texts.
    """
    written = {name: (headings or {}).get(str(name)) or heading(name) for name in frame.columns}
    config: dict[str, Any] = {name: st.column_config.Column(written[name]) for name in frame.columns}
    for name in frame.select_dtypes("float").columns:
        config[name] = st.column_config.NumberColumn(written[name], format="%.3g")
    for name in numbers:
        config[name] = st.column_config.Column(written[name], alignment="right")
    st.dataframe(frame, hide_index=True, column_config=config, key=key, alt=alt, placeholder=number(None))


def table(frame: "pd.DataFrame", title: str, *, key: str) -> None:
    """The numbers behind a figure, to read and to take along."""
    with st.expander(title):
        grid(frame, title, key=key)
