import streamlit as st

from app import frames, reading, results, widgets
from app.figures import accuracy
from app.wording import percent, points

st.title("Does it remember?")
entry = reading.chosen()
record = reading.record(entry)
summary, config = results.summary(record), record.config
rows = summary["accuracy_matrix"]
widgets.facts(entry, record)
if not rows:
    widgets.wait(entry, "No task has been learned yet")
known = config.scenario == "class" and st.toggle("Tell the network which task an image is from", key="task-known")
if known:
    rows = summary["accuracy_matrix_task"]

numbers, chance = results.transfer(rows, config), results.chance(record, task_known=known)
labels = ("Average accuracy", "Learning accuracy", "Backward transfer, points", "Forgetting, points")
forms = (percent, percent, points, points)
widgets.metrics([(label, form(numbers[n]), results.HELP[n]) for n, label, form in zip(results.FOUR, labels, forms)])

left, right = st.columns([3, 2], gap="large")
with left:
    widgets.draw(accuracy.over_sequence(rows, chance), key="sequence")
with right:
    st.markdown(
        "Each line is one task. It begins where the task was learned; how far it falls afterwards is what learning "
        "the later tasks has cost. **A flat line is a task that is not forgotten.**"
    )
    if results.prunes_by_one_cut(config):
        st.markdown(
            f"{results.when_cut(config)} the network is cut to {percent(1 - config.sparsity, 0)} of its prunable "
            "weights, in one shot. Every number here is measured at the end of a task, with only those weights."
        )
    if config.scenario == "class" and config.method == "finetune":
        st.markdown(
            "Fine-tuning answers with the classes it saw last: 0 % on earlier tasks is what it does in class-IL."
        )

st.header("The accuracy matrix")
left, right = st.columns([3, 2], gap="large")
with left:
    widgets.draw(accuracy.matrix(rows, tasks=config.tasks, low=chance, basis=460), key="matrix")
with right:
    st.markdown(
        "Read a **row** to see everything the network can do at one time, and a **column** to see the fate of one "
        "task. The diagonal is each task just after it was learned; below it lies what later tasks left of it. A task "
        "further right than its row has not been learned yet."
    )
    st.caption(
        f"Percent of images answered rightly. The shade runs from guessing, {percent(chance, 0)}, to 100 %. Tasks "
        "count from 1 on these pages; `esacl show`, `--task` and the files of a run count them from 0."
    )

others = results.comparable(entry, reading.entries())[:7]
if others:
    st.header("Beside other runs")
    ends = [(results.named(e), e.config.method, results.final(e)) for e in [entry, *others] if e.config]
    shown = [(name, method, final["average_accuracy"]) for name, method, final in ends if final]
    widgets.draw(accuracy.compared(shown), key="compared")
    st.caption("Same benchmark, scenario and tasks. One run each: a difference of a point may well be chance.")
widgets.table(frames.matrix(rows), "The numbers of the matrix", key="matrix-table")
