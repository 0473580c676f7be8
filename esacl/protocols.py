"""Named protocols: the settings under which a benchmark is run, where nothing else is said.

`small` finishes in minutes on two cores. `der` is the one that most tables of the field follow. Source: Buzzega et al.,
"Dark Experience for General Continual Learning", 2020, and its code.
"""

from typing import Any, Literal, get_args

from esacl import published
from esacl.errors import InputError

ProtocolName = Literal["small", "der"]
PROTOCOL_NAMES: tuple[str, ...] = get_args(ProtocolName)

# What a benchmark fixes: its size and its training budget under `small`. Nothing in here belongs to a method, so
# that one setting of a method has to hold on all of them. `network`, `train_limit` and `resolution` only where they are
# not the mlp, everything and as published.
BENCHMARKS: dict[str, dict[str, Any]] = {
    "split-digits": {
        "side": 8, "tasks": 5, "scenarios": ("task", "class", "domain"), "epochs": 30, "batch_size": 16, "buffer": 200,
    },
    "split-mnist": {"side": 28, "tasks": 5, "scenarios": ("task", "class", "domain"), "epochs": 5, "batch_size": 64},
    "permuted-mnist": {
        "side": 28, "tasks": 5, "scenarios": ("domain",), "epochs": 1, "batch_size": 64, "max_tasks": 20,
    },
    "split-cifar10": {
        "side": 32, "tasks": 5, "scenarios": ("task", "class"), "epochs": 4, "batch_size": 32,
        "network": "small-cnn", "train_limit": 1600,
    },
    "split-cifar100": {
        "side": 32, "tasks": 10, "scenarios": ("task", "class"), "epochs": 4, "batch_size": 32,
        "network": "small-cnn", "train_limit": 2000,
    },
    # The classes that are there are dealt out to as many tasks as are asked for: 40 make 5 tasks of 8, 200 of 40.
    "split-tiny-imagenet": {
        "side": 64, "tasks": 5, "scenarios": ("task", "class"), "epochs": 4, "batch_size": 32, "max_tasks": 100,
        "network": "small-cnn", "train_limit": 2000, "resolution": 32,
    },
}  # fmt: skip
_SMALL_KEYS = ("tasks", "epochs", "batch_size", "network", "train_limit", "resolution")
# Of the small CNN, by every method but `esacl`, whose own rate holds everywhere: what each chose on the validation data
# of split CIFAR-10 among eight (`benchmarks/tune-cifar10.toml`), SparCL over DER++ (over EWC .08), EWC alone.
SMALL_CNN_RATES = {
    "finetune": 0.0025, "ewc": 0.03, "packnet": 0.03, "joint": 0.015, "er": 0.0175, "derpp": 0.007, "sparcl": 0.04,
    "rigl": 0.03,
}  # fmt: skip
CO2L_RATE = 0.005

DER: dict[str, dict[str, Any]] = {
    "split-mnist": {"tasks": 5, "epochs": 1, "batch_size": 10, "network": "mlp"},
    "split-cifar10": {"tasks": 5, "epochs": 50, "batch_size": 32, "network": "resnet18", "augment": "crop-flip"},
    "split-cifar100": {"tasks": 10, "epochs": 50, "batch_size": 32, "network": "resnet18", "augment": "crop-flip"},
    "split-tiny-imagenet": {
        "tasks": 10, "epochs": 100, "batch_size": 32, "network": "resnet18", "augment": "crop-flip",
    },
}  # fmt: skip
DER_OPTIMISER: dict[str, Any] = {"momentum": 0.0, "schedule": "constant"}


def of(benchmark: str) -> tuple[str, ...]:
    """The protocols that have settings for a benchmark."""
    return tuple(name for name in PROTOCOL_NAMES if name == "small" or benchmark in DER)


def preset(protocol: str, benchmark: str, method: str, *, size: int, contrastive: bool = False) -> dict[str, Any]:
    """What a protocol sets for a method on a benchmark.

    Args:
        protocol: its name.
        benchmark: the data and its tasks.
        method: the method's name.
        size: of the buffer that the method has if it rehearses.
        contrastive: whether it learns features without logits (Co2L).

    Raises:
        InputError: it has no settings for this benchmark.
    """
    if protocol == "small":
        facts = BENCHMARKS[benchmark]
        own = facts.get("network") == "small-cnn" and method != "esacl"
        rate = {"lr": CO2L_RATE if contrastive else SMALL_CNN_RATES[method]} if own else {}
        return {"network": "mlp"} | {key: facts[key] for key in _SMALL_KEYS if key in facts} | rate
    if benchmark not in DER:
        raise InputError(f"protocol {protocol!r} has no settings for {benchmark!r}; choose from {', '.join(DER)}")
    return DER[benchmark] | DER_OPTIMISER | {"lr": published.rate(benchmark, method, size)}
