import streamlit as st

from app import analysing, frames, pickers, reading, widgets
from app.figures import selection, training
from app.wording import percent

st.title("Which instances tell?")
entry = reading.chosen()
record = reading.record(entry)
config = record.config
widgets.facts(entry, record)
task = pickers.task_picker(record, about="From the training images of task")
arrays = reading.arrays(entry, f"selection-t{task}")
if arrays is None:
    analysing.missing(entry, f"Nothing has been selected for task {task + 1}", "selection", task)
pool = frames.pool(arrays)
chosen = pool[pool["chosen"]]
share = percent(len(chosen) / max(1, len(pool)), 0)
st.markdown(
    f"To see the shape of the loss one need not look at every image. From a pool of **{len(pool)}**, IDS drew "
    f"**{len(chosen)}** ({share}), the likelier the higher their score, and gave each the weight that undoes the "
    "preference. So means stay right, and the few images that matter are nearly always among the chosen."
)

left, right = st.columns([3, 2], gap="large")
with left:
    st.header("The images")
    parts = {"all": pool, "chosen": chosen, "left out": pool[~pool["chosen"]]}
    show = widgets.choice("Highest scores first", {name: name.capitalize() for name in parts}, key="show")
    if "thumbnails" in arrays:
        first = parts[show].sort_values("score", ascending=False)
        widgets.draw(selection.thumbnails(first, arrays["thumbnails"]), key="images")
    st.caption(f"Framed: chosen. The number is the score ({config.ids.score}); point at an image for its weight.")
with right:
    st.header("Their scores")
    widgets.draw(selection.scores(pool), key="scores")
    if config.ids.score == "ggn-trace":
        st.markdown(
            "The score is what an image brings to the curvature: the trace of the last layer's Gauss–Newton matrix, "
            "$\\sum_c p_c(1-p_c)\\,(|\\phi|^2+1)$. Images that the network is sure of bring next to nothing."
        )

st.header("What would each way of choosing have told?")
left, right = st.columns([3, 2], gap="large")
with left:
    if "estimate_names" in arrays:
        estimates = frames.estimates(arrays)
        widgets.draw(selection.estimates(estimates), key="estimates")
        st.caption(
            f"The dotted line is the truth, from the whole pool. The others: mean ± standard deviation over "
            f"{int(estimates['draws'].max())} draws (the highest scores are always the same); percent: signed bias."
        )
with right:
    st.markdown(
        "**Weighted sampling** gets its few images right because it asks often where much is to be learned, and "
        "weighs the answers. **Random** images may be right on average and far off in a single draw. **The highest "
        "scores without weights**, the usual “hard examples”, are no estimate of this loss at all."
    )
    st.markdown(
        "$\\lambda_{\\max}$ is not linear in the data, so a small sample is biased upward; the bias is shown signed."
    )

left, right = st.columns(2, gap="large")
with left:
    st.header("Class balance")
    widgets.draw(selection.balance(frames.balance(pool)), key="balance")
    st.caption("Weights undo the preference on average over draws; within one draw classes need not balance.")
with right:
    st.header("Where they lie")
    widgets.draw(selection.embedding(pool, sorted(pool["class_name"].unique())), key="embedding")
    st.caption("Features before the last layer, two principal components. Filled: chosen; larger: more weight.")
gate = training.gate(frames.thinned(frames.losses(record.events)), config.tasks)
if gate is not None:
    st.header("Was it worth choosing while training?")
    widgets.draw(gate, key="gate")
    st.markdown(
        "The variance of a gradient from the chosen images over that from as many random ones. Where it is low, "
        "choosing pays and the gate lets IDS choose; where the gradients are nearly equal, random images do as well."
    )
widgets.table(pool.drop(columns=["thumbnail"]), "Every instance of the pool", key="pool-table")
