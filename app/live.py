"""Follows a run: a fragment that redraws itself once a second while a process works on it, and nothing else."""

import time
from collections.abc import Callable

import streamlit as st

from app import frames, reading, results, session, widgets
from app.drawing import Drawing
from app.figures import accuracy, costs, training
from app.language import marked, text
from app.listing import Stamp, stamp
from app.progress import Progress, progress
from app.reading import Entry
from app.wording import number, percent, points, sentence, size, whole
from esacl import jobs, normalisation, trash
from esacl.errors import InputError
from esacl.events import RunStarted, TaskStarted
from esacl.metrics import Matrix
from esacl.records import RunRecord, Status
from esacl.summary import summarise

EVERY = 0.7  # seconds
REMEDIES = {
    "failed": marked("Change the cause, then resume, or start again with other settings."),
    "cancelled": marked("What was done is kept; resume goes on from the last checkpoint, if there is one."),
    "lost": marked(
        "Its process died before it could say why; resume goes on from the last checkpoint, if there is one."
    ),
}


def panel(entry: Entry) -> None:
    """The run as it stands; follows it while it is live."""
    (_following if entry.status.live else _standing)(entry)


@st.fragment(run_every=EVERY)
def _following(entry: Entry) -> None:
    status = entry.store.status(entry.run_id)
    jobs.reap(entry.store)
    if not status.live:
        st.rerun()  # once: the whole page learns that the run is over
    _guarded(entry, status)


@st.fragment
def _standing(entry: Entry) -> None:
    _guarded(entry, entry.status)


def _guarded(entry: Entry, status: Status) -> None:
    mark = stamp(entry.store, entry.run_id, "events.jsonl")  # first: what is drawn is no older than its mark
    try:
        record = reading.record(Entry(entry.run_id, entry.recorded, entry.config, status))
        _body(entry, record, mark)
    except InputError as error:
        widgets.say("error", str(error))


def _body(entry: Entry, record: RunRecord, mark: Stamp) -> None:
    config, status = record.config, record.status
    measured = record.measured
    stands = progress(config, record.events, measured, _since_measured(entry) if status.live else 0.0)
    _bar(entry, status, stands)
    summary = summarise(record)
    so_far = summary["so_far"]
    widgets.metrics(
        [
            (text("Average accuracy so far"), percent(so_far["average_accuracy"]), ""),
            (text("Backward transfer, points"), points(so_far["backward_transfer"]), ""),
            (text("Time"), widgets.duration(stands.seconds) if measured else "–", ""),
            (
                text("Memory"),
                _memory(record),
                text("Held by the run on its device now; after the run, the most it ever held."),
            ),
        ],
        narrow=True,
    )
    st.caption(widgets.plain(_device(record)))
    # Many may follow one run: who comes second to an event is shown what was drawn for the first.
    of_training, matrix = reading.once(
        lambda: _figures(record, summary["accuracy_matrix"]), "live", (), str(entry.store.root), entry.run_id, mark
    )
    widgets.draw(*of_training, key="live-training")
    widgets.draw(matrix, key="live-matrix")
    if summary["cost"]["train_flops"] is not None and not status.live:
        st.subheader(text("What it cost"))
        widgets.draw(costs.flops(summary["cost"]), costs.state(summary["cost"]), key="costs")
        st.caption(
            text(
                "FLOPs are counted on one real step and scaled by the density of each layer: zeros count as saved, "
                "though only hardware that skips them saves the time. What the other pages show took another "
                "%(flops)s. Time and memory above are measured.",
                flops=number(summary["cost"]["analysis_flops"]),
            )
        )


def _figures(record: RunRecord, rows: Matrix) -> tuple[tuple[Drawing | None, Drawing | None], Drawing]:
    config, total = record.config, _total_steps(record)
    loss = frames.losses(record.events)
    of_training = (
        training.loss(loss, config.tasks, total_steps=total) if len(loss) else None,
        training.doomed(loss, config.tasks, total_steps=total),
    )
    return of_training, accuracy.matrix(rows, tasks=config.tasks, low=results.chance(record))


def _queued(status: Status) -> str:
    if status.elsewhere:
        return text("Queued, first in this runs folder: a run of another one has the device.")
    return text("Queued, position %(place)d: another run has the device.", place=status.position or 1)


def _bar(entry: Entry, status: Status, stands: Progress) -> None:
    if status.state == "queued":
        st.progress(0.0, _queued(status))
    elif status.live:
        st.progress(stands.fraction, widgets.plain(widgets.time_left(stands.stage, stands.seconds_left)))
    elif status.state == "finished":
        time = widgets.duration(stands.seconds)
        widgets.say("success", text("Finished after %(time)s. The other pages show what it measured.", time=time))
    else:
        reason = sentence(status.detail) if status.state != "lost" else ""
        values = {"state": text(widgets.STATES[status.state]), "remedy": text(REMEDIES.get(status.state, ""))}
        kind = "error" if status.state in ("failed", "unreadable") else "warning"
        if reason:
            said = text("This run %(state)s. %(reason)s %(remedy)s", reason=reason, **values)
        else:
            said = text("This run %(state)s. %(remedy)s", **values)
        widgets.say(kind, said)  # type: ignore[arg-type]
    _buttons(entry, status)


def _buttons(entry: Entry, status: Status) -> None:
    if entry.recorded:
        return
    row = st.container(horizontal=True)
    if status.live:
        stopping = (entry.store.folder(entry.run_id) / "CANCEL").exists()
        row.button(
            text("Stopping …") if stopping else text("Cancel"),
            key="cancel",
            on_click=_try,
            args=(_cancel, entry),
            disabled=stopping,
        )
        return
    if status.state in ("cancelled", "failed", "lost"):
        row.button(text("Resume"), key="resume", type="primary", on_click=_try, args=(_resume, entry))
    with row.popover(text("Delete …")):
        st.write(text("For seven days the Runs page can bring it back."))
        st.button(text("Delete this run"), key="delete", on_click=_try, args=(_delete, entry))


def _try(action: Callable[[Entry], None], entry: Entry) -> None:
    try:
        action(entry)
    except InputError as error:
        session.remember("trouble", str(error))


def _cancel(entry: Entry) -> None:
    jobs.cancel(entry.store, entry.run_id)


def _resume(entry: Entry) -> None:
    jobs.resume(entry.store, entry.run_id, owner=session.user())


def _delete(entry: Entry) -> None:
    trash.discard(entry.store, entry.run_id)
    session.remember("deleted", (entry.run_id, results.named(entry)))
    session.share("run", None)


def _since_measured(entry: Entry) -> float:
    try:
        changed = (entry.store.folder(entry.run_id) / "measured.jsonl").stat().st_mtime
    except OSError:
        return 0.0
    return max(0.0, time.time() - changed)


def _memory(record: RunRecord) -> str:
    last = record.measured[-1] if record.measured else {}
    held, peak = last.get("device_bytes"), last.get("peak_bytes")
    shown = held if record.status.live and held else peak
    if not shown:
        return "–"
    return size(shown)


def _device(record: RunRecord) -> str:
    started = next((event for event in record.events if isinstance(event, RunStarted)), None)
    if started is None:
        return text("The device is named when the run has started.")
    hardware = record.machine.get("hardware") or {}
    name = hardware.get("cpu") if started.device == "cpu" else started.device_name
    total = (record.measured[-1] if record.measured else {}).get("device_total_bytes")
    about = {"device": started.device, "name": name or started.device_name, "threads": record.config.threads}
    sentences = [
        text("On %(device)s (%(name)s, %(memory)s), threads: %(threads)d.", memory=size(total), **about)
        if total
        else text("On %(device)s (%(name)s), threads: %(threads)d.", **about),
        text(
            "Network %(network)s: %(parameters)s parameters, %(prunable)s of them prunable.",
            network=started.network,
            parameters=whole(started.parameters),
            prunable=whole(started.prunable),
        ),
    ]
    batchnorm = record.config.batchnorm
    if said := normalisation.said(started.network, batchnorm.statistics, batchnorm.refresh):
        sentences.append(f"{said}.")
    return " ".join([*sentences, text("Seed %(seed)d.", seed=record.config.seed)])


def _total_steps(record: RunRecord) -> float | None:
    lengths = {event.task: event.steps for event in record.events if isinstance(event, TaskStarted)}
    if not lengths or record.config.method == "joint":
        return None
    mean = sum(lengths.values()) / len(lengths)
    return sum(lengths.values()) + mean * (record.config.tasks - len(lengths))
