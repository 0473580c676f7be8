"""Experiment 6: what sparsity saves, in FLOPs, bytes and milliseconds, and where nothing."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app import pace, pickers, reading, results, session, widgets
from app.experiments.answering import Finding, answer, found
from app.experiments.notes import Notes
from app.figures import savings
from app.language import marked, text
from app.pace import Pace
from app.predict import predict
from app.reading import Entry
from app.remaining import Share, shares
from app.wording import brief, number, percent, whole
from esacl.events import RunStarted
from esacl.records import RunRecord

LEVELS = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995])
OPTIONS = {
    "flops": marked("The FLOPs of the whole training"),
    "kept": marked("The bytes kept between tasks"),
    "time": marked("The milliseconds of a training step"),
    "none": marked("None of the three"),
}


def show(entry: Entry, record: RunRecord) -> None:
    """Ask what falls with the weights, then show what is left of each cost."""
    density = 1 - record.config.sparsity
    if record.config.sparsity == 0:
        widgets.say("info", text("This run cuts nothing, so it saves nothing: choose a sparse one above."))
        return
    beside = pickers.beside_picker(entry, session.listed())
    cost = results.summary(record)["cost"]
    if cost["train_flops"] is None:
        widgets.wait(entry, text("Nothing has been counted yet"))
    st.markdown(
        text(
            "This run keeps %(kept)s of its prunable weights. One might expect everything to shrink with them.",
            kept=brief(density),
        )
    )
    options = {name: text(words) for name, words in OPTIONS.items()}
    question = text(
        "Which of these falls to %(limit)s or less of the dense network's, twice the kept fraction?",
        limit=brief(limit(density)),
    )
    guess = predict(question, options, key=f"experiment-6-{entry.run_id}")
    if guess is None:
        return
    parameters, prunable = _sizes(record)
    mine, theirs = _paces(record), _paces(reading.record(beside)) if beside is not None else None
    dense = next((one for one in (mine[0], *(theirs or ())[:1]) if one.milliseconds), None)
    known = shares(cost, parameters, mine[1], dense)
    widgets.draw(savings.remaining(known, density), key="experiment-6")
    name = results.named(beside) if beside is not None and dense is not None and dense is not mine[0] else ""
    st.caption(_sources(mine[1], dense, widgets.plain(name)))
    answer(guess, options, finding(known, density), key="6")
    st.subheader(text("What a weight that is left takes"))
    widgets.scrub(
        LEVELS,
        record.config.sparsity,
        lambda index: [savings.forms(prunable, LEVELS, index)],
        savings.facts(prunable, LEVELS),
        key="experiment-6-forms",
    )
    st.caption(
        text(
            "Of %(prunable)s prunable weights, 4 bytes a value and 4 an index; a mask takes a bit a place. With "
            "indices nothing is saved below half, with a bit mask from a thirty-second on. The file that an export "
            "writes may use smaller indices.",
            prunable=whole(prunable),
        )
    )
    st.page_link("../pages/cost.py", label=text("Where each FLOP and each byte of the run goes: Cost"))


def limit(density: float) -> float:
    """What counts as shrinking with the weights."""
    return min(1.0, 2 * density)


def finding(known: Sequence[Share], density: float) -> Finding:
    """Which costs shrank with the weights, and by how much each."""
    asked = {share.name: share for share in known if share.name in OPTIONS}
    if not asked:
        return found((), [text("Neither FLOPs nor bytes nor times of this run are known.")])
    true = {name for name, share in asked.items() if share.of_dense <= limit(density)} or {"none"}
    said = [_WHY[share.name][share.of_dense >= 0.98](share) for share in known]
    if "time" not in asked:
        said.append(
            text(
                "**Milliseconds**: not known of these runs. A pace needs stretches of training without any analysis, "
                "at dense and at sparse weights; choose a dense run beside this one, or a longer one."
            )
        )
    against = ""
    time = asked.get("time")
    if time is not None and time.of_dense < 0.9:
        against = text(
            "A dense kernel multiplies by stored zeros as by other numbers. A step at sparse weights is shorter where "
            "whole units are gone: those of a large MLP that nothing feeds, or channels of a CNN, on a processor. "
            "Elsewhere it may lie in what else the two runs did, or in the machine."
        )
    return found(true, said, against)


def _flops(share: Share) -> str:
    return text(
        "**FLOPs**: %(share)s of dense SGD's over the same steps. Less is saved than the share of weights suggests, "
        "since a part of training stands at dense weights, and consolidation is billed too.",
        share=percent(share.of_dense, 0),
    )


def _no_flops(share: Share) -> str:
    return text(
        "**FLOPs**: %(share)s of dense SGD's: nothing is saved where the network is cut only once it has been trained.",
        share=percent(share.of_dense, 0),
    )


def _weights(share: Share) -> str:
    return text(
        "**Bytes of the weights**: %(share)s, biases and private heads included, which are not cut.",
        share=percent(share.of_dense, 0),
    )


def _kept(share: Share) -> str:
    return text(
        "**Bytes kept between tasks**: %(share)s of a dense network's, once masks, anchors and a rehearsal memory, "
        "where there is one, are added.",
        share=percent(share.of_dense, 0),
    )


def _more_kept(share: Share) -> str:
    return text(
        "**Bytes kept between tasks**: %(share)s of a dense network's. The anchors hold numbers for every weight, cut "
        "or not, and take more than the cut has freed.",
        share=percent(share.of_dense, 0),
    )


def _time(share: Share) -> str:
    return text(
        "**Milliseconds**: a step at sparse weights took %(sparse)s ms, at dense ones %(dense)s ms: %(share)s of the "
        "dense step.",
        sparse=number(share.sparse),
        dense=number(share.dense),
        share=percent(share.of_dense, 0),
    )


def _no_time(share: Share) -> str:
    said = text(
        "**Milliseconds**: a step at sparse weights took %(sparse)s ms, at dense ones %(dense)s ms. **Nothing is "
        "saved**: the kernels are dense, and multiply by the zeros of the mask.",
        sparse=number(share.sparse),
        dense=number(share.dense),
    )
    if share.of_dense > 1.1:
        said += " " + text("That it took longer lies in what else a step of this run does, or in the machine.")
    return said


_WHY = {  # name of the cost -> what to say where something is saved, and where nothing is
    "flops": (_flops, _no_flops),
    "weights": (_weights, _weights),
    "kept": (_kept, _more_kept),
    "time": (_time, _no_time),
}


def _sources(sparse: Pace, dense: Pace | None, name: str) -> str:
    said = text("FLOPs and bytes are counted.")
    if dense is None or not sparse.milliseconds:
        return said
    of = text("of the run beside it, %(name)s,", name=name) if name else text("of this run")
    return f"{said} " + text(
        "Pale, with an outline: by the clock, over %(sparse)s steps of this run at sparse weights and %(dense)s steps "
        "%(of)s at dense ones, evaluation and consolidation between them included; one machine, no repeats.",
        sparse=whole(sparse.steps),
        dense=whole(dense.steps),
        of=of,
    )


def _paces(record: RunRecord) -> tuple[Pace, Pace]:
    one_cut = results.prunes_by_one_cut(record.config)
    return pace.paces(record.events, record.measured, one_cut=one_cut)


def _sizes(record: RunRecord) -> tuple[int, int]:
    """Weights in all, and those that may be cut."""
    started = next((event for event in record.events if isinstance(event, RunStarted)), None)
    return (started.parameters, started.prunable) if started is not None else (0, 0)


NOTES = Notes(
    aim=marked(
        "To keep apart what is counted, what is stored and what the clock says, and to ask of every claim of "
        "efficiency which of the three is meant, and against what."
    ),
    script=(
        ("2", marked("Collect from the class what “ten times smaller” could mean. Write the candidates on the board.")),
        ("2", marked("Ask the question; let each camp give a reason.")),
        ("3", marked("Reveal. Go from bar to bar: why is this one above the dotted line?")),
        ("2", marked("The clock: what would have to change for a zero to cost no time? (Kernels, blocks, hardware.)")),
        ("1", marked("Storage: at which sparsity does an index for each value begin to pay?")),
    ),
    ask=marked("A paper says: “reduces computation by 90 %”. Which three questions do you send to its authors?"),
    misconceptions=(
        (
            marked("Ninety percent of the weights gone means ten times faster."),
            marked(
                "On common hardware a masked matrix is a dense matrix with zeros in it. The count falls, the time "
                "does not."
            ),
        ),
        (
            marked("The sparse network is small, so training it needs little memory."),
            marked("Optimiser and activations remain; activations do not depend on how many weights are zero."),
        ),
        (
            marked("FLOPs are a fiction, then."),
            marked(
                "They are what could be saved where zeros are skipped: structured sparsity, some accelerators, some "
                "CPUs."
            ),
        ),
    ),
    own_data=marked(
        "Open Cost for your own run: the bill says where each FLOP went. Choose a dense run of the same benchmark "
        "beside it for the milliseconds; export the network and compare the size of the file with the figure above."
    ),
    exercise=marked(
        "A layer of 1 000 × 1 000 weights of 4 bytes is cut to 10 %. Give its bytes dense, with a bit mask, and with "
        "an index of 4 bytes for each value. From which sparsity on does each of the two forms save anything?"
    ),
    answer=marked(
        "4 MB; 0.4 MB + 0.125 MB = 0.525 MB; 0.8 MB. With a mask 4 d + 1/8 < 4, so from 3.1 % sparsity on; with an "
        "index 8 d < 4, so from 50 % on. At 99 % the index is the better one: 0.08 MB against 0.165 MB."
    ),
)
