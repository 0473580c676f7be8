import streamlit as st

from app import analysing, deploying, reading, results, session, widgets
from app.figures import costs
from app.language import text
from app.wording import number, size

st.title(text("What does it weigh elsewhere?"))
entry = session.chosen()
record = reading.record(entry)
widgets.facts(entry, record)
task = results.last_task(record)
arrays = reading.arrays(entry, f"deployment-t{task}")
if arrays is None:
    analysing.missing(entry, text("Size and speed outside of training have not been measured yet"), "deployment", task)
analysing.follow(entry)
found = deploying.deployment(arrays)
dense = found.sizes["safetensors"]

st.header(text("As a file"))
left, right = st.columns(2, gap="large")
with left:
    widgets.draw(
        costs.bars(
            deploying.files(found),
            text("bytes of the network"),
            text("bytes"),
            size,
            against=dense,
            against_name=text("dense safetensors"),
        ),
        key="files",
    )
with right:
    st.markdown(
        text(
            "A dense file keeps every zero. The **compact sparse file** keeps the weights that are left, and where "
            "they are in the shortest of three ways: a bit an entry, a byte for the gap to the one before, or rows and "
            "columns. It is read by a page of numpy without this package."
        )
    )
    st.markdown(text("Here: ") + deploying.smaller(found))

st.header(text("How fast it answers"))
batches = list(next(iter(found.seconds.values())))
for batch, column in zip(batches, st.columns(len(batches), gap="large")):
    with column:
        widgets.draw(
            costs.bars(
                deploying.times(found, batch),
                text("batch of %(n)s", n=batch),
                text("seconds"),
                deploying.milliseconds,
                against=found.time(deploying.DENSE, batch),
                against_name=text("PyTorch, dense"),
                small=True,
            ),
            key=f"times-{batch}",
        )
        st.markdown(deploying.verdict(found, batch))
layers = ", ".join(found.sparse_layers) or text("none")
st.caption(
    widgets.plain(
        text(
            "Median of %(rounds)s rounds in which the engines take turns, on the processor of the machine that "
            "measured, by %(threads)s threads; in brackets: of PyTorch, dense. Sparse layers: %(layers)s. Largest "
            "difference of a logit: %(apart)s. The network is that at the last cut, with its zeros.",
            rounds=len(found.seconds[deploying.DENSE][batches[0]]),
            threads=found.threads,
            layers=layers,
            apart=number(max(found.apart.values()), 2),
        )
    )
)
analysing.offer(
    entry,
    text("These numbers belong to the machine that measured them"),
    "deployment",
    {"task": task, "points": None},
    label=text("Measure again"),
    boxed=False,
)

st.header(text("Take it along"))
if entry.recorded:
    st.caption(text("This run came with the project, without its checkpoints; a run of your own can be exported."))
else:
    st.markdown(
        text(
            "The network of a finished run, with a model card beside it. What is written is read back first, and has "
            "to answer every evaluation example as the run's own network does."
        )
    )
    lines = [f"esacl export {entry.run_id} network.{form} --format {form}" for form in deploying.FORMATS]
    st.code("\n".join(lines), language="bash")
