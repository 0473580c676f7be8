import streamlit as st

from app import frames, reading, results, widgets
from app.drawing import number, percent
from app.figures import curvature

entry = reading.chosen()
record = reading.record(entry)
frame, config = frames.curvature(record.events), record.config
st.title("How sharp is the loss?")
widgets.facts(entry, record)
if frame.empty:
    off = config.curvature.top == 0
    widgets.wait(
        entry, "This run measures no curvature (curvature.top is 0)" if off else "No curvature has been measured yet"
    )

left, right = st.columns(2, gap="large", vertical_alignment="bottom")
with left:
    measure = st.segmented_control(
        "Measure",
        list(curvature.MEASURES),
        default="lambda_max",
        required=True,
        key="measure",
        format_func=curvature.MEASURES.get,
        persist_state="session",
        help="λ_max changes when a network is merely rescaled (Dinh et al. 2017); times |θ|² it does so much less.",
    )
with right:
    beside = widgets.beside_picker(entry, reading.entries())
panels = [(results.named(entry), frame)]
if beside is not None:
    other = frames.curvature(reading.record(beside).events)
    if not other.empty:
        panels.append((results.named(beside), other))
scale = curvature.shared_scale([part for _, part in panels], measure)
widgets.draw(curvature.legend(), key="legend")
widgets.draw(
    *(curvature.tops(part, config.tasks, name, measure=measure, scale=scale) for name, part in panels), key="tops"
)
st.caption(
    "One scale for both. λ_max is the largest eigenvalue of the Hessian of the mean loss on the landscape pool of the task."
)

left, right = st.columns(2, gap="large")
with left:
    st.header("Reading it honestly")
    st.markdown(
        "Three numbers a task. **Dense**: before the cut. **Pruned**: after it, with the removed weights still free to move "
        "in the Hessian. **Survivors only**: the Hessian restricted to the weights that are left, which is where training "
        "can go from here. Restricting alone can only lower $\\lambda_{\\max}$ (Cauchy interlacing), so a lower third number "
        "is no merit of a method."
    )
    st.markdown(
        "SDP need not make the network flatter. What it does is to make the cut **short** and to keep it **out of the sharp "
        "directions**: compare the step from dense to pruned in the two panels, and the length $|d|$ in the table below."
    )
with right:
    task = widgets.task_picker(config.tasks)
    widgets.draw(curvature.spectrum(frame, task), key="spectrum")

cuts = frames.pruning(record.events)
if not cuts.empty:
    st.header("The cut of each task")
    st.dataframe(frames.cuts(cuts), hide_index=True, key="cuts", alt="The cut of each task in numbers")
check = frames.cross_check(frame)
st.header("How well these numbers are known")
if check.empty:
    st.markdown("This run holds no cross-check by PyHessian.")
else:
    worst = check.loc[check["difference"].idxmax()]
    st.markdown(
        f"Lanczos and **PyHessian** measured the dense point independently: over {len(check)} tasks they differ by at most "
        f"{percent(float(worst['difference']), 2)} (task {int(worst['task']) + 1}: {number(worst['lanczos'], 4)} and "
        f"{number(worst['pyhessian'], 4)})."
    )
widgets.table(
    frames.measurements(frame), "Residuals, products and convergence of every measurement", key="curvature-table"
)
