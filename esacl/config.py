"""RunConfig: everything that decides what a run computes, frozen, validated, with every field resolved."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from esacl import strict_toml
from esacl.conflicts import conflicts
from esacl.defaults import resolved
from esacl.errors import InputError
from esacl.labels import MOST_CHARACTERS, checked
from esacl.protocols import BENCHMARKS, PROTOCOL_NAMES, ProtocolName
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
    RigL,
    Section,
    SparCL,
    choices,
)

METHOD_NAMES = ("esacl", "finetune", "joint", "ewc", "er", "derpp", "packnet", "rigl", "sparcl")
NETWORK_NAMES = ("mlp", "small-cnn", "resnet18")
SALIENCY_NAMES = choices(Pruning, "saliency")
ALLOCATION_NAMES = choices(Pruning, "allocation")
SCORE_NAMES = choices(IDS, "score")
SPARCL_BASE_NAMES = choices(SparCL, "base")
SDP_FORM_NAMES = choices(SDP, "form")

# Fields that came later: at the value that earlier code stood for they leave a run's digest as it was.
LATER = {
    "balance_logits": 0.0, "curvature.during": 0, "pruning.flops_exponent": 0.0, "sdp.radius": 0.0, "sdp.revive": False,
}  # fmt: skip

BENCHMARK_NAMES = tuple(BENCHMARKS)
_NAMES = {
    "benchmark": BENCHMARK_NAMES, "method": METHOD_NAMES, "protocol": PROTOCOL_NAMES, "network": NETWORK_NAMES,
}  # fmt: skip


def _in_one_line(name: str) -> str:
    try:
        return checked(name)
    except InputError as error:
        raise ValueError(f"name: {name!r:.80} will not do: {error}") from None


class RunConfig(Section):
    """One run. Missing fields are resolved from the benchmark and the method when it is built.

    Raises:
        InputError: an unknown key, a wrong type or a value out of range, with key, value and remedy.
    """

    benchmark: str = "split-digits"
    protocol: ProtocolName = "small"
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
    resolution: Annotated[int, Field(ge=1, le=64)] = 8
    """Pixels a side: larger images are averaged over blocks. Where it is not given, as published; in `small`,
    Tiny-ImageNet at half."""
    mask_logits: bool = False
    """Class-IL: cross-entropy of fresh examples over today's classes only (SparCL, ER-ACE); Co2L has none to mask."""
    balance_logits: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Class-IL: cross-entropies of logits plus so many times the log of each class's share in what is learned from, so
    that a class is not preferred for being seen often; 1 is balanced softmax, 0 off. More than 1 holds on to the past:
    a few replayed images, learned by heart, say less than their share. Not 0: a buffer is offered each batch, not
    a task's images at its end."""
    evaluation: Literal["test", "validation"] = "test"
    """`validation` holds a tenth of the training data out, stratified, and never opens the test data."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    device: str = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    name: Annotated[str, Field(max_length=MOST_CHARACTERS), AfterValidator(_in_one_line)] = ""
    sdp: SDP = SDP()
    pruning: Pruning = Pruning()
    ids: IDS = IDS()
    anchor: Anchor = Anchor()
    buffer: Buffer = Buffer()
    derpp: DERPP = DERPP()
    packnet: PackNet = PackNet()
    rigl: RigL = RigL()
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
        for what, names in _NAMES.items():
            if what in fields and (what, fields[what]) != ("network", "auto"):
                _one_of(what, fields[what], names)
        return resolved(fields)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problem := next(conflicts(self), None):
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
        for key, earlier in LATER.items():
            *section, last = key.split(".")
            inner = fields[section[0]] if section else fields
            if inner[last] == earlier:
                del inner[last]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Every resolved field, nested as in TOML."""
        return self.model_dump()

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "RunConfig":
        """The config of nested fields, as `to_dict` and TOML write them."""
        return cls(**fields)


SCENARIO_NAMES = choices(RunConfig, "scenario")


def dotted(fields: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings under dotted names, as `--set` takes them: {"sdp": {"every": 5}} -> {"sdp.every": 5}."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        found |= dotted(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def read_config(path: Path | None, settings: dict[str, Any]) -> RunConfig:
    """The config of a TOML file, if any, with dotted settings (`{"sdp.every": 5}`) on top.

    Raises:
        InputError: an unreadable file, an unknown key, a wrong type or a value out of range.
    """
    fields: dict[str, Any] = {}
    if path is not None:
        try:
            fields = strict_toml.decode(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"config file {path} cannot be read ({error.strerror}); check --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"config file {path} is not TOML: {error}") from None
        except (RecursionError, ValueError):
            cause = f"config file {path} is nested too deeply, or a number too long"
            raise InputError(f"{cause}; this is no config") from None
    return _with_settings(fields, settings)


def config_with(config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """The config with dotted settings on top; a setting of None changes nothing.

    Raises:
        InputError: an unknown key, a wrong type or a value out of range.
    """
    return _with_settings(config.to_dict(), settings)


def _with_settings(fields: dict[str, Any], settings: dict[str, Any]) -> RunConfig:
    if settings.get("benchmark") not in (None, fields.get("benchmark")):
        fields = {key: value for key, value in fields.items() if key != "resolution"}  # that was of other images
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


def _one_of(what: str, value: Any, names: tuple[str, ...]) -> None:
    if value not in names:
        raise InputError(f"unknown {what} {value!r:.80}; choose from {', '.join(names)}")
