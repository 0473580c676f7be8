import streamlit as st

from app import frames, gate, inside, measured, pickers, reading, session, widgets
from app.figures import curvature
from app.figures import inside as figures
from app.language import text

st.title(text("What happens inside a task?"))
entry = session.chosen()
record = reading.record(entry)
config = record.config
widgets.facts(entry, record)
task = pickers.task_picker(record, about=text("While learning task"))
arrays = reading.arrays(entry, f"sparsity-t{task}")
layers = tuple(map(str, frames.layer_densities(arrays))) if arrays else ()
found = reading.once(
    lambda: inside.inside(record.events, task, inside.at_cut(arrays, config.sparsity), layers), "inside", [entry], task
)
if found is None:
    widgets.wait(entry, text("Task %(task)d has told nothing of its steps", task=task + 1))
one = found
if config.sparsity > 0:
    story = inside.STORY if config.method == "esacl" else inside.OTHER_STORY
    st.markdown(text(story))
else:
    st.markdown(text("This run cuts nothing: there is its loss, its learning rate, and no mask that could move."))

drawn = reading.once(
    lambda: figures.drawings(
        one,
        inside.others(record.events, config.tasks, task),
        task,
        config.tasks,
        gate.opens_below(record.events, config.ids.train_fraction),
    ),
    "inside-figures",
    [entry],
    task,
)
widgets.step(
    text("Optimiser step"),
    one.names,
    [drawing for drawing in drawn if drawing],
    figures.facts(one),
    key="inside",
    marked=(one.cut, text("after the cut")) if one.cut is not None else None,
    interval=inside.PLAY,
)

sharp = measured.curvature_of(entry)
if len(sharp):
    st.header(text("Sharpness, task after task"))
    left, right = st.columns([3, 2], gap="large")
    with left:
        title = curvature.when(config.sparsity)
        drawing = reading.once(lambda: curvature.tops(sharp, config.tasks, title), "tops-of", [entry])
        widgets.draw(curvature.legend([sharp]), drawing, key="sharpness")
    with right:
        if one.looks["lambda_max"].isna().all():
            st.markdown(text(inside.ONCE))
        if one.pruned is not None:
            st.markdown(inside.cut_said(one.pruned))
