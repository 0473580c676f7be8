import streamlit as st

from app import comparing, comparison, literature, reading, report, session, widgets
from app.figures import compared
from app.language import text

st.title(text("Which method, at what cost?"))
entry = session.chosen()
reading.record(entry)  # a run that cannot be read is said here as on every page
left, right = st.columns([2, 3], gap="large")
with left:
    of, every = comparing.family_picker(entry, session.listed())
with right:
    found = comparing.groups_picker(every.groups, of, entry.run_id)
st.caption(
    text(
        "Finished runs that differ in their seed alone are one method here: mean ± sample standard deviation over n "
        "seeds. Runs of another benchmark, scenario or number of tasks are other problems and never share an axis with "
        "these. A rate that nobody tuned makes a method look worse than it is: on digits and MNIST all begin at 0.05."
    )
)
if not found:
    widgets.say("info", text("Choose at least one method above."))
    st.stop()
known = of[1] == "class" and st.toggle(text("Tell the network which task an image is from"), key="task-known")
if apart := comparison.unequal(found):
    widgets.say("warning", apart)
comparing.table(found)
if several := comparison.mixed(found):
    st.caption(widgets.plain(several))
comparing.exports(found, of)

st.header(text("What does an accuracy cost?"))
axis = widgets.choice(text("Accuracy against"), {name: axis[0] for name, axis in comparison.AXES.items()}, key="axis")
kept = comparing.keeper(every, found, known)
frame = kept("costs", lambda: comparison.tradeoff(found, axis, task_known=known), axis)
marks = report.published(found, task_known=known)
if frame.empty:
    widgets.say("info", text("None of these runs says so."))
else:
    drawn = kept("tradeoff", lambda: (compared.tradeoff(frame, axis, marks), compared.legend(frame)), axis)
    widgets.draw(*comparing.to_save(of, axis, drawn[0], key=drawn[1]), drawn[1], key="tradeoff")
st.caption(
    text(
        "**Ringed: on the Pareto front**, that is, none of the others is as accurate for less; joint training, which "
        "sees all tasks at once, stands beside it. The thin line is what can be had at each cost, bars are ± one "
        "standard deviation. FLOPs are counted, with every extra billed and replay at its full cost; the published "
        "rule bills a replayed example at a third of that, and leaves out Fisher information with its scoring, the "
        "distillation teacher and the gradients uphill of sharpness-aware steps."
    )
)
if marks:
    st.caption(literature.caption(marks, of[1] == "task"))

st.header(text("How does it get there?"))
on_tasks = kept("on-tasks", lambda: comparison.on_tasks(found, task_known=known))
if on_tasks.empty:
    widgets.say("info", text("None of these runs has learned a task."))
    st.stop()
curves, each = kept("curves", lambda: comparing.curves(found, on_tasks, of[2], task_known=known))
legend = compared.legend(on_tasks)
widgets.draw(legend, key="curves-key")
widgets.draw(*comparing.to_save(of, "tasks", *curves, key=legend), key="curves")
st.markdown(
    text(
        "First the mean over the tasks learned so far; it falls where tasks are forgotten, and where a task is hard. "
        "Then what is left of each task in the end. Below, each task from where it was learned, all on one scale."
    )
)
widgets.draw(*comparing.to_save(of, "each-task", *each, key=legend), key="each-task", even=True)
widgets.table(
    on_tasks.assign(after=on_tasks["after"] + 1, on=on_tasks["on"] + 1), text("The numbers"), key="compared-curves"
)
