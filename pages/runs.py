import streamlit as st

from app import gallery, run_panel, session, sweeps
from app.language import text

st.title(text("All runs"))
entry, found = session.shown(), session.listed()
run_panel.news()
left, right = st.columns([2, 1], gap="large")
with left:
    if found:
        gallery.show(found, entry)
    else:
        st.caption(text("There is no run yet: start one on the Run page, or import one."))
with right:
    if entry is not None:
        run_panel.panel(entry)
    run_panel.taking_in()
sweeps.show()
