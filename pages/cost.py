import streamlit as st

from app import bills, reading, results, widgets
from app.figures import costs
from app.wording import number, percent, size

st.title("What did it cost?")
entry = reading.chosen()
record = reading.record(entry)
widgets.facts(entry, record)
cost = results.summary(record)["cost"]
if cost["train_flops"] is None:
    widgets.wait(entry, "Nothing has been counted yet")

rivals, kept = bills.rivals(cost, record.events), bills.kept(cost, record.events)
dense, ewc = cost["train_flops_dense_sgd"], kept[-1].value if kept else None
widgets.metrics(
    [
        ("FLOPs of training", number(cost["train_flops"]), "Counted: two for each multiply-add, every extra billed."),
        ("Of dense SGD's", percent(cost["train_flops"] / dense, 0) if dense else "–", "The same steps, no weight cut."),
        ("Kept between tasks", size(kept[0].value if kept else None), "Weights, masks, anchors, rehearsal memory."),
        ("Time, measured", widgets.duration(cost["seconds"] or 0), "By the clock, with all that is only shown."),
        ("Most memory, measured", size(cost["peak_bytes"]), "Of the whole process: libraries and data too."),
    ]
)

st.header("Computation")
left, right = st.columns(2, gap="large")
with left:
    widgets.draw(
        costs.bars(rivals, "FLOPs of training", "FLOPs", number, against=dense, against_name="dense SGD"), key="rivals"
    )
    st.caption(
        "In brackets: of dense SGD's. Hatched: computed by the same counter from the images this run saw, not run. EWC "
        "is dense SGD and the gradients of its Fisher information; replay is each step at twice the batch."
    )
with right:
    st.markdown(
        "One dense step is counted exactly and scaled by the density of each layer. A sparse layer saves in the "
        "forward pass and in the gradient of its inputs; in the gradient of its weights only where nothing but "
        "survivors is trained. **A count is what could be saved**: hardware that multiplies by stored zeros saves "
        "nothing, which is why the clock is shown beside it."
    )
    shown, published = number(cost["analysis_flops"]), number(cost["train_flops_published_rule"])
    st.caption(
        f"As published tables bill it, 3F a fresh image and F a replayed one: {published} FLOPs. Curvature, slices and "
        f"whatever else is only shown: {shown} FLOPs, not billed to training."
    )

items, layers, total = bills.items(cost), bills.layers(cost), cost["train_flops"]
if not items:
    st.caption("Not itemised: this run was recorded before there were bills. A new run says where each FLOP goes.")
else:
    left, right = st.columns(2, gap="large")
    with left:
        widgets.draw(costs.bars(items, "for what", "FLOPs", number, against=total, against_name="all"), key="items")
        widgets.table(bills.as_frame(items, "FLOPs"), "The bill", key="bill")
    with right:
        drawn = costs.bars(layers, "in which layer", "FLOPs", number, against=total, against_name="all")
        widgets.draw(drawn, key="layers")
        widgets.table(bills.as_frame(layers, "FLOPs"), "By layer", key="bill-layers")

st.header("Memory")
left, right = st.columns(2, gap="large")
with left:
    widgets.draw(costs.bars(kept, "kept between tasks", "bytes", size, against=ewc, against_name="EWC"), key="kept")
with right:
    places = bills.places(cost)
    widgets.draw(costs.bars(places, "for what", "bytes", size, against=ewc, against_name="EWC"), key="places")
st.caption(
    "In brackets: of what dense EWC keeps, three numbers a weight. Counted: 4 bytes for a weight that is left, 4 for "
    "where it is anchored, 2 for how much it matters (4 under EWC), a bit for a place in a mask. Measured memory is "
    "that of the process, most of it the libraries."
)
