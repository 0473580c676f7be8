import streamlit as st

from app import frames, reading, results, widgets
from app.figures import landscape, sparsity

entry = reading.chosen()
record = reading.record(entry)
config = record.config
st.title("What does the loss look like there?")
widgets.facts(entry, record)
task = widgets.task_picker(config.tasks, about="After learning task")
arrays = reading.arrays(entry, f"landscape-t{task}")
if arrays is None:
    off = config.curvature.grid == 0
    missing = (
        "This run slices no landscape (curvature.grid is 0)"
        if off
        else f"The landscape of task {task + 1} is not there yet"
    )
    widgets.wait(entry, missing)
quantity = "loss"
widgets.draw(landscape.along_pruning(arrays, quantity), landscape.random_lines(arrays, quantity), key="lines")
st.markdown(
    "**Left**: the straight way that the cut takes through the space of weights, from the dense point at 0 to the pruned "
    "one at 1. **Right**: a random direction, each layer's step scaled to the size of its weights (Li et al. 2018), so that "
    "networks of different scale can be compared. Both are slices, not the whole landscape: what lies beside them is not seen."
)

st.header("In two dimensions")
planes = landscape.planes(arrays, quantity)
if not planes:
    widgets.wait(entry, "This task has no two-dimensional slices")
left, middle, right = st.columns([3, 2, 2], gap="large", vertical_alignment="bottom")
with left:
    names = [*planes] if len(planes) < 3 else ["plane_pruning", "around"]
    chosen = st.segmented_control(
        "Slice",
        names,
        default=names[0],
        required=True,
        key=f"plane-{len(names)}",
        format_func=landscape.SLICES.get,
        persist_state="session",
    )
with middle:
    view = st.segmented_control(
        "View",
        ["contour", "surface"],
        default="contour",
        required=True,
        key="view",
        format_func=str.capitalize,
        persist_state="session",
    )
with right:
    locked = st.toggle("One colour scale for all tasks", value=True, key="locked", persist_state="session")
shown = [planes["plane_dense"], planes["plane_pruned"]] if chosen == "around" else [planes[chosen]]
every = results.all_planes(entry, config.tasks, quantity) if locked else list(planes.values())
limits = landscape.limits(every)
figure = landscape.surface if view == "surface" else landscape.contour
for column, plane in zip(st.columns(len(shown), gap="large"), shown):
    with column:
        title = landscape.PLANES[plane.name][0]
        st.markdown(f"**{title.capitalize()}**")
        alt = f"{view} of the {quantity} {title}, colours from {limits[0]:.3g} to {limits[1]:.3g}"
        st.plotly_chart(figure(plane, limits), key=f"{view}-{plane.name}", alt=alt, config={"displaylogo": False})
        if landscape.holes(plane):
            st.caption(f"{landscape.holes(plane)} points have no finite loss and are left blank.")
st.caption(
    "Colours are logarithmic in the loss and locked, so that pictures can be compared; higher than a thousand times the "
    "lowest is drawn as the highest. The random directions are drawn from the run's seed."
)

curve = reading.arrays(entry, f"sparsity-t{task}")
if curve is not None and config.sparsity > 0:
    st.header("How far each cut goes, and where it lands")
    levels = frames.sparsity(curve)
    st.markdown(
        f"The slices above were made for this run's own cut, {100 * config.sparsity:.3g} %. A deeper cut is a longer step in "
        "another direction; here is each level as one point."
    )
    widgets.scrub(
        levels["level"].to_numpy(),
        config.sparsity,
        lambda index: [sparsity.how_far(levels, index), sparsity.rise(levels, index, config.sparsity)],
        key="landscape-level",
    )
