import streamlit as st

from app import analysing, frames, gate, instances, pickers, reading, session, widgets
from app.experiments import hard_examples
from app.figures import training
from app.language import text
from app.wording import percent

st.title(text("Which instances tell?"))
entry = session.chosen()
record = reading.record(entry)
config = record.config
widgets.facts(entry, record)
task = pickers.task_picker(record, about=text("From the training images of task"))
analysing.follow(entry)
arrays = reading.arrays(entry, f"selection-t{task}")
if arrays is None:
    nothing = text("Nothing has been selected for task %(task)d", task=task + 1)
    analysing.missing(entry, nothing, "selection", task)
pool = frames.pool(arrays)
chosen = pool[pool["chosen"]]
told = {"pool": len(pool), "chosen": len(chosen), "share": percent(len(chosen) / max(1, len(pool)), 0)}
st.markdown(
    text(
        "To see the shape of the loss one need not look at every image. From a pool of **%(pool)d**, IDS drew "
        "**%(chosen)d** (%(share)s), the likelier the higher their score, and gave each the weight that undoes the "
        "preference. Below, the same number is taken in other ways. **Which of them would you trust?**",
        **told,
    )
)
known = "estimate_names" in arrays
above = st.container()
guess = hard_examples.ask(entry, len(chosen)) if known else None
hidden = known and guess is None
with above:
    instances.choices(entry, task, arrays, pool, config.ids.score, estimated=not hidden, key=f"choices-t{task}")
if guess is not None:
    hard_examples.reveal(guess, frames.estimates(arrays))

left, right = st.columns(2, gap="large")
with left:
    if hidden:
        st.caption(text("Once you have committed to an answer above, you can read here why it comes out as it does."))
    else:
        instances.why_biased()
with right:
    if config.ids.score == "ggn-trace":
        st.markdown(
            text(
                "The score of IDS is what an image brings to the curvature: the trace of the last layer's "
                "Gauss–Newton matrix, $\\sum_c p_c(1-p_c)\\,(|\\phi|^2+1)$. It needs no label. Images that the "
                "network is sure of bring next to nothing."
            )
        )
    st.markdown(
        text(
            "EL2N is the length of the error, $|p-y|$, here times $\\sqrt{|\\phi|^2+1}$, which makes it the gradient "
            "of the last layer. Keeping the highest of it is the usual choice of “hard examples” (after Paul et al. "
            "2021)."
        )
    )
opens_below = gate.opens_below(record.events, config.ids.train_fraction)
ratios = training.gate(frames.thinned(frames.losses(record.events)), config.tasks, opens_below)
if ratios is not None:
    st.header(text("Was it worth choosing while training?"))
    widgets.draw(ratios, key="gate")
    st.markdown(
        text(
            "The second moment of a gradient from the chosen images over that from as many random ones. Below the "
            "line choosing pays, with the cost of the scores, and the gate lets IDS choose. Where the gradients are "
            "nearly equal the ratio is near 1: there it takes somewhat more random images, for the same FLOPs."
        )
    )
widgets.table(pool.drop(columns=["thumbnail"]), text("Every instance of the pool"), key="pool-table")
