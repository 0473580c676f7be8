"""What is a bound and what is not: first as a table, then on the chosen run, with a prediction before the answer."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import analysing, frames, pickers, reading, results, session, trust, widgets
from app.drawing import Drawing
from app.figures import rises, sparsity
from app.figures.rises import written
from app.language import listed, text
from app.predict import predict
from app.wording import number, percent
from esacl.config import RunConfig


def table() -> None:
    """Every quantity with what it looks at, what it is, and what it costs."""
    st.header(text("6. What is a bound, and what is not"))
    orders, rest = text("4 orders"), text("remainder")
    head = (text("quantity"), text("is it a bound?"), "", text("looks at"), text("costs"))
    rows = [
        (
            text("Taylor"),
            text("**No.** What it leaves out may have either sign. It ranks cuts well."),
            r"$g^{\top}d+\tfrac12 d^{\top}Hd$",
            text("θ"),
            text("one gradient, one Hessian-vector product"),
        ),
        (
            text("Taylor without the slope"),
            text("**No**, and often far below."),
            r"$\tfrac12 d^{\top}Hd$",
            text("θ"),
            text("one Hessian-vector product"),
        ),
        (
            text("path integral"),
            text("**An identity**, up to its four nodes; with ReLU too."),
            r"$\int_0^1\nabla L(\theta+a\,d)^{\top}d\,\mathrm{d}a$",
            text("the whole way"),
            text("four gradients; the rise itself costs one forward pass"),
        ),
        (
            text("λ at θ only"),
            text("**No**, unless the curvature falls along the way."),
            r"$g^{\top}d+\tfrac12\lambda_{\max}(H)\,\lvert d\rvert^2$",
            text("θ"),
            text("some tens of products (Lanczos)"),
        ),
        (
            text("λ bound"),
            text(
                "**Yes**, for twice-differentiable activations and with the supremum over the whole way. At a few "
                "points of it, or with ReLU, it is an observation."
            ),
            r"$g^{\top}d+\tfrac12\sup\lambda_{\max}\,\lvert d\rvert^2$",
            text("every point of the way"),
            text("the same at every point looked at"),
        ),
        (
            text("output bound"),
            text(
                "**If** what the outputs leave out does no more than the larger of their last two orders could: an "
                "assumption. With ReLU, which shows no kink ahead, it often falls a little short."
            ),
            rf"$\ell(z + \text{{{orders}}}) + \text{{{rest}}}$",
            text("θ, through the outputs z"),
            text("about nine forward passes"),
        ),
    ]
    _table(head, rows, key="theory-bounds")
    st.caption(
        text(
            "The output bound expands the outputs z along d, takes their cross-entropy ℓ as it is, and adds the most "
            "that what is left out could do. Outputs bend far less along a cut than the loss does."
        )
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, key: str) -> None:
    """On a phone a row is a block of its own, where each cell says its heading: hidden elsewhere (`theme.css`)."""
    headed = [[f"*{name}* {cell}" if name else cell for name, cell in zip(head, row)] for row in rows]
    lines = [head, ["---"] * len(head), *([row[0], *said[1:]] for row, said in zip(rows, headed))]
    with st.container(key=key):
        st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def on_the_run() -> None:
    """The same on the run that all pages show."""
    st.header(text("7. The same on a real network"))
    entry = session.chosen()
    record = reading.record(entry)
    config = record.config
    widgets.facts(entry, record)
    task = pickers.task_picker(record, about=results.where_looked(config))
    arrays = reading.arrays(entry, f"sparsity-t{task}")
    if arrays is None:
        analysing.curve_missing(entry, task)
    curve = frames.sparsity(arrays)
    names = [name for name in trust.known(curve) if name != "curvature_term"]  # which section 6 has told
    if not names:
        widgets.say("info", text(trust.OLDER))
        return
    st.markdown(
        text(
            "The network of task %(task)d, cut at %(levels)d levels by one ranking, with no training after the cut. "
            "Each estimate was taken from the instances that IDS chose, and so was the true rise it is held against.",
            task=task + 1,
            levels=len(curve),
        )
    )
    index = _index(curve, config)
    key = f"{entry.run_id}-{task}"
    left, right = st.columns(2, gap="large")
    with left:
        one_level = _ask_furthest(curve, names, index, key)
    with right:
        all_levels = _ask_bound(curve, names, key) if one_level else False
    _figures(curve, names, config, one_level, all_levels)
    if all_levels:
        _verdicts(curve, names, config)


def _index(curve: pd.DataFrame, config: RunConfig) -> int:
    level = session.sparsity(curve["level"].to_numpy(), config.sparsity)
    return int((curve["level"] - level).abs().argmin())


def _ask_furthest(curve: pd.DataFrame, names: list[str], index: int, key: str) -> bool:
    row = curve.iloc[index]
    level, truth = percent(float(row["level"])), float(row[trust.TRUTH])
    question = text(
        "Cut at %(level)s, the loss changes by %(rise)s nats with a step of |d| = %(length)s. Which estimate is "
        "furthest from that?",
        level=level,
        rise=number(truth),
        length=number(float(row["displacement_norm"])),
    )
    said = predict(question, {name: written(name) for name in names}, key=f"lesson-furthest-{key}")
    if said is None:
        return False
    found = trust.furthest(curve, index, names)
    if found is None:
        st.markdown(text("At this level nothing was estimated."))
        return True
    st.markdown(
        text(
            "%(verdict)s **%(name)s** says %(value)s where the truth is %(truth)s. Move the level: the answer is taken "
            "anew at each.",
            verdict=text("As you said:") if said == found else text("It is another:"),
            name=written(found),
            value=number(float(row[found])),
            truth=number(truth),
        )
    )
    return True


def _ask_bound(curve: pd.DataFrame, names: list[str], key: str) -> bool:
    options = {name: text("only %(name)s", name=written(name)) for name in names}
    options |= {"several": text("more than one of them"), "none": text("none of them")}
    question = text("And over all levels of this run: which estimate is never below the true rise?")
    said = predict(question, options, key=f"lesson-bound-{key}")
    if said is None:
        return False
    known = trust.records(curve)
    if not known:
        st.markdown(text("No level of this run cuts anything: there is nothing to compare."))
        return True
    found = [name for name in names if name in known and known[name].bounds]
    answer = found[0] if len(found) == 1 else ("several" if found else "none")
    st.markdown(
        text(
            "%(verdict)s Never below: **%(names)s**.",
            verdict=text("As you said.") if said == answer else text("Not so."),
            names=listed(written(name) for name in found) or text("none"),
        )
    )
    return True


def _figures(curve: pd.DataFrame, names: list[str], config: RunConfig, one_level: bool, all_levels: bool) -> None:
    """What may be seen so far, all of it on one slider."""

    def make(index: int) -> list[Drawing]:
        shown = [rises.truth(curve, index, config.sparsity)]
        if one_level:
            shown.append(rises.at_level(curve, names, index))
        if all_levels:
            shown.append(sparsity.rise(curve, index, config.sparsity))
            shown.append(rises.over_truth(curve, names, index, config.sparsity))
        return shown

    facts = [
        {"label": text("true rise, nats"), "values": [number(v) for v in curve[trust.TRUTH]]},
        {"label": text("|d|, how far the weights move"), "values": [number(v) for v in curve["displacement_norm"]]},
        {"label": text("share of |θ|² removed"), "values": [percent(v) for v in curve["removed_share"]]},
    ]
    widgets.scrub(curve["level"].to_numpy(), config.sparsity, make, facts, key="theory-scrub")


def _verdicts(curve: pd.DataFrame, names: list[str], config: RunConfig) -> None:
    head = (
        text("estimate"),
        text("below the truth"),
        text("smallest factor"),
        text("median factor"),
        text("largest factor"),
    )
    rows = [
        (
            written(name),
            text("at %(below)d of %(levels)d levels", below=record.levels - record.above, levels=record.levels),
            *(number(factor) for factor in (record.low, record.median, record.high)),
        )
        for name, record in trust.records(curve).items()
        if name in names
    ]
    _table(head, rows, key="theory-verdicts")
    ends = text("The λ bound takes its largest eigenvalue from the two ends of the way, not from all of it.")
    st.caption(f"{rises.counted()} {ends}")
    st.markdown(
        text("This network computes with ReLU, so none of the bounds is a theorem here: what held above was observed.")
        if config.activation == "relu"
        else text(
            "This network computes with softplus, which is smooth: with the supremum over the whole way the λ bound is "
            "a theorem. At two points of it, what held above was still observed."
        )
    )
