"""The controls that say what a new run shall be, and what they stand at where nobody has touched them."""

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import competing
from app.figures import palette
from app.language import marked, text
from esacl import accelerators, protocols
from esacl.config import (
    BENCHMARKS,
    METHOD_NAMES,
    NETWORK_NAMES,
    SDP_FORM_NAMES,
    SPARCL_BASE_NAMES,
    RunConfig,
    read_config,
)
from esacl.conflicts import BY_THE_WEIGHT
from esacl.defaults import STRUCTURED, TWO_OF_FOUR, form_of
from esacl.errors import InputError

DEFAULT = read_config(None, {})
_EXACT = 2**53  # from here on the browser rounds whole numbers
USUAL = ""  # the form of SDP that follows from the sparsity
ALLOCATIONS = {
    "global": marked("the least salient of all weights"),
    "erk": marked("ERK: more of large layers"),
    "uniform": marked("the same share of every layer"),
    "2:4": marked("two of every four (2:4)"),
    "neuron": marked("whole units: neurons, channels"),
}
SIZES = {
    "split-digits": marked("8×8 digits that come with scikit-learn: 5 tasks of 2 classes, about half a minute"),
    "split-mnist": marked("MNIST: 5 tasks of 2 classes, minutes on a laptop"),
    "permuted-mnist": marked("MNIST under another pixel order each task"),
    "split-cifar10": marked("CIFAR-10: 5 tasks of 2 classes, 1,600 images each, minutes on a laptop"),
    "split-cifar100": marked("CIFAR-100: 10 tasks of 10 classes, 2,000 images each"),
    "split-tiny-imagenet": marked("Tiny-ImageNet: the classes that are there in 5 tasks, 2,000 images each"),
}
LABELS = {  # setting -> its control, for errors, which speak of settings
    "epochs": marked("Epochs"),
    "seed": marked("Seed"),
    "tasks": marked("Tasks"),
    "anchor.strength": marked("Anchor strength"),
    "train_limit": marked("Training images a task, at most"),
    "buffer.size": marked("Rehearsal memory, images"),
}
PROTOCOLS = {
    "small": marked("small: minutes on two cores"),
    "der": marked("der: as the field's tables (Buzzega et al. 2020)"),
}


def choices() -> dict[str, Any]:
    """What the controls say. Numbers have no bounds here: the config knows them, and says what is wrong with one."""
    keep: dict[str, Any] = {"persist_state": "session"}
    benchmark = st.selectbox(
        text("Benchmark"), list(BENCHMARKS), key="new-benchmark", help="\n\n".join(map(text, SIZES.values())), **keep
    )
    facts = BENCHMARKS[benchmark]
    left, right = st.columns(2)
    scenarios = list(facts["scenarios"])
    scenario = left.selectbox(
        text("Scenario"),
        scenarios,
        key=f"new-scenario-{len(scenarios)}",
        format_func=lambda name: f"{name}-IL",
        help=text("task-IL: the task is known at test time. class-IL: it is not. domain-IL: the classes are shared."),
        **keep,
    )
    method = right.selectbox(text("Method"), METHOD_NAMES, key="new-method", format_func=palette.written, **keep)
    protocol = _protocol(benchmark)
    usual = usual_of(benchmark, scenario, method, protocol)
    sparsity, allocation = _cut(usual)
    left, right = st.columns(2)
    fraction = left.slider(
        text("Instances IDS keeps, %"),
        5,
        100,
        round(100 * DEFAULT.ids.fraction),
        5,
        key="new-ids",
        help=text("Of the pool that estimates the landscape."),
        **keep,
    )
    anchored = method in ("esacl", "ewc", "rigl")
    strength = right.number_input(
        text("Anchor strength"),
        value=usual.anchor.strength,
        step=0.1,
        key=f"new-anchor-{usual.anchor.strength}",
        disabled=not anchored,
        help=text(
            "Of the pull towards what earlier tasks need: 0 is none, higher holds on to them. EsaCL holds on by what "
            "the network says, too, where it can, and needs less of it."
        ),
        **keep,
    )
    left, middle, right = st.columns(3)
    budget = f"{benchmark}-{protocol}"
    epochs = _whole(left, text("Epochs"), usual.epochs, f"new-epochs-{budget}")
    seed = _whole(middle, text("Seed"), 0, "new-seed")
    device = right.selectbox(text("Device"), devices(), key="new-device", **keep)
    chosen = {
        "benchmark": benchmark,
        "scenario": scenario,
        "method": method,
        "protocol": protocol if protocol != DEFAULT.protocol else None,
        "sparsity": round(sparsity / 100, 4),
        "pruning.allocation": allocation if allocation != usual.pruning.allocation else None,
        "ids.fraction": fraction / 100,
        "anchor.strength": strength if anchored else None,
        "epochs": epochs,
        "seed": seed,
        "device": device,
    }
    return chosen | _more(usual, benchmark, method, device, form_at(sparsity / 100))


def _whole(place: DeltaGenerator, label: str, value: int | None, key: str, **look: Any) -> int | float | None:
    """What was typed where a whole number is wanted, as it was typed: the config says what is wrong with it.

    A field for whole numbers would keep to itself what it cannot hold, cut off a fraction, and tell neither.
    """
    begins = None if value is None else float(value)
    typed = place.number_input(label, value=begins, step=1.0, format="%g", key=key, persist_state="session", **look)
    if typed is None or not float(typed).is_integer() or abs(typed) >= _EXACT:
        return typed
    return int(typed)


def form_at(sparsity: float) -> str:
    """The form of SDP that EsaCL has at a sparsity where nothing is said."""
    return form_of("esacl", {"sparsity": sparsity})


def devices() -> list[str]:
    """The devices of this machine, found without loading torch."""
    return ["auto", "cpu", *accelerators.names()]


def usual_of(benchmark: str, scenario: str, method: str, protocol: str = DEFAULT.protocol) -> RunConfig:
    """What would be run if nothing more were said; a method that a scenario does not have is told of at the button."""
    try:
        return RunConfig(benchmark=benchmark, scenario=scenario, method=method, protocol=protocol)
    except InputError:  # the benchmark's own size still stands
        return RunConfig(benchmark=benchmark, scenario=BENCHMARKS[benchmark]["scenarios"][0], protocol=protocol)


def allocations_of(usual: RunConfig) -> tuple[list[str], str]:
    """The allocations that a method has, and a key for each of their lists and defaults."""
    names = [name for name in ALLOCATIONS if usual.method not in BY_THE_WEIGHT or name not in STRUCTURED]
    return names, f"allocation-{usual.pruning.allocation}-{len(names)}"


def _cut(usual: RunConfig) -> tuple[float, str]:
    """How much is removed, in percent, and by which allocation: 2:4 leaves no choice of how much."""
    above = st.container()  # the share follows from the allocation, and comes first for the reader
    names, key = allocations_of(usual)
    allocation = st.selectbox(
        text("Which weights go"),
        names,
        names.index(usual.pruning.allocation),
        key=f"new-{key}",
        format_func=lambda name: text(ALLOCATIONS[name]),
        help=text(
            "All but the last two take weights one by one, and leave matrices of the same size with zeros in them. 2:4 "
            "is the pattern of sparse tensor cores, at 50 % and no other share. Whole units leave a smaller dense "
            "network: `esacl export RUN FILE --format onnx --shrink`."
        ),
        persist_state="session",
    )
    fixed = allocation == "2:4"
    sparsity = above.slider(
        text("Weights removed, %"),
        0.0,
        99.5,
        100 * (TWO_OF_FOUR if fixed else usual.sparsity),
        0.5,
        key="new-sparsity-2:4" if fixed else f"new-sparsity-{usual.sparsity > 0}",
        disabled=fixed,
        help=text(
            "0 is dense. Above it, one cut in each task: by EsaCL's saliency, or by magnitude; above 95 % EsaCL prunes "
            "little by little, unless another form is chosen. PackNet, RigL and SparCL are sparse while they learn."
        ),
        persist_state="session",
    )
    return sparsity, allocation


def _protocol(benchmark: str) -> str:
    """The protocol, where there is more than one for this benchmark."""
    names = protocols.of(benchmark)
    if len(names) == 1:
        return names[0]
    return st.selectbox(
        text("Protocol"),
        names,
        key=f"new-protocol-{len(names)}",
        format_func=lambda name: text(PROTOCOLS[name]),
        help=text(
            "Network, epochs, batch size, images and learning rates, where nothing else is said. The published one "
            "takes hours on a GPU, and days without."
        ),
        persist_state="session",
    )


def _more(usual: RunConfig, benchmark: str, method: str, device: str, form: str) -> dict[str, Any]:
    keep: dict[str, Any] = {"persist_state": "session"}
    with st.expander(text("More settings")):
        left, right = st.columns(2)
        budget = f"{benchmark}-{usual.protocol}"
        tasks = _whole(left, text("Tasks"), usual.tasks, f"new-tasks-{budget}")
        network = right.selectbox(text("Network"), ("auto", *NETWORK_NAMES), key="new-network", **keep)
        chosen = usual.network if network == "auto" else network
        if chosen != "mlp" and device in ("auto", "cpu"):
            st.caption(
                text("Measuring the landscape of %(network)s takes minutes a run on a CPU.", network=chosen)
                if chosen == "small-cnn"
                else text("Measuring the landscape of %(network)s takes hours a run on a CPU.", network=chosen)
            )
        most = str(usual.train_limit or text("all"))
        limit = _whole(left, text("Training images a task, at most"), None, "new-limit", placeholder=most)
        size = usual.buffer.size
        joint = method == "joint"
        buffer = _whole(right, text("Rehearsal memory, images"), size, f"new-buffer-{size}", disabled=joint)
        form_name = left.selectbox(
            text("Form of SDP"),
            (USUAL, *SDP_FORM_NAMES),
            key="new-form",
            format_func=lambda name: name or text("usual: %(form)s", form=form),
            disabled=method != "esacl",
            help=text(
                "admm and segment train dense and cut once; progressive prunes while it trains, which is cheaper; "
                "any trains one network for every level of the sparsity slider, from the run's own to 98 %. Above 95 % "
                "one cut costs accuracy where a task has few steps, and progressive is the default."
            ),
            **keep,
        )
        name = right.text_input(text("Name"), key="new-name", max_chars=200, placeholder=text("optional"), **keep)
        own = _of_method(usual)
    return own | {
        "tasks": tasks,
        "network": network,
        "train_limit": limit,
        "buffer.size": buffer if not joint and buffer != size else None,
        "sdp.form": form_name or None if method == "esacl" else None,
        "name": name.strip() or None,
    }


def _of_method(usual: RunConfig) -> dict[str, Any]:
    """What only some methods and scenarios have."""
    keep: dict[str, Any] = {"persist_state": "session"}
    found: dict[str, Any] = {}
    if usual.method == "sparcl":
        found["sparcl.base"] = st.selectbox(
            text("SparCL over"),
            SPARCL_BASE_NAMES,
            SPARCL_BASE_NAMES.index(usual.sparcl.base),
            key="new-base",
            format_func=palette.base_written,
            **keep,
        )
    if usual.scenario == "class" and usual.method != "joint":
        found |= competing.control(usual.method)
    return found
