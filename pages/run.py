import streamlit as st

from app import live, reading, starting

st.title("Run")
left, right = st.columns([2, 5], gap="large")
with left:
    st.subheader("Start a new one")
    starting.form()
with right:
    entry = reading.chosen()
    st.subheader("Follow")
    live.panel(entry)
    st.caption(
        "A run is a process of its own: it goes on when you change the page, close the tab or stop this server. "
        "The training loss is a mean over the steps since the point before it; accuracies are measured on images "
        "that were not trained on."
    )
