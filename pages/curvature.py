import streamlit as st

from app import analysing, frames, measured, pickers, reading, results, widgets
from app.figures import curvature

st.title("How sharp is the loss?")
entry = reading.chosen()
record = reading.record(entry)
frame, config = measured.curvature_of(entry), record.config
widgets.facts(entry, record)
if frame.empty:
    off = "This run measures no curvature (curvature.top is 0)"
    what = off if config.curvature.top == 0 else "No curvature has been measured yet"
    analysing.missing(entry, what, "spectrum", results.last_task(record))

left, right = st.columns(2, gap="large", vertical_alignment="bottom")
with left:
    measure = st.segmented_control(
        "Measure",
        list(curvature.MEASURES),
        default="lambda_max",
        required=True,
        key="measure",
        format_func=lambda name: curvature.MEASURES[name],
        persist_state="session",
        help="λₘₐₓ changes when a network is merely rescaled (Dinh et al. 2017); times |θ|² it does so much less.",
    )
with right:
    beside = pickers.beside_picker(entry, reading.entries())
panels = [(results.named(e), measured.curvature_of(e)) for e in (entry, beside) if e is not None]
panels = [(name, part) for name, part in panels if not part.empty]
scale = curvature.shared_scale([part for _, part in panels], measure)
widgets.draw(curvature.legend(), key="legend")
tops = [curvature.tops(part, config.tasks, name, measure=measure, scale=scale) for name, part in panels]
widgets.draw(*tops, key="tops")
st.caption(
    "The largest eigenvalue of the Hessian of the mean loss on the landscape pool of each task"
    + (", on one scale for both runs." if len(panels) > 1 else ".")
)

left, right = st.columns(2, gap="large")
with left:
    st.header("Reading it honestly")
    st.markdown(
        "Three numbers a task. **Dense**: before the cut. **Pruned**: after it, with the removed weights still free "
        "to move in the Hessian. **Survivors only**: the Hessian restricted to the weights that are left, which is "
        "where training can go from here. Restricting alone can only lower $\\lambda_{\\max}$ (Cauchy interlacing), "
        "so a lower third number is no merit of a method."
    )
    st.markdown(
        "SDP need not make the network flatter. What it does is to make the cut **short** and to keep it **out of the "
        "sharp directions**: compare the step from dense to pruned, and the length $|d|$ in the table below."
    )
with right:
    st.header("More than the largest")
    task = pickers.task_picker(record)
    widgets.draw(curvature.spectrum(frame, task), key="spectrum")

cuts = frames.pruning(record.events)
if not cuts.empty:
    st.header("The cut of each task")
    widgets.grid(frames.cuts(cuts), "The cut of each task in numbers", key="cuts")
st.header("How well these numbers are known")
st.markdown(widgets.plain(frames.agreement(frames.cross_check(frame))))
widgets.table(frames.measurements(frame), "Residuals, products and convergence of every measurement", key="measured")
