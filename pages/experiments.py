import streamlit as st

from app import experiments, reading, session, widgets
from app.language import text

st.title(text("Predict, then look"))
entry = session.chosen()
record = reading.record(entry)
widgets.facts(entry, record)
st.markdown(
    text(
        "Six experiments on what these pages show. Commit to an answer before you see one: an expectation that failed "
        "is remembered longer than a figure. Every answer is computed from the runs shown, and says so where they "
        "contradict what theory leads one to expect."
    )
)
experiments.show(experiments.picker(), entry, record)
