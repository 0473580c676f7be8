"""A config as others can type it: the TOML file and the command line that start the same run again."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from esacl.config import RunConfig, dotted, read_config
from esacl.errors import InputError

# What has an option of its own; everything else is reached by --set.
OPTIONS = (
    "benchmark", "scenario", "method", "network", "sparsity", "tasks", "epochs", "train_limit", "seed", "device",
    "threads", "name",
)  # fmt: skip
_FIRST = ("benchmark", "protocol", "scenario", "method")  # what others follow from
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*")


def as_toml(config: RunConfig) -> str:
    """Every setting of a run, as `esacl run --config` reads it."""
    fields = {key: value for key, value in config.to_dict().items() if value is not None}
    lines = [f"{key} = {_toml(value)}" for key, value in fields.items() if not isinstance(value, dict)]
    for section, values in fields.items():
        if isinstance(values, dict):
            lines += ["", f"[{section}]"]
            lines += [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def settings(config: RunConfig) -> dict[str, Any]:
    """The dotted settings that `read_config` needs to make this config, and no more than differ from the defaults."""
    wanted = dotted(config.to_dict())
    defaults = dotted(read_config(None, {}).to_dict())
    given: dict[str, Any] = {}
    missing = {key: wanted[key] for key in _FIRST if wanted[key] != defaults[key]}
    while True:  # what is given moves what follows from it: a buffer, say, how it is rehearsed
        given |= missing
        base = _resolved(given)
        differ = {key: value for key, value in wanted.items() if value is not None and base.get(key) != value}
        missing = {key: value for key, value in differ.items() if key not in given}
        if not missing:
            break
    return {key: given[key] for key in wanted if key in given}


def as_command(config: RunConfig) -> str:
    """The shortest command line that starts the same run."""
    return command(settings(config))


def command(given: Mapping[str, Any]) -> str:
    """The command line of dotted settings; None is left out."""
    words = ["esacl run"]
    for key, value in given.items():
        if value is None:
            continue
        option = f"--{key.replace('_', '-')}"
        if key not in OPTIONS:
            words.append(f"--set {shlex.quote(f'{key}={_shown(value)}')}")
        elif str(value).startswith("-"):
            words.append(f"{option}={shlex.quote(str(value))}")  # or it would be taken for an option
        else:
            words.append(f"{option} {shlex.quote(str(value))}")
    return " ".join(words)


def _resolved(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that follows from these; none where they make no config without others beside them."""
    try:
        return dotted(read_config(None, dict(given)).to_dict())
    except InputError:
        return {}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value not in ("true", "false", "inf", "nan") else _toml(value)
    return _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    # JSON's strings, numbers and truth values are TOML's too, but for DEL.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
