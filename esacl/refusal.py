"""What a config refuses, in one line a person can act on."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo


def one_line(error: ValidationError, config: type[BaseModel]) -> str:
    """The first thing that `config` refuses: its key, the value, and what will do."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    value, message = first["input"], first["msg"]
    section: Any = config
    for part in first["loc"][:-1]:
        section = section.model_fields[str(part)].annotation
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r:.80}; choose from {', '.join(section.model_fields)}"
    if first["type"] in ("string_unicode", "invalid_key") and (place := _section(config, first["loc"])):
        return f"unknown key {value!r:.80}; choose from {', '.join(place.model_fields)}"
    if first["type"] == "literal_error":
        names = first["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"unknown {key} {value!r:.80}; choose from {names}"
    if first["type"] == "value_error":
        return message.removeprefix("Value error, ")
    if first["type"] == "model_type":
        inner, field = next(iter(section.model_fields[key].annotation.model_fields.items()))
        example = f"{key}.{inner}={field.default}"
        return f"{key}: {value!r:.80} will not do: {key} is a section; set a key of it, for example {example}"
    names = get_args(section.model_fields[str(first["loc"][-1])].annotation)
    if names and all(isinstance(name, str) for name in names):  # no text at all for one of a few
        return f"unknown {key} {value!r:.80}; choose from {', '.join(names)}"
    return f"{key}: {value!r:.80} will not do; choose {_range(section.model_fields[str(first['loc'][-1])])}"


def _section(config: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The section that has a key which is no text; None where it is a value that is none."""
    found: Any = config
    for part in place:
        found = found.model_fields[str(part)].annotation if str(part) in found.model_fields else found
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


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
