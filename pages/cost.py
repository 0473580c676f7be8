import streamlit as st

from app import beside, billing, bills, reading, results, session, widgets
from app.figures import costs, palette
from app.language import text
from app.wording import number, size

st.title(text("What did it cost?"))
entry = session.chosen()
record = reading.record(entry)
widgets.facts(entry, record)
cost = results.summary(record)["cost"]
if cost["train_flops"] is None:
    widgets.wait(entry, text("Nothing has been counted yet"))

look = palette.look(record.config.method)
rivals, kept = bills.rivals(cost, record.events, look), bills.kept(cost, record.events, look)
dense, ewc = cost["train_flops_dense_sgd"], kept[-1].value if kept else None
billing.totals(cost, kept)

st.header(text("Computation"))
left, right = st.columns(2, gap="large")
with left:
    widgets.draw(
        costs.bars(rivals, text("FLOPs of training"), "FLOPs", number, against=dense, against_name=text("dense SGD")),
        key="rivals",
    )
    st.caption(
        text(
            "In brackets: of dense SGD's. Pale, with an outline: computed by the same counter from the images this run "
            "saw, not run. EWC is dense SGD and the gradients of its Fisher information; replay is each step at twice "
            "the batch."
        )
    )
with right:
    st.markdown(
        text(
            "One dense step is counted exactly and scaled by the density of each layer. A sparse layer saves in the "
            "forward pass and in the gradient of its inputs; in the gradient of its weights only where nothing but "
            "survivors is trained. **A count is what could be saved**: hardware that multiplies by stored zeros saves "
            "nothing, which is why the clock is shown beside it."
        )
    )
    shown, published = number(cost["analysis_flops"]), number(cost["train_flops_published_rule"])
    st.caption(
        text(
            "As published tables bill it, 3F a fresh image and F a replayed one, and no Fisher information with its "
            "scoring, no distillation teacher, no gradient uphill of a sharpness-aware step: %(published)s FLOPs. "
            "Curvature, slices and whatever else is only shown: %(shown)s FLOPs, not billed to training.",
            published=published,
            shown=shown,
        )
    )

billing.itemised(cost)

st.header(text("Memory"))
left, right = st.columns(2, gap="large")
with left:
    widgets.draw(
        costs.bars(kept, text("kept between tasks"), text("bytes"), size, against=ewc, against_name="EWC"), key="kept"
    )
with right:
    places = bills.places(cost)
    widgets.draw(
        costs.bars(places, text("for what"), text("bytes"), size, against=ewc, against_name="EWC"), key="places"
    )
st.caption(
    text(
        "In brackets: of what dense EWC keeps, three numbers a weight. Counted: 4 bytes for a weight that is left, 4 "
        "for where it is anchored, 2 for how much it matters (4 under EWC), a bit for a place in a mask. Measured "
        "memory is that of the process, most of it the libraries."
    )
)
beside.panel(entry)
