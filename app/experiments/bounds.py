"""Experiment 2: bound or estimate: which of the curves may be trusted, and for what."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st

from app import analysing, frames, pickers, reading, results, session, trust, widgets
from app.experiments.answering import Finding, answer, found
from app.experiments.notes import Notes
from app.figures import rises, sparsity
from app.language import marked, text
from app.predict import predict
from app.reading import Entry
from app.trust import Record
from app.wording import number, percent
from esacl.records import RunRecord

NEAR = 0.1  # an identity with four nodes should not be further off than this
OPTIONS = {
    "lambda_bound": marked("the λ bound, g'd + ½ sup λₘₐₓ |d|²"),
    "taylor": marked("Taylor with one Hessian-vector product, g'd + ½ d'Hd"),
    "curvature_term": marked("½ d'Hd alone"),
    "path_integral": marked("the path integral, four gradients on the way"),
    "none": marked("none of them"),
}
WRITTEN = {
    "lambda_bound": marked("The λ bound"),
    "output_bound": marked("The output bound, a fifth curve,"),
    "taylor": marked("Taylor"),
    "curvature_term": marked("½ d'Hd alone"),
    "path_integral": marked("The path integral"),
}


def show(entry: Entry, record: RunRecord) -> None:
    """Ask with only the true rise in sight, then show the curves."""
    task = pickers.task_picker(record, about=results.where_looked(record.config))
    arrays = reading.arrays(entry, f"sparsity-t{task}")
    if arrays is None:
        analysing.curve_missing(entry, task)
    curve, target = frames.sparsity(arrays), record.config.sparsity
    known = trust.known(curve)
    if not known:
        widgets.say("info", text(trust.OLDER))
        return
    st.markdown(
        text(
            "A cut moves the weights by $d=-(1-m)\\odot\\theta$. How much the loss will rise can be told beforehand "
            "in four ways, all from the gradient $g$ and the Hessian $H$. Before you cut for good you want one that "
            "**never promises too small a rise**."
        )
    )
    options = {name: text(words) for name, words in OPTIONS.items() if name == "none" or name in curve}
    question = text("Which of them never lies below the true rise, at any level of sparsity?")
    guess = predict(question, options, key=f"experiment-2-{entry.run_id}")
    if guess is None:
        levels = curve["level"].to_numpy()
        nearest = int(np.argmin(np.abs(levels - session.sparsity(levels, target))))
        truth = curve[[name for name in ("level", "rise", "rise_of_chosen") if name in curve]]
        widgets.draw(sparsity.rise(truth, nearest, target), key="experiment-2-given")
        return
    widgets.scrub(
        curve["level"].to_numpy(),
        target,
        lambda index: [sparsity.rise(curve, index, target), rises.over_truth(curve, known, index, target)],
        rises.facts(curve, known),
        key="experiment-2",
    )
    st.caption(text("A rise at or below zero has no place on a log axis and is left out."))
    answer(guess, options, finding(curve, record.config.activation), key="2")
    st.page_link("../pages/sparsity.py", label=text("The same curves beside accuracy and layers: Sparsity"))


def finding(curve: pd.DataFrame, activation: str) -> Finding:
    """Which curves never lay below the truth, and how far off each was."""
    known = trust.records(curve)
    asked = {name: record for name, record in known.items() if name in OPTIONS}
    if not asked:
        return found((), [text("No level of this run cuts anything: there is nothing to compare.")])
    true = {name for name, record in asked.items() if record.bounds} or {"none"}
    said = [_sentence(name, record) for name, record in known.items()]
    said.append(rises.counted())
    if "lambda_bound" in true:
        said.append(
            text("With ReLU this is an observation and not the theorem, which asks for two derivatives.")
            if activation == "relu"
            else text("The theorem asks for the supremum over the whole way; here it was taken at a few points of it.")
        )
    return found(true, said, _against(asked))


def _sentence(name: str, record: Record) -> str:
    count = text(
        "**%(name)s** is not below the true rise at %(above)d of %(levels)d levels",
        name=text(WRITTEN[name]),
        above=record.above,
        levels=record.levels,
    )
    if not record.compared:
        return count + text("; no rise is large enough for a ratio.")
    return count + text(
        "; it is %(median)s times the rise in the median, %(low)s to %(high)s times in all.",
        median=number(record.median),
        low=number(record.low),
        high=number(record.high),
    )


def _against(known: Mapping[str, Record]) -> str:
    said = []
    bound, path, half = (known.get(name) for name in ("lambda_bound", "path_integral", "curvature_term"))
    if bound is not None and not bound.bounds:
        said.append(text("The λ bound should never lie below; here it does. With ReLU, kinks are not seen by H."))
    if path is not None and path.compared and path.off > NEAR:
        said.append(
            text(
                "The path integral should be an identity up to its four nodes; here it is off by up to %(off)s.",
                off=percent(path.off, 0),
            )
        )
    for name, record in (("taylor", known.get("taylor")), ("curvature_term", half)):
        if record is not None and record.bounds:
            said.append(
                text(
                    "%(name)s is no bound by any theorem; that it held at every level of this run is luck.",
                    name=text(WRITTEN[name]),
                )
            )
    return " ".join(said)


NOTES = Notes(
    aim=marked(
        "To tell a bound from an estimate and from an identity, and to ask of each formula what it costs and what it "
        "is good for, before asking how well it fits."
    ),
    script=(
        ("2", marked("Write the expansion on the board: g'd + ½ d'Hd + …, and where each of the four cuts it off.")),
        ("1", marked("Show the true rise alone; note the log axis.")),
        ("2", marked("Ask which curve never lies below it; ask also which will be nearest. They are not the same.")),
        ("3", marked("Reveal. Walk the handle from left to right: where does Taylor begin to fail?")),
        ("2", marked("Price list: a forward pass, one product, four gradients, several λₘₐₓ. What would you pay for?")),
    ),
    ask=marked(
        "A bound that is a thousand times too large: what is it good for? And an estimate that is 10 % too low?"
    ),
    misconceptions=(
        (
            marked("The path integral is the best estimate."),
            marked("It is the rise itself, by four gradients; one forward pass would have told. It explains where."),
        ),
        (
            marked("Curvature is positive at a minimum, so ½ d'Hd is an upper bound."),
            marked("It is one term. At a minimum of a converged network it can be a hundredth of the true rise."),
        ),
        (
            marked("A tight bound is a better bound."),
            marked("Only if it holds. Count the levels at which it does before you look at how near it is."),
        ),
    ),
    own_data=marked(
        "Run the same benchmark with activation softplus: then the λ bound is a theorem over the whole way. Compare "
        "the count of levels with that of your ReLU run, task by task."
    ),
    exercise=marked(
        "Along a cut the loss is L(a) = a⁴ for a from 0 (dense) to 1 (pruned), with |d| = 1 and no other direction. "
        "Give the true rise, Taylor at 0, the λ bound with λₘₐₓ at 0 only, and with the supremum over the way."
    ),
    answer=marked(
        "The rise is 1. g = 0 and H = 0 at 0, so Taylor gives 0, and so does ½ λₘₐₓ(0) |d|²: λₘₐₓ at the start alone "
        "is no bound. The supremum of L'' = 12 a² is 12, so the bound is 6: it holds, and is six times too large."
    ),
)
