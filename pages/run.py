import streamlit as st

from app import live, session, starting, widgets
from app.language import text

st.title(text("Run"))
left, right = st.columns([2, 5], gap="large")
with left:
    widgets.quiet_header(text("Start a new one"), key="form")
    starting.form()
with right:
    entry = session.chosen()
    widgets.quiet_header(text("Follow"), key="follow")
    live.panel(entry)
    st.caption(
        text(
            "A run is a process of its own: it goes on when you change the page, close the tab or stop this server. "
            "The training loss is a mean over the steps since the point before it; accuracies are measured on images "
            "that were not trained on."
        )
    )
