import streamlit as st

from app import analysing, deploy_panels, deploying, reading, results, session, widgets
from app.language import text

st.title(text("What does it weigh elsewhere?"))
entry = session.chosen()
record = reading.record(entry)
widgets.facts(entry, record)
task = results.last_task(record)
arrays = reading.arrays(entry, f"deployment-t{task}")
if arrays is None:
    analysing.missing(entry, text("Size and speed outside of training have not been measured yet"), "deployment", task)
analysing.follow(entry)
found = deploying.deployment(arrays)

st.header(text("As a file"))
deploy_panels.as_files(found)

st.header(text("How fast it answers"))
deploy_panels.answers(found)
deploy_panels.inside()
analysing.offer(
    entry,
    text("These numbers belong to the machine that measured them"),
    "deployment",
    {"task": task, "points": None},
    label=text("Measure again"),
    boxed=False,
)

st.header(text("Take it along"))
deploy_panels.take_along(entry, found, record.config, task)
