import streamlit as st

from app import frames, reading, widgets
from app.drawing import percent
from app.figures import selection

entry = reading.chosen()
record = reading.record(entry)
config = record.config
st.title("Which instances tell?")
widgets.facts(entry, record)
task = widgets.task_picker(config.tasks, about="From the training images of task")
arrays = reading.arrays(entry, f"selection-t{task}")
if arrays is None:
    widgets.wait(entry, f"Nothing has been selected for task {task + 1}")
pool = frames.pool(arrays)
chosen = pool[pool["chosen"]]
st.markdown(
    f"To see the loss landscape one need not look at every image. From a pool of **{len(pool)}**, IDS drew "
    f"**{len(chosen)}** ({percent(len(chosen) / max(1, len(pool)), 0)}), the likelier the higher their score, and gave each the weight that undoes "
    "the preference, $1/(n\\,p)$. So the mean stays right, and the few that matter are nearly always among them."
)

left, right = st.columns([3, 2], gap="large")
with left:
    st.header("The highest scores")
    order = st.segmented_control(
        "Show",
        ["highest scores", "chosen", "not chosen"],
        default="highest scores",
        required=True,
        key="show",
        label_visibility="collapsed",
        persist_state="session",
    )
    part = {"highest scores": pool, "chosen": chosen, "not chosen": pool[~pool["chosen"]]}[order]
    images = arrays.get("thumbnails")
    if images is not None:
        widgets.draw(selection.thumbnails(part.sort_values("score", ascending=False), images), key="images")
    st.caption(f"Framed: chosen. The number is the score ({config.ids.score}); point at an image for its weight.")
with right:
    st.header("By their scores")
    widgets.draw(selection.scores(pool), key="scores")
    st.markdown(
        "The score is the part of the curvature that an image brings: the trace of the last layer's Gauss–Newton matrix, "
        "$\\sum_c p_c(1-p_c)\\,(|\\phi|^2+1)$, from one forward pass. Images that the network is sure of bring next to nothing."
        if config.ids.score == "ggn-trace"
        else "The higher the score, the likelier an image is drawn."
    )

st.header("What would each way of choosing have told?")
left, right = st.columns([3, 2], gap="large")
with left:
    if "estimate_names" in arrays:
        estimates = frames.estimates(arrays)
        widgets.draw(selection.estimates(estimates), key="estimates")
        draws = int(estimates["draws"].max())
        st.caption(
            f"The dotted line is the whole pool. Mean ± standard deviation over {draws} draws each; percent: signed bias."
        )
    else:
        st.caption("This run measures no curvature, so there is nothing to estimate.")
with right:
    st.markdown(
        "**Weighted sampling** comes close from a fraction of the images. **Random** images of the same number are right on "
        "average and wrong each time. **The highest scores without weights**, the usual “hard examples”, are not an "
        "estimate at all: they see a far sharper loss than there is."
    )
    st.markdown(
        "$\\lambda_{\\max}$ is not linear in the data, so even the weighted estimate is biased upward a little; the bias is shown with its sign."
    )

left, right = st.columns(2, gap="large")
with left:
    st.header("Class balance")
    widgets.draw(selection.balance(frames.balance(pool)), key="balance")
with right:
    st.header("Where they lie")
    widgets.draw(selection.embedding(pool, sorted(pool["class_name"].unique())), key="embedding")
    st.caption("Features before the last layer, first two principal components. Filled: chosen; larger: more weight.")
widgets.table(pool.drop(columns=["thumbnail"]), "Every instance of the pool", key="pool-table")
