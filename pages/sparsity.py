import streamlit as st

from app import analysing, frames, measured, pickers, reading, results, scrubbing, session, widgets
from app.drawing import Drawing
from app.figures import sparsity, weight_values
from app.language import text

st.title(text("How much can go?"))
entry = session.chosen()
record = reading.record(entry)
config = record.config
widgets.facts(entry, record)
left, right = st.columns([1, 2], gap="large", vertical_alignment="bottom")
with left:
    task = pickers.task_picker(record, about=results.where_looked(config))
name = f"sparsity-t{task}"
with right:
    beside = pickers.beside_picker(entry, session.listed(), needs=name)
arrays = reading.arrays(entry, name)
if arrays is None:
    analysing.curve_missing(entry, task)
curve, seen, densities = frames.sparsity(arrays), frames.accuracy_at_levels(arrays), frames.layer_densities(arrays)
target, chance = config.sparsity, [float(c) for c in arrays.get("chance", ())]
levels, other = curve["level"].to_numpy(), measured.curve_beside(beside, name)
found = scrubbing.recorded(entry, task, levels)
analysing.follow(entry, below=scrubbing.below(entry, task, found))
one_cut = results.prunes_by_one_cut(config)
when = results.when_cut(config).lower()
st.markdown(
    text("The network of task %(task)d right before its cut (%(when)s).", task=task + 1, when=when)
    if one_cut
    else text("The network of task %(task)d once it is learned.", task=task + 1)
)
if anew := results.refreshed(record, task):
    st.markdown(anew)
st.markdown(text(scrubbing.MOVE))
left, right = st.columns([3, 7], gap="medium", vertical_alignment="bottom")
with left:
    pictures = scrubbing.pictures(entry, task, found, curve, densities)
with right:
    compared = scrubbing.comparison(entry, task, found, levels)


def figures(index: int) -> list[Drawing | None]:
    """Everything that depends on the level."""

    def curves() -> list[Drawing | None]:
        return [
            sparsity.accuracy(seen, index, target, chance, tasks=config.tasks, beside=other, exact=found.exact),
            sparsity.rise(curve, index, target, exact=found.exact),
        ]

    runs = [one for one in (entry, beside) if one is not None]
    return [*reading.once(curves, "curves", runs, task, index), *pictures(index), *compared(index)]


widgets.scrub(levels, target, figures, sparsity.facts(curve, seen), key="scrub")
scrubbing.offers(entry, task, found)

st.header(text("Exactly here"))
st.markdown(text(scrubbing.EXACTLY))
scrubbing.exactly(entry, task, found, target)

left, right = st.columns(2, gap="large")
with left:
    st.header(text("What is a bound, and what is not"))
    st.markdown(text(scrubbing.BOUNDS))
    st.caption(text(scrubbing.OVER_WHAT))
with right:
    st.header(text("What the pictures show"))
    st.markdown(text(scrubbing.PICTURES))
    histogram = reading.arrays(entry, f"histogram-t{task}")
    if histogram is not None and found.cuts is None:
        widgets.draw(weight_values.before_the_cut(frames.histogram(histogram), target), key="weights")
        st.caption(text("Recorded at the run's own level only."))
widgets.table(curve, text("The numbers of the curves"), key="curve-table")
