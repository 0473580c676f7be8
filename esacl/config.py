"""RunConfig: everything that decides what a run computes, frozen, validated, with every field resolved."""

import hashlib
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from esacl import normalisation
from esacl.errors import InputError
from esacl.protocols import BENCHMARKS, PROTOCOL_NAMES, preset
from esacl.refusal import one_line
from esacl.sections import (
    DERPP,
    IDS,
    SDP,
    Anchor,
    BatchNorm,
    Buffer,
    Curvature,
    PackNet,
    Pruning,
    Section,
    SparCL,
)

METHOD_NAMES = ("esacl", "finetune", "joint", "ewc", "er", "derpp", "packnet", "sparcl")
NETWORK_NAMES = ("mlp", "small-cnn", "resnet18")
SCENARIO_NAMES = ("task", "class", "domain")
SALIENCY_NAMES = ("second-order", "magnitude", "taylor", "random")
ALLOCATION_NAMES = ("global", "erk", "uniform")
SCORE_NAMES = ("ggn-trace", "el2n", "uniform")
SPARCL_BASE_NAMES = ("ewc", "er", "derpp", "co2l")
SPARSE_METHODS = ("esacl", "packnet", "sparcl")  # sparse unless told otherwise
SDP_FORM_NAMES = ("admm", "segment", "progressive")

BENCHMARK_NAMES = tuple(BENCHMARKS)
CUT = 0.35  # of a task's steps come before the one-shot cut of esacl
HELD, HELD_ALONE = 0.1, 3.0  # the anchors' strength beside distillation, and where nothing else holds the past
BUFFER = 500  # examples a method that rehearses keeps, where the benchmark does not say


MOST_SPARSITY = 0.999  # fewer weights than one in a thousand is none at all in the smaller layers


class RunConfig(Section):
    """One run. Missing fields are resolved from the benchmark and the method when it is built.

    Raises:
        InputError: an unknown key, a wrong type or a value out of range, with key, value and remedy.
    """

    benchmark: str = "split-digits"
    protocol: Literal["small", "der"] = "small"
    """Where what is not given comes from: minutes on two cores, or the published settings."""
    scenario: Literal["task", "class", "domain"] = "task"
    method: str = "esacl"
    network: str = "mlp"
    activation: Literal["relu", "softplus"] = "relu"
    sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.9
    tasks: Annotated[int, Field(ge=1)] = 5
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 30
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 16
    lr: Annotated[float, Field(gt=0, le=10)] = 0.05
    schedule: Literal["wsd", "constant"] = "wsd"
    """Of the learning rate over a task: warm-up, stable, decay; or the same throughout."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    augment: Literal["none", "crop-flip"] = "none"
    """What happens to a training batch, replayed images included."""
    train_limit: Annotated[int | None, Field(ge=4)] = None
    """At most so many training examples a task."""
    mask_logits: bool = False
    """Class-IL: cross-entropy of fresh examples over today's classes only (SparCL, ER-ACE); Co2L has none to mask."""
    evaluation: Literal["test", "validation"] = "test"
    """`validation` holds a tenth of the training data out, stratified, and never opens the test data."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    device: str = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    name: Annotated[str, Field(max_length=200)] = ""
    sdp: SDP = SDP()
    pruning: Pruning = Pruning()
    ids: IDS = IDS()
    anchor: Anchor = Anchor()
    buffer: Buffer = Buffer()
    derpp: DERPP = DERPP()
    packnet: PackNet = PackNet()
    sparcl: SparCL = SparCL()
    batchnorm: BatchNorm = BatchNorm()
    curvature: Curvature = Curvature()

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise InputError(one_line(error, type(self))) from None

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = {key: value for key, value in given.items() if value is not None}
        benchmark = _one_of("benchmark", fields.setdefault("benchmark", "split-digits"), BENCHMARK_NAMES)
        method = _one_of("method", fields.setdefault("method", "esacl"), METHOD_NAMES)
        facts = BENCHMARKS[benchmark]
        fields.setdefault("scenario", facts["scenarios"][0])
        if fields.get("network", "auto") == "auto":
            fields.pop("network", None)
        protocol = _one_of("protocol", fields.setdefault("protocol", "small"), PROTOCOL_NAMES)
        contrastive = method == "sparcl" and _base(fields) == "co2l"
        if contrastive:
            fields.setdefault("augment", "none")  # it makes views of its own, whatever the protocol says
        for key, value in preset(protocol, benchmark, method).items():
            fields.setdefault(key, value)
        _one_of("network", fields["network"], NETWORK_NAMES)
        fields.setdefault("sparsity", 0.9 if method in SPARSE_METHODS else 0.0)
        if _rehearses(method, fields) and isinstance(fields.get("buffer", {}), dict):
            fields["buffer"] = {"size": facts.get("buffer", BUFFER), **fields.get("buffer", {})}
        if method == "sparcl" and fields["scenario"] == "class" and not contrastive:
            fields.setdefault("mask_logits", True)
        fields.setdefault("threads", 1 if fields["network"] == "mlp" else os.cpu_count() or 1)
        if method != "esacl" and isinstance(fields.get("pruning", {}), dict):
            fields["pruning"] = {"saliency": "magnitude", **fields.get("pruning", {})}
        if isinstance(fields.get("sdp", {}), dict):
            fields["sdp"] = {"cut": _cut(method, fields), **fields.get("sdp", {})}
        if method != "esacl" and isinstance(fields.get("anchor", {}), dict):
            fields["anchor"] = {"guard": False, "distillation": 0.0, **fields.get("anchor", {})}
        if isinstance(fields.get("anchor", {}), dict):
            fields["anchor"] = {"strength": _strength(fields), **fields.get("anchor", {})}
        if isinstance(fields.get("batchnorm", {}), dict):
            whose = normalisation.default_statistics(fields["network"], fields["scenario"], method)
            fields["batchnorm"] = {"statistics": whose, **fields.get("batchnorm", {})}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        facts = BENCHMARKS[self.benchmark]
        if self.scenario not in facts["scenarios"]:
            raise ValueError(
                f"scenario {self.scenario!r} does not fit benchmark {self.benchmark!r}; "
                f"choose from {', '.join(facts['scenarios'])}"
            )
        most = facts.get("max_tasks", facts["tasks"])
        if self.tasks > most:
            raise ValueError(f"tasks {self.tasks} is more than {self.benchmark} has; choose 1 to {most}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,2})?|mps", self.device):
            raise ValueError(f"device {self.device!r} is not known; choose auto, cpu, cuda, cuda:0, ... or mps")
        if self.sparsity > MOST_SPARSITY:
            raise ValueError(
                f"sparsity: {self.sparsity} will not do: hardly a weight would be left; "
                f"choose a number in [0, 1), {MOST_SPARSITY} at most"
            )
        if self.sdp.cut < 1 and (self.method != "esacl" or self.sdp.form == "progressive" or not self.sparsity):
            raise ValueError(
                f"sdp.cut: {self.sdp.cut} will not do: only esacl with form admm or segment has one cut that sparse "
                "steps can follow; leave it at 1"
            )
        if self.curvature.grid == 1:
            raise ValueError("curvature.grid: 1 will not do: a slice has two ends; choose 0 (off) or 2 to 201")
        if self.method == "packnet" and self.scenario != "task":
            raise ValueError(
                f"method 'packnet' must know the task, which scenario {self.scenario!r} does not tell; "
                "choose scenario task, or another method"
            )
        if self.mask_logits and self.scenario != "class":
            raise ValueError(
                f"mask_logits changes nothing in scenario {self.scenario!r}, where an example competes among the "
                "columns of its own task anyway; leave it false"
            )
        if _rehearses(self.method, self.to_dict()) and not self.buffer.size:
            raise ValueError(f"buffer.size: 0 will not do: {self.method!r} rehearses; choose a whole number from 1 on")
        dark = self.method == "derpp" or (self.method == "sparcl" and self.sparcl.base == "derpp")
        if dark and self.ids.train_fraction < 1:
            raise ValueError(
                f"ids.train_fraction: {self.ids.train_fraction} will not do: DER++ has three losses and no one score "
                "to choose by; leave it at 1"
            )
        if self.method == "sparcl" and self.sparcl.removal and self.ids.train_fraction < 1:
            raise ValueError(
                f"ids.train_fraction: {self.ids.train_fraction} will not do: SparCL chooses its examples by "
                "sparcl.removal; leave one of them off (1, or removal 0)"
            )
        if self.contrastive and (problem := _contrastive_problem(self)):
            raise ValueError(problem)
        if self.method == "joint" and self.buffer.size:
            raise ValueError("buffer.size is of no use to 'joint', which sees all data; leave it at 0")
        asked = self.batchnorm.statistics, self.batchnorm.refresh
        if problem := normalisation.problem(self.network, self.scenario, self.method, self.sparsity, *asked):
            raise ValueError(problem)
        return self

    @property
    def contrastive(self) -> bool:
        """Whether the network's features are learned by Co2L's losses, and its head after them."""
        return self.method == "sparcl" and self.sparcl.base == "co2l"

    @property
    def digest(self) -> str:
        """Twelve hex digits of everything that decides the numbers (so neither name, device nor threads)."""
        fields = self.model_dump(exclude={"name", "device", "threads"})
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Every resolved field, nested as in TOML."""
        return self.model_dump()

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "RunConfig":
        """The config of nested fields, as `to_dict` and TOML write them."""
        return cls(**fields)


def read_config(path: Path | None, settings: dict[str, Any]) -> RunConfig:
    """The config of a TOML file, if any, with dotted settings (`{"sdp.every": 5}`) on top.

    Raises:
        InputError: an unreadable file, an unknown key, a wrong type or a value out of range.
    """
    fields: dict[str, Any] = {}
    if path is not None:
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"config file {path} cannot be read ({error.strerror}); check --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"config file {path} is not TOML: {error}") from None
    return _with_settings(fields, settings)


def config_with(config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """The config with dotted settings on top; a setting of None changes nothing.

    Raises:
        InputError: an unknown key, a wrong type or a value out of range.
    """
    return _with_settings(config.to_dict(), settings)


def _with_settings(fields: dict[str, Any], settings: dict[str, Any]) -> RunConfig:
    for key, value in settings.items():
        if value is None:
            continue
        *sections, last = key.split(".")
        inner = fields
        for section in sections:
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise InputError(f"{key}: {section!r} is a value, not a section")
        inner[last] = value
    return RunConfig(**fields)


def parse_setting(text: str) -> tuple[str, Any]:
    """`key=value` as `--set` takes it; the value is read as TOML, and as plain text where it is not TOML.

    Raises:
        InputError: there is no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text!r} is not key=value; write for example --set sdp.every=20")
    try:
        return key.strip(), tomllib.loads(f"v = {value.strip()}")["v"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _cut(method: str, fields: dict[str, Any]) -> float:
    """Where in a task the cut comes that was not said: in the middle where the form allows it, else at the end."""
    section = fields.get("sdp", {})
    prepared = method == "esacl" and section.get("form", SDP().form) != "progressive" and fields["sparsity"] != 0
    return CUT if prepared else 1.0


def _strength(fields: dict[str, Any]) -> float:
    """How strongly to anchor where it was not said: distillation holds too, but for domain-IL, where it cannot."""
    distilled = fields.get("anchor", {}).get("distillation", Anchor().distillation) != 0
    return HELD if distilled and fields["scenario"] != "domain" else HELD_ALONE


def _rehearses(method: str, fields: dict[str, Any]) -> bool:
    """Whether the method is none without a buffer."""
    return method in ("er", "derpp") or (method == "sparcl" and _base(fields) != "ewc")


def _base(fields: dict[str, Any]) -> str:
    """What SparCL is laid over."""
    section = fields.get("sparcl", {})
    return str(section.get("base", "derpp")) if isinstance(section, dict) else ""


def _contrastive_problem(config: RunConfig) -> str | None:
    """Why Co2L cannot be had this way, with the remedy; None where it can."""
    if config.benchmark == "permuted-mnist":
        return (
            "sparcl.base: 'co2l' will not do on 'permuted-mnist': it compares views of an image, and a shifted "
            "permutation is another permutation; choose another base or benchmark"
        )
    if config.mask_logits:
        return "mask_logits: true will not do: Co2L learns its features without logits; leave it false"
    if config.augment != "none":
        return f"augment: {config.augment!r} will not do: Co2L draws two views of each image itself; leave it at 'none'"
    if config.ids.train_fraction < 1:
        return (
            f"ids.train_fraction: {config.ids.train_fraction} will not do: Co2L's loss is of a batch as a whole, not "
            "of its examples; leave it at 1"
        )
    if config.batchnorm.refresh or config.batchnorm.statistics == "task":
        return (
            "batchnorm: refresh and statistics 'task' will not do: the classifier that follows Co2L's features is one "
            "for all tasks and learned on the statistics as they are; leave them false and 'shared'"
        )
    return None


def _one_of(what: str, value: Any, names: tuple[str, ...]) -> str:
    if value not in names:
        raise InputError(f"unknown {what} {value!r}; choose from {', '.join(names)}")
    return str(value)
