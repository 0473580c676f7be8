import streamlit as st

from app import analysing, curvature_frames, frames, measured, pickers, reading, results, session, sharpness, widgets
from app.figures import curvature
from app.language import text

st.title(text("How sharp is the loss?"))
entry = session.chosen()
record = reading.record(entry)
frame, config = measured.curvature_of(entry), record.config
widgets.facts(entry, record)
if frame.empty:
    off = text("This run measures no curvature (curvature.top is 0)")
    what = off if config.curvature.top == 0 else text("No curvature has been measured yet")
    analysing.missing(entry, what, "spectrum", results.last_task(record))
left, right = st.columns([2, 3], gap="large", vertical_alignment="bottom")
with left:
    task = pickers.task_picker(record, about=results.where_looked(config))
with right:
    beside = pickers.beside_picker(entry, session.listed())
analysing.follow(entry)
runs = sharpness.measured_of(entry, beside)

sharpness.points(runs, task)
left, right = st.columns(2, gap="large")
with left:
    st.markdown(
        text(
            "**Why two scales.** $\\lambda_{\\max}$ changes when a network is merely rescaled, though what it computes "
            "does not (Dinh et al. 2017). $\\lambda_{\\max} |\\theta|^2$ undoes one factor for all weights, so that a "
            "method that shrinks them no longer looks sharper than it is; factors that differ from layer to layer it "
            "does not undo, as the third experiment shows."
        )
    )
with right:
    if any("survivors" in set(part["where"]) for _, part in runs):
        st.markdown(text(sharpness.SURVIVORS))

st.header(text("The sharpest directions, and the loss along them"))
sharpness.slices(entry, frame, task)

if any(one.config is not None and one.config.sparsity > 0 for one, _ in runs):
    st.header(text("Where the cut goes"))
    sharpness.directions(runs, task)
cuts = frames.pruning(record.events)
if not cuts.empty:
    widgets.table(frames.cuts(cuts), text("The cut of each task in numbers"), key="cuts")

st.header(text("The whole spectrum"))
sharpness.density(entry, task)
sharpness.estimate(entry, task)

st.header(text("Task by task"))
measure = widgets.choice(text("Measure"), curvature.MEASURES, key="measure")
widgets.draw(*sharpness.tops(runs, config.tasks, measure), key="tops")
st.caption(
    text(
        "The largest eigenvalue of the Hessian of the mean loss on the landscape pool of each task, on one scale for "
        "both runs."
    )
    if len(runs) > 1
    else text("The largest eigenvalue of the Hessian of the mean loss on the landscape pool of each task.")
)

st.header(text("How well these numbers are known"))
sharpness.check(entry, frame, task)
widgets.table(
    curvature_frames.measurements(frame),
    text("Residuals, products and convergence of every measurement"),
    key="measured",
)
sharpness.files(entry, frame, task)
