import streamlit as st

from app import analysing, frames, looking, measured, pickers, reading, results, session, widgets
from app.figures import slices, sparsity
from app.language import text

st.title(text("What does the loss look like there?"))
entry = session.chosen()
record = reading.record(entry)
config = record.config
widgets.facts(entry, record)
left, right = st.columns([2, 3], gap="large", vertical_alignment="bottom")
with left:
    task = pickers.task_picker(record, about=results.where_looked(config))
arrays, found = reading.arrays(entry, f"landscape-t{task}"), measured.slices_of(entry, task)
if arrays is None and not found:
    what = text("The landscape of task %(task)d has not been recorded", task=task + 1)
    if config.curvature.grid == 0:
        what = text("This run slices no landscape (curvature.grid is 0)")
    analysing.missing(entry, what, "landscape", task)
with right:
    beside = pickers.beside_picker(entry, session.listed())
analysing.follow(entry, beside)

st.header(text("In two dimensions"))
asked = looking.ask(entry, task, found)
left, middle, right = st.columns([3, 3, 4], gap="medium", vertical_alignment="bottom")
with left:
    view = widgets.choice(text("View"), looking.VIEWS, key="view")
with middle:
    quantity = widgets.choice(text("Show"), slices.quantities(arrays or {}, found.values()), key="quantity")
with right:
    locked = st.toggle(text("One colour scale for all tasks"), value=True, key="locked", persist_state="session")
looking.show(entry, beside, task, asked, quantity, view, locked)
st.caption(
    text(
        "Each picture is a slice, not the whole landscape: what lies beside it is not seen. Axes and colours are the "
        "same in all of them; the loss is drawn on a logarithmic scale: less than a thousandth of a nat as the lowest, "
        "more than a thousand times the lowest as the highest. Random directions scale each layer's step to the size "
        "of its weights (Li et al. 2018) and come from seed %(seed)d. A run cuts its own planes from the instances "
        "that IDS chose; a slice measured later takes the whole pool.",
        seed=config.seed,
    )
)

lines = slices.along_pruning(arrays or {}, quantity), slices.random_lines(arrays or {}, quantity)
if any(lines):
    st.header(text("In one"))
    widgets.draw(*lines, key="lines")
    st.markdown(
        text(
            "**First**: the straight way of the cut through the space of weights, from the dense point at 0 to the "
            "pruned one at 1. **Second**: one random direction, each layer's step scaled to the size of its weights, "
            "so that networks of different scale can be compared."
        )
        if lines[0]
        else text(
            "One random direction, each layer's step scaled to the size of its weights, so that networks of different "
            "scale can be compared."
        )
    )

curve = reading.arrays(entry, f"sparsity-t{task}")
if curve is not None and config.sparsity > 0:
    st.header(text("How far each cut goes, and where it lands"))
    levels = frames.sparsity(curve)
    st.markdown(
        text(
            "The slices above belong to this run's own cut, %(sparsity).3g %%. A deeper cut is a longer step in "
            "another direction; here each level is one point.",
            sparsity=100 * config.sparsity,
        )
    )
    widgets.scrub(
        levels["level"].to_numpy(),
        config.sparsity,
        lambda index: [sparsity.how_far(levels, index), sparsity.rise(levels, index, config.sparsity)],
        key="landscape-level",
    )
    st.caption(text("A rise at or below zero has no place on a log axis and is left out."))
