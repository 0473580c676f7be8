import streamlit as st

from app.language import text
from app.lesson import bounds, steps

st.title(text("What does a cut cost?"))
with st.container(key="lead"):
    st.markdown(
        text(
            "A cut sets weights to zero, and the loss rises. This page takes that rise apart: on two weights, where "
            "all of it can be seen and dragged, and then on the run that is chosen above, with its own numbers."
        )
    )
steps.the_step()
steps.the_expansion()
steps.the_direction()
steps.the_failure()
steps.the_remedy()
bounds.table()
bounds.on_the_run()
