"""The parts of the deploy page: bytes, times, and the way to take a network along."""

import streamlit as st

from app import deploying, widgets
from app.deploying import Deployment
from app.figures import costs
from app.language import listed, text
from app.reading import Entry
from app.wording import number, size
from esacl.config import RunConfig


def as_files(found: Deployment) -> None:
    """Bytes in each format."""
    dense = found.sizes["safetensors"]
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
                "they are in the shortest of three ways: a bit an entry, a byte for the gap to the one before, or rows "
                "and columns. It is read by a page of numpy without this package."
            )
        )
        st.markdown(text("Here: ") + f"{deploying.smaller(found)} {deploying.smallest(found)}")
        if told := deploying.widths(found):
            st.markdown(told)


def answers(found: Deployment) -> None:
    """Time of each engine at each batch size, and what it says."""
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
    layers = listed(found.sparse_layers) or text("none")
    st.caption(
        widgets.plain(
            text(
                "Median of %(rounds)s rounds in which the engines take turns, on the processor of the machine that "
                "measured, threads: %(threads)s; in brackets: of PyTorch, dense. Sparse layers: %(layers)s. Largest "
                "difference of a logit: %(apart)s. The network is that at the last cut, with its zeros.",
                rounds=len(found.seconds[deploying.DENSE][batches[0]]),
                threads=found.threads,
                layers=layers,
                apart=number(max(found.apart.values()), 2),
            )
        )
    )


def inside() -> None:
    """What sparsity does to the time of a run itself."""
    st.caption(
        text(
            "Inside of a run on a processor a large sparse MLP, and a CNN that has lost whole channels, train by what "
            "is left of them: a smaller dense network, of which survivors alone are updated. Where only right and "
            "wrong are counted, sparse MLPs answer by it too. Convolutions that have lost single weights multiply by "
            "their zeros. FLOPs on the Cost page count what a kernel that skips zeros would do."
        )
    )


def take_along(entry: Entry, found: Deployment, config: RunConfig, task: int) -> None:
    """The commands that export the network; where each task has its own, that of the task that was measured."""
    if entry.recorded:
        st.caption(text("This run came with the project, without its checkpoints; a run of your own can be exported."))
    else:
        st.markdown(
            text(
                "The network of a finished run, with a model card beside it. What is written is read back first, and "
                "has to answer every evaluation example as the run's own network does."
            )
        )
        more = " --shrink" if found.widths else ""
        if config.method == "packnet" or config.batchnorm.statistics == "task":
            more += f" --task {task}"
        lines = [f"esacl export {entry.run_id} network.{form} --format {form}{more}" for form in deploying.FORMATS]
        st.code("\n".join(lines), language="bash")
