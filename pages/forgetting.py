import streamlit as st

from app import forgetting, frames, reading, results, session, widgets
from app.figures import accuracy
from app.language import text
from app.wording import brief, percent, points

st.title(text("Does it remember?"))
entry = session.chosen()
record = reading.record(entry)
summary, config = results.summary(record), record.config
rows = summary["accuracy_matrix"]
widgets.facts(entry, record)
if not rows:
    widgets.wait(entry, text("No task has been learned yet"))
known = config.scenario == "class" and st.toggle(text("Tell the network which task an image is from"), key="task-known")
if known:
    rows = summary["accuracy_matrix_task"]

numbers, chance = results.transfer(rows, config), results.chance(record, task_known=known)
labels = [text(name) for name in results.LABELS]
shown = zip(results.FOUR, labels, (percent, percent, points, points))
widgets.metrics([(label, form(numbers[n]), text(results.HELP[n])) for n, label, form in shown])

left, right = st.columns([3, 2], gap="large")
with left:
    widgets.draw(accuracy.over_sequence(rows, chance), key="sequence")
with right:
    st.markdown(
        text(
            "Each line is one task. It begins where the task was learned; how far it falls afterwards is what learning "
            "the later tasks has cost. **A flat line is a task that is not forgotten.**"
        )
    )
    if results.prunes_by_one_cut(config):
        st.markdown(
            text(
                "%(when)s the network is cut to %(kept)s of its prunable weights, in one shot. Every number here is "
                "measured at the end of a task, with only those weights.",
                when=results.when_cut(config),
                kept=brief(1 - config.sparsity),
            )
        )

st.header(text("The accuracy matrix"))
left, right = st.columns([3, 2], gap="large")
with left:
    widgets.draw(accuracy.matrix(rows, tasks=config.tasks, low=chance, basis=460), key="matrix")
with right:
    st.markdown(
        text(
            "Read a **row** to see everything the network can do at one time, and a **column** to see the fate of one "
            "task. The diagonal is each task just after it was learned; below it lies what later tasks left of it. A "
            "task further right than its row has not been learned yet."
        )
    )
    st.caption(
        text(
            "Percent of images answered rightly. The shade runs from guessing, %(chance)s, to 100 %%. Tasks count from "
            "1 on these pages; `esacl show`, `--task` and the files of a run count them from 0.",
            chance=percent(chance, 0),
        )
    )

st.header(text("Methods side by side"))
forgetting.methods(entry, chance, task_known=known)

st.header(text("How tightly should the past be held?"))
st.markdown(
    text(
        "After each task EsaCL ties every weight to where it was, the tighter the more the earlier tasks depend on it. "
        "**Where would you set it?** At 0 nothing is held and the past fades. The higher it is, the less is forgotten, "
        "and the less is left to learn with."
    )
)
forgetting.anchor_slider()

st.header(text("Why does fine-tuning fall to 0 % in class-IL?"))
forgetting.why_zero(config, rows)
widgets.table(frames.matrix(rows), text("The numbers of the matrix"), key="matrix-table")
