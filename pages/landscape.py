import streamlit as st

from app import analysing, frames, measured, pickers, reading, widgets
from app.figures import landscape, planes, slices, sparsity

st.title("What does the loss look like there?")
entry = reading.chosen()
record = reading.record(entry)
config = record.config
widgets.facts(entry, record)
left, right = st.columns(2, gap="large", vertical_alignment="bottom")
with left:
    task = pickers.task_picker(record, about="After learning task")
arrays = reading.arrays(entry, f"landscape-t{task}")
if arrays is None:
    off = "This run slices no landscape (curvature.grid is 0)"
    what = off if config.curvature.grid == 0 else f"The landscape of task {task + 1} has not been recorded"
    analysing.missing(entry, what, "landscape", task)
with right:
    quantity = widgets.choice("Show", slices.quantities(arrays), key="quantity")
lines = slices.along_pruning(arrays, quantity), slices.random_lines(arrays, quantity)
widgets.draw(*lines, key="lines")
st.markdown(
    (
        "**Left**: the straight way of the cut through the space of weights, from the dense point at 0 to the pruned "
        "one at 1. **Right**: one"
        if lines[0]
        else "One"
    )
    + " random direction, each layer's step scaled to the size of its weights (Li et al. 2018), so that networks of "
    "different scale can be compared. These are slices, not the whole landscape: what lies beside them is not seen."
)

st.header("In two dimensions")
found = planes.planes(arrays)
if not found:
    widgets.wait(entry, "This task has no two-dimensional slices")
left, middle, right = st.columns([3, 2, 2], gap="large", vertical_alignment="bottom")
with left:
    chosen = widgets.choice("Slice", planes.slices(found), key="slice")
with middle:
    view = widgets.choice("View", {"contour": "From above", "surface": "In 3-D"}, key="view")
with right:
    locked = st.toggle("One colour scale for all tasks", value=True, key="locked", persist_state="session")
shown = [found[name] for name in (("plane_dense", "plane_pruned") if chosen == "around" else (chosen,))]
limits = planes.limits(measured.all_planes(entry, config.tasks) if locked else list(found.values()))
figure = landscape.surface if view == "surface" else landscape.contour
for column, plane in zip(st.columns(len(shown), gap="large"), shown):
    with column:
        st.markdown(f"**{plane.title.capitalize()}**")
        alt = f"The loss {plane.title}, {view}; colours from {limits[0]:.3g} to {limits[1]:.3g} nats"
        st.plotly_chart(figure(plane, limits), key=f"{view}-{plane.name}", alt=alt, config={"displaylogo": False})
        if plane.holes:
            st.caption(f"{plane.holes} points have no finite loss and are left blank.")
st.caption(
    "Colours are logarithmic in the loss and locked, so that pictures can be compared; more than a thousand times the "
    "lowest is drawn as the highest. The loss is estimated from the instances that IDS chose; the random directions "
    f"come from seed {config.seed}."
)

curve = reading.arrays(entry, f"sparsity-t{task}")
if curve is not None and config.sparsity > 0:
    st.header("How far each cut goes, and where it lands")
    levels = frames.sparsity(curve)
    st.markdown(
        f"The slices above belong to this run's own cut, {100 * config.sparsity:.3g} %. A deeper cut is a longer step "
        "in another direction; here each level is one point."
    )
    widgets.scrub(
        levels["level"].to_numpy(),
        config.sparsity,
        lambda index: [sparsity.how_far(levels, index), sparsity.rise(levels, index, config.sparsity)],
        key="landscape-level",
    )
