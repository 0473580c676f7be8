import streamlit as st

from app import analysing, frames, measured, pickers, reading, results, widgets
from app.drawing import Drawing
from app.figures import sparsity

st.title("How much can go?")
entry = reading.chosen()
record = reading.record(entry)
config = record.config
widgets.facts(entry, record)
left, right = st.columns([1, 2], gap="large", vertical_alignment="bottom")
with left:
    task = pickers.task_picker(record, about=results.where_looked(config))
name = f"sparsity-t{task}"
with right:
    beside = pickers.beside_picker(entry, reading.entries(), needs=name)
arrays = reading.arrays(entry, name)
if arrays is None:
    analysing.missing(entry, f"The sparsity curve of task {task + 1} has not been recorded", "sparsity", task)

curve, seen, densities = frames.sparsity(arrays), frames.accuracy_at_levels(arrays), frames.layer_densities(arrays)
target, chance = config.sparsity, [float(c) for c in arrays.get("chance", ())]
other = measured.curve_beside(beside, name)
one_cut = results.prunes_by_one_cut(config)
before = f"right before its cut ({results.when_cut(config).lower()})" if one_cut else "once it is learned"
st.markdown(
    f"The network of task {task + 1} {before}. Move the handle: every "
    "figure shows what **one cut at that level, and no training after it,** would do. The level goes with you to the "
    "other pages."
)


def figures(index: int) -> list[Drawing]:
    """Everything that depends on the level."""
    return [
        sparsity.accuracy(seen, index, target, chance, beside=other),
        sparsity.rise(curve, index, target),
        sparsity.how_far(curve, index),
        sparsity.layers(densities, index),
    ]


widgets.scrub(curve["level"].to_numpy(), target, figures, sparsity.facts(curve, seen), key="scrub")

left, right = st.columns(2, gap="large")
with left:
    st.header("What is a bound, and what is not")
    st.markdown(
        "The loss after the cut is expanded around the network before it, with $d = -(1-m)\\odot\\theta$. **The λ "
        "bound** $g^{\\top}d + \\tfrac12 \\sup\\lambda_{\\max}\\,|d|^2$ lies far above the true rise. It is a theorem "
        "for smooth activations when the supremum is over the whole way; here it is taken at a few points of it, and "
        "with ReLU it is an observation. **The output bound** looks at the network before the cut only: it expands "
        "the outputs along $d$ to third order, takes their cross-entropy as it is, and adds what the last two "
        "orders could do at their worst. Outputs bend far less along a cut than the loss does, so it is near where "
        "the λ bound is hundreds to thousands of times too large. It assumes that no more than that is left out: "
        "with softplus it held at every cut of our tests; with ReLU it is mostly a tenth too small, as derivatives "
        "do not see a kink ahead. **Taylor** $g^{\\top}d + \\tfrac12 d^{\\top}Hd$ costs one Hessian-vector product "
        "and is **no bound**: it ranks cuts well, and falls short when $d$ is long. **The path integral** adds up "
        "the gradient along the way: an identity, up to its four nodes, that tells where the loss rises; it is no "
        "cheaper than measuring the rise. **½ d'Hd alone**, Taylor without the gradient, is **no bound** either: "
        "it is often far below the true rise."
    )
    st.caption(
        "All of them are over the same instances, those that IDS chose; the thin line, the number above and |d| "
        "against the rise are over the whole pool; accuracies are measured on images that were not trained on. A rise "
        "at or below zero has no place on a log axis and is left out."
    )
with right:
    st.header("The weights, and the cut of this run")
    histogram = reading.arrays(entry, f"histogram-t{task}")
    if histogram is not None:
        widgets.draw(sparsity.weights(frames.histogram(histogram), target), key="weights")
        st.caption("Recorded at the run's own level only.")
        if config.pruning.saliency == "second-order":
            st.caption(
                "Size is not all: a large weight may go where the loss is flat, a small one stay where it is sharp."
            )
widgets.table(curve, "The numbers of the curves", key="curve-table")
