"""Experiment 1: an SGD network and an SDP network, cut at the same level: which falls, and where on the slice."""

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from app import analysing, frames, measured, pickers, reading, results, session, widgets
from app.drawing import Drawing
from app.experiments.answering import Finding, answer, found
from app.experiments.notes import Notes
from app.figures import cut_pair, plane_colours, planes, weight_values
from app.figures.cut_pair import Cut
from app.language import clauses, listed, marked, text
from app.predict import predict
from app.reading import Entry
from app.wording import brief, number, percent
from esacl.config import RunConfig
from esacl.records import RunRecord

FALL = 0.05  # accuracy: so much lost is a fall
ALIKE = 1.25  # levels at which the kept fractions differ by less are one level


def show(entry: Entry, record: RunRecord) -> None:
    """Ask about the run and the one beside it, then cut both."""
    left, right = st.columns([1, 2], gap="large", vertical_alignment="bottom")
    with left:
        task = pickers.task_picker(record, about=text("The networks of task"))
    name = f"sparsity-t{task}"
    with right:
        beside = pickers.beside_picker(entry, session.listed(), needs=name)
    mine = _cut(entry, task)
    if mine is None:
        analysing.curve_missing(entry, task)
    theirs = _cut(beside, task) if beside is not None else None
    if beside is None or theirs is None:
        said = text(
            "This experiment takes two runs of the same benchmark, scenario and number of tasks; this one has "
            "%(tasks)s, and no other that has finished is like it. Choose another run above, or start a second one.",
            tasks=results.so_many(record.config.tasks),
        )
        widgets.say("info", said)
        return
    pair, target = (mine, theirs), record.config.sparsity or 0.9
    st.markdown(_about(entry, beside, pair, task))
    options = {
        "mine": text("%(name)s falls first", name=widgets.plain(mine.name)),
        "theirs": text("%(name)s falls first", name=widgets.plain(theirs.name)),
        "alike": text("Both at about the same level"),
    }
    question = text(
        "Both are cut at the same level, deeper and deeper, and nothing is trained afterwards. Which loses %(by)s "
        "points of accuracy first?",
        by=_fall(),
    )
    guess = predict(question, options, key=f"experiment-1-{entry.run_id}-{beside.run_id}")
    if guess is None:
        _weights((entry, beside), task)
        return
    widgets.scrub(
        mine.curve["level"].to_numpy(),
        target,
        lambda index: [cut_pair.accuracies(pair, index, FALL), cut_pair.lengths(pair, index)],
        cut_pair.facts(pair),
        key="experiment-1",
    )
    answer(guess, options, finding(pair, _sdp(entry), _sdp(beside)), key="1")
    _slices((entry, beside), pair, task)
    st.page_link("../pages/landscape.py", label=text("The slices in full, to be turned and measured: Landscape"))


def finding(pair: Sequence[Cut], mine_sdp: bool, theirs_sdp: bool) -> Finding:
    """Which of the two falls first, how long each cut is by then, and where on its own way the loss rises."""
    falls = [cut.falls(FALL) for cut in pair]
    mine, theirs = (1 - level if level is not None else 0.0 for level in falls)  # kept by then
    true = "alike" if max(mine, theirs) <= ALIKE * min(mine, theirs) or mine == theirs else ""
    true = true or ("mine" if mine > theirs else "theirs")
    said = [_fell(cut, level) for cut, level in zip(pair, falls)]
    first = max((level for level in falls if level is not None), default=None, key=lambda level: 1 - level)
    if first is not None:
        said.append(text("At %(level)s removed: %(both)s.", level=percent(first), both=clauses(_at(pair, first))))
    if turned := _turned(pair, true):
        said.append(turned)
    return found(true, [*said, *(_where(cut) for cut in pair)], _against(true, falls, mine_sdp, theirs_sdp))


def _fell(cut: Cut, level: float | None) -> str:
    name = widgets.plain(cut.name)
    if level is None:
        return text("**%(name)s** never loses %(by)s points, at no level recorded.", name=name, by=_fall())
    return text(
        "**%(name)s** has lost %(by)s points first at **%(level)s** removed: %(before)s dense, %(now)s there.",
        name=name,
        by=_fall(),
        level=percent(level),
        before=percent(float(cut.curve["accuracy"].iloc[0])),
        now=percent(float(cut.at(level)["accuracy"])),
    )


def _turned(pair: Sequence[Cut], first: str) -> str:
    """Said where at the deepest level the other network stands clearly lower than the one that fell first."""
    if first not in ("mine", "theirs"):
        return ""
    level = min(float(cut.levels[-1]) for cut in pair)
    fell, held = pair if first == "mine" else (pair[1], pair[0])
    low, high = (float(cut.at(level)["accuracy"]) for cut in (held, fell))
    if high - low < FALL / 2:
        return ""
    return text(
        "Deeper the order turns: at %(level)s **%(held)s** is at %(low)s and %(fell)s at %(high)s.",
        level=percent(level),
        held=widgets.plain(held.name),
        fell=widgets.plain(fell.name),
        low=percent(low),
        high=percent(high),
    )


def _at(pair: Sequence[Cut], level: float) -> list[str]:
    return [
        text(
            "the cut of %(name)s moves the weights by |d| = %(length)s and takes %(share)s of |θ|²",
            name=widgets.plain(cut.name),
            length=number(float(cut.at(level)["displacement_norm"])),
            share=percent(float(cut.at(level)["removed_share"])),
        )
        for cut in pair
    ]


def _where(cut: Cut) -> str:
    name = widgets.plain(cut.name)
    if cut.way is None:
        return text("No slice along its own cut was recorded for %(name)s.", name=name)
    if cut.half_way is None:
        return text("On the slice along its own cut, the loss of %(name)s does not rise.", name=name)
    return text(
        "On the slice along its own cut, half of the rise of %(name)s has come after %(share)s of the way.",
        name=name,
        share=percent(cut.half_way, 0),
    )


def _against(true: str, falls: Sequence[float | None], mine_sdp: bool, theirs_sdp: bool) -> str:
    if mine_sdp == theirs_sdp or true == ("theirs" if mine_sdp else "mine"):
        return ""
    if all(level is None for level in falls):
        return text("The network that was not trained for the cut should fall first; of these two neither falls.")
    return text("The network that was not trained for the cut should fall first; in these two runs it does not.")


def _fall() -> str:
    return f"{100 * FALL:.0f}"


def _sdp(entry: Entry) -> bool:
    return entry.config is not None and entry.config.method == "esacl" and entry.config.sparsity > 0


def _cut(entry: Entry, task: int) -> Cut | None:
    arrays = reading.arrays(entry, f"sparsity-t{task}")
    if arrays is None or entry.config is None:
        return None
    slices = reading.arrays(entry, f"landscape-t{task}") or {}
    x, loss = slices.get("pruning/x"), slices.get("pruning/loss")
    way = (x, loss) if x is not None and loss is not None and len(x) == len(loss) else None
    return Cut(results.named(entry), entry.config.method, frames.sparsity(arrays), way)


def _about(entry: Entry, beside: Entry, pair: Sequence[Cut], task: int) -> str:
    """Who was trained for the cut, how good both are uncut, and in what else they differ: not in one factor alone."""
    parts = []
    for one in (entry, beside):
        name = widgets.plain(results.named(one))
        parts.append(
            text("**%(name)s** was trained with the cut in view (SDP).", name=name)
            if _sdp(one)
            else text("**%(name)s** was trained as if no cut would come.", name=name)
        )
        if one.config is not None and one.config.method == "ewc":
            parts.append(plain_sgd(task))
    mine, theirs = (percent(float(cut.curve["accuracy"].iloc[0])) for cut in pair)
    parts.append(text("Uncut, the first reaches %(mine)s accuracy, the second %(theirs)s.", mine=mine, theirs=theirs))
    if entry.config is not None and beside.config is not None:
        differ = differences(entry.config, beside.config)
        if differ:
            said = listed(differ)
            parts.append(
                text("The two runs also differ in %(said)s: one pair of runs shows, it proves nothing.", said=said)
            )
    return " ".join(parts)


def plain_sgd(task: int) -> str:
    """When an EWC network is one of plain SGD: as long as it has no task to hold on to."""
    if task == 0:
        return text("In its first task an EWC network is one of plain SGD: it has nothing to hold on to yet.")
    return text("It also holds on to earlier tasks; its network of task 1, to be chosen above, is one of plain SGD.")


def differences(mine: RunConfig, theirs: RunConfig) -> list[str]:
    """The settings beside the method by which two runs differ, in words."""
    looked = {
        text("the saliency"): lambda c: c.pruning.saliency,
        text("the moment of the cut"): lambda c: c.sdp.cut,
        text("how much a weight's cost counts"): lambda c: c.pruning.flops_exponent,
        text("the sparsity"): lambda c: c.sparsity,
        text("the anchors"): lambda c: (c.anchor.strength, c.anchor.distillation),
        text("the epochs"): lambda c: c.epochs,
        text("the network"): lambda c: (c.network, c.activation),
        text("the seed"): lambda c: c.seed,
    }
    return [name for name, of in looked.items() if of(mine) != of(theirs)]


def _weights(runs: Sequence[Entry], task: int) -> None:
    """What there is to judge by: the weights right before the cut."""
    drawn: list[Drawing] = []
    for run in runs:
        histogram = reading.arrays(run, f"histogram-t{task}")
        if histogram is not None and run.config is not None:
            drawing = weight_values.before_the_cut(frames.histogram(histogram), run.config.sparsity)
            drawn.append({**drawing, "caption": results.named(run)})
    widgets.draw(*drawn, key="experiment-1-given")
    if drawn:
        st.caption(text("The weights of both right before the cut of each run, and what the run itself kept of them."))


def _slices(runs: Sequence[Entry], pair: Sequence[Cut], task: int) -> None:
    st.subheader(text("Where on the slice?"))
    drawn = cut_pair.ways(pair)
    widgets.draw(drawn, key="experiment-1-ways")
    if drawn is not None:
        st.caption(
            text(
                "Hollow: half of the rise has come. These slices belong to each run's own cut (%(levels)s), not to the "
                "level of the handle; each was taken over the instances that its run chose.",
                levels=listed(dict.fromkeys(brief(r.config.sparsity) for r in runs if r.config is not None)),
            )
        )
    shown = _planes(runs, task)
    limits = plane_colours.limits([plane for _, plane in shown])
    ends = (min(p.y[0] for _, p in shown), max(p.y[-1] for _, p in shown)) if shown else None
    pictures = [
        {**plane_colours.picture(plane, locked=limits, ends=ends), "caption": f"{results.named(run)}, {plane.title}"}
        for run, plane in shown
    ]
    widgets.draw(*pictures, key="experiment-1-planes", even=True)
    if ends:
        st.caption(
            text(
                "The plane of the cut and of the sharpest direction across it, on one colour scale: bright is a high "
                "loss. Left point dense, right point pruned. Upwards both have the same scale, %(low)s to %(high)s in "
                "weight space; from left to right each runs along its own cut, |d| as told above. A slice, not the "
                "whole landscape.",
                low=number(ends[0]),
                high=number(ends[1]),
            )
        )
    without = [results.named(run) for run in runs if run.run_id not in {one.run_id for one, _ in shown}]
    if without:
        names = listed(widgets.plain(name) for name in without)
        st.markdown(text("No plane of the cut was recorded for %(names)s.", names=names))


def _planes(runs: Sequence[Entry], task: int) -> list[tuple[Entry, planes.Plane]]:
    shown = []
    for run in runs:
        held: Mapping[planes.Slice, planes.Plane] = measured.slices_of(run, task)
        cut = [plane for (at, x, _), plane in held.items() if at == "dense" and x == "pruning"]
        if cut and np.isfinite(cut[0].loss).any():
            shown.append((run, cut[0]))
    return shown


NOTES = Notes(
    aim=marked(
        "To see that a one-shot cut is a step in weight space, that a network can be trained so that this step is "
        "short, and that accuracy at one level says little without the curve over all levels."
    ),
    script=(
        ("1", marked("Say what is cut and that nothing is trained afterwards. Show only the two histograms.")),
        ("2", marked("Let the class read them: how much do the removed weights weigh? Collect predictions.")),
        ("3", marked("Commit, then move the handle from 0 to 99.5 %. Stop where the first of the two falls.")),
        ("2", marked("Look at |d| beside it: at which level are the two steps equally long? Do both fall there?")),
        ("2", marked("The slice: on which part of the way does the loss rise? Is the valley wide, or the step short?")),
    ),
    ask=marked(
        "Uncut, both networks are good: the two numbers stand above the question. What could one of them have that "
        "makes it survive the cut?"
    ),
    misconceptions=(
        (
            marked("The network that survives lies in a flatter minimum."),
            marked(
                "Look: its step is short. By λₘₐₓ an SDP network is often no flatter; Curvature shows both, before and "
                "after."
            ),
        ),
        (
            marked("A small drop means a good network."),
            marked("A poor network has little to lose. Read the accuracy after the cut beside the drop."),
        ),
        (
            marked("Nine tenths of the weights are gone, so nine tenths of what it knows."),
            marked("Below some level almost nothing is lost, whichever way it was trained; then much at once."),
        ),
    ),
    own_data=marked(
        "Start the same benchmark and seed twice, once with the method esacl and once with finetune and one-shot "
        "pruning at the same sparsity, and choose the second beside the first. Keep every other setting equal: then it "
        "is an experiment with one factor. Repeat it with three seeds before you believe it."
    ),
    exercise=marked(
        "Two networks lose nothing at 90 %. At 95 % |d| of the first is 2 and of the second 18. What do you expect of "
        "their losses if λₘₐₓ along both ways were the same, and why is the true ratio likely to be another?"
    ),
    answer=marked(
        "½ λ |d|² would give a ratio of 81. λₘₐₓ is the worst direction: to second order the rise is g'd + ½ d'Hd, "
        "neither cut moves along the sharpest direction only, and a run that is cut early in a task still has a "
        "slope g. Beyond a short step the quadratic picture ends: the loss saturates, so a long step costs less "
        "than the parabola says, or more where a ReLU switches."
    ),
)
