"""RunConfig: everything that decides what a run computes, frozen, validated, with every field resolved."""

import hashlib
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from esacl import normalisation
from esacl.errors import InputError

METHOD_NAMES = ("esacl", "finetune", "joint", "ewc")
NETWORK_NAMES = ("mlp", "small-cnn", "resnet18")
SCENARIO_NAMES = ("task", "class", "domain")
SALIENCY_NAMES = ("second-order", "magnitude", "taylor", "random")
ALLOCATION_NAMES = ("global", "erk", "uniform")
SCORE_NAMES = ("ggn-trace", "el2n", "uniform")
SDP_FORM_NAMES = ("admm", "segment", "progressive")

# What a benchmark fixes: its size and its training budget. Nothing in here belongs to a method, so that one
# setting of a method has to hold on all of them.
BENCHMARKS: dict[str, dict[str, Any]] = {
    "split-digits": {"tasks": 5, "scenarios": ("task", "class", "domain"), "epochs": 30, "batch_size": 16},
    "split-mnist": {"tasks": 5, "scenarios": ("task", "class", "domain"), "epochs": 5, "batch_size": 64},
    "permuted-mnist": {"tasks": 5, "scenarios": ("domain",), "epochs": 1, "batch_size": 64, "max_tasks": 20},
}
BENCHMARK_NAMES = tuple(BENCHMARKS)


class Section(BaseModel):
    """A frozen group of fields that refuses unknown keys and silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Fraction = Annotated[float, Field(gt=0, le=1)]
MOST_SPARSITY = 0.999  # fewer weights than one in a thousand is none at all in the smaller layers


class SDP(Section):
    """Sharpness-informed directional pruning: how training prepares the one-shot cut."""

    form: Literal["admm", "segment", "progressive"] = "admm"
    strength: Annotated[float, Field(ge=0, le=100)] = 4.0
    """Dimensionless: of a doomed weight's distance exp(-strength) is left after a task (segment: exp(-2 strength))."""
    every: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Steps between two updates of the mask."""
    ramp: Fraction = 0.5
    """Fraction of a task's steps over which the pull grows from 0 to 1 (progressive: sparsity to its target)."""


class Pruning(Section):
    """The one-shot cut at the end of a task."""

    saliency: Literal["second-order", "magnitude", "taylor", "random"] = "second-order"
    allocation: Literal["global", "erk", "uniform"] = "global"


class IDS(Section):
    """Intelligent data selection: importance sampling of the instances that estimate the landscape."""

    fraction: Fraction = 0.25
    score: Literal["ggn-trace", "el2n", "uniform"] = "ggn-trace"
    train_fraction: Fraction = 1.0
    """Share of a training batch that takes part in the backward pass; 1 = off."""


class Anchor(Section):
    """The quadratic anchor that consolidates earlier tasks."""

    strength: Annotated[float, Field(ge=0, le=1e6)] = 3.0

    guard: bool = True
    """Anchor weights from idle units as if the units were active; off for `ewc`, which is published without."""


class Buffer(Section):
    """Rehearsal memory (reservoir sampling)."""

    size: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class BatchNorm(Section):
    """The running statistics of a network with BatchNorm."""

    statistics: Literal["shared", "task"] = "shared"
    """One set for all tasks, or one for each (task-IL only; the default of esacl there)."""
    refresh: bool = False
    """Recompute them after each cut on the task's training images: forward passes, no label, no weight moves."""


class Curvature(Section):
    """How much of the loss landscape a run measures. None of it changes the weights."""

    top: Annotated[int, Field(ge=0, le=20)] = 3
    """Top Hessian eigenvalues at each point; 0 = off."""
    examples: Annotated[int, Field(ge=8, le=100_000)] = 500
    """At most so many of a task's training examples form the pool of every landscape estimate."""
    levels: Annotated[int, Field(ge=0, le=100)] = 25
    """Sparsity levels of the sparsity curve; 0 = off."""
    grid: Annotated[int, Field(ge=0, le=201)] = 25
    """Points a side of the landscape slices, from 2; 0 = off."""


class RunConfig(Section):
    """One run. Missing fields are resolved from the benchmark and the method when it is built.

    Raises:
        InputError: an unknown key, a wrong type or a value out of range, with key, value and remedy.
    """

    benchmark: str = "split-digits"
    scenario: Literal["task", "class", "domain"] = "task"
    method: str = "esacl"
    network: str = "mlp"
    activation: Literal["relu", "softplus"] = "relu"
    sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.9
    tasks: Annotated[int, Field(ge=1)] = 5
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 30
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 16
    lr: Annotated[float, Field(gt=0, le=10)] = 0.05
    train_limit: Annotated[int | None, Field(ge=4)] = None
    """At most so many training examples a task."""
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
    batchnorm: BatchNorm = BatchNorm()
    curvature: Curvature = Curvature()

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise InputError(_one_line(error)) from None

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
            fields["network"] = "mlp"
        _one_of("network", fields["network"], NETWORK_NAMES)
        for key in ("tasks", "epochs", "batch_size"):
            fields.setdefault(key, facts[key])
        fields.setdefault("sparsity", 0.9 if method == "esacl" else 0.0)
        fields.setdefault("threads", 1 if fields["network"] == "mlp" else os.cpu_count() or 1)
        if method != "esacl" and isinstance(fields.get("pruning", {}), dict):
            fields["pruning"] = {"saliency": "magnitude", **fields.get("pruning", {})}
        if method != "esacl" and isinstance(fields.get("anchor", {}), dict):
            fields["anchor"] = {"guard": False, **fields.get("anchor", {})}
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
        if self.curvature.grid == 1:
            raise ValueError("curvature.grid: 1 will not do: a slice has two ends; choose 0 (off) or 2 to 201")
        if self.method == "joint" and self.buffer.size:
            raise ValueError("buffer.size is of no use to 'joint', which sees all data; leave it at 0")
        asked = self.batchnorm.statistics, self.batchnorm.refresh
        if problem := normalisation.problem(self.network, self.scenario, self.method, self.sparsity, *asked):
            raise ValueError(problem)
        return self

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


def _one_of(what: str, value: Any, names: tuple[str, ...]) -> str:
    if value not in names:
        raise InputError(f"unknown {what} {value!r}; choose from {', '.join(names)}")
    return str(value)


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    value, message = first["input"], first["msg"]
    section: Any = RunConfig
    for part in first["loc"][:-1]:
        section = section.model_fields[str(part)].annotation
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}; choose from {', '.join(section.model_fields)}"
    if first["type"] == "literal_error":
        names = first["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"unknown {key} {value!r}; choose from {names}"
    if first["type"] == "value_error":
        return message.removeprefix("Value error, ")
    if first["type"] == "model_type":
        inner, field = next(iter(section.model_fields[key].annotation.model_fields.items()))
        example = f"{key}.{inner}={field.default}"
        return f"{key}: {value!r} will not do: {key} is a section; set a key of it, for example {example}"
    return f"{key}: {value!r} will not do; choose {_range(section.model_fields[str(first['loc'][-1])])}"


def _range(field: FieldInfo) -> str:
    """What a field takes, in words: "a number in [0, 1)"."""
    limits = {name: getattr(limit, name) for limit in field.metadata for name in limit.__slots__}
    if field.annotation is str:
        return f"a text of at most {limits['max_length']} characters" if limits else "a text"
    if field.annotation is bool:
        return "true or false"
    what = "a number" if field.annotation is float else "a whole number"
    low = f"[{limits['ge']}" if "ge" in limits else f"({limits['gt']}"
    high = f"{limits['le']}]" if "le" in limits else f"{limits['lt']})" if "lt" in limits else ""
    return f"{what} in {low}, {high}" if high else f"{what} from {limits['ge']} on"
