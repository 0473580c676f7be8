"""Events as JSON lines, there and back."""

import dataclasses
import functools
import types
import typing
from typing import Any

from esacl import strict_json
from esacl.errors import RunUnreadable
from esacl.events import EVENTS, Event

_NOT_A_LINE = {"arrays", "tensors", "counters"}
_MOST_INT = 2**63  # what an array can hold
_GONE = {"Stepped": {"curvature_term", "lambda_max"}}  # fields that older lines have, and that nothing ever measured


def to_line(event: Event) -> str:
    """One JSON line without the newline; NaN and infinity are refused (undefined is null)."""
    fields = {f.name: getattr(event, f.name) for f in dataclasses.fields(event) if f.name not in _NOT_A_LINE}
    return strict_json.encode({"event": type(event).__name__, **fields}, separators=(",", ":"))


def from_line(line: str | bytes) -> Event:
    """The event of a JSON line.

    Raises:
        RunUnreadable: not JSON, an unknown event, a missing, unknown or wrongly typed field.
    """
    try:
        fields = strict_json.decode(line)
    except (ValueError, RecursionError) as error:
        raise RunUnreadable(f"not an event line ({error})") from None
    kind = EVENTS.get(str(fields.pop("event", ""))) if isinstance(fields, dict) else None
    if kind is None:
        raise RunUnreadable(f"unknown event in line {line[:80]!r}; this run may come from a newer version")
    known = _field_types(kind)
    for name in _GONE.get(kind.__name__, ()):
        fields.pop(name, None)
    odd = sorted((fields.keys() - known.keys()) | (known.keys() - fields.keys() - _with_default(kind)))
    if odd:
        names = ", ".join(name if name.isidentifier() else repr(name) for name in odd)
        raise RunUnreadable(f"{kind.__name__} has missing or unknown fields: {names[:400]}")
    return kind(**{name: _checked(kind, name, value, known[name]) for name, value in fields.items()})


def _checked(kind: type, name: str, value: Any, wanted: Any) -> Any:
    if isinstance(value, list):
        value = tuple(value)
    if type(value) is wanted and (wanted is not int or abs(value) < _MOST_INT):  # nearly every field of a long file
        return value
    if not _fits(value, wanted):
        raise RunUnreadable(f"{kind.__name__}.{name}: {value!r:.80} is not {wanted}")
    return float(value) if wanted in (float, float | None) and value is not None else value


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(wanted))
    if typing.get_origin(wanted) is tuple:
        return isinstance(value, tuple) and all(_fits(item, typing.get_args(wanted)[0]) for item in value)
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e308
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST_INT
    return value is None if wanted is types.NoneType else isinstance(value, wanted)


@functools.cache
def _field_types(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.name not in _NOT_A_LINE}


@functools.cache
def _with_default(kind: type) -> frozenset[str]:
    """Fields that came later: older lines read without them. A digest is no such field: it is made, not assumed."""
    found = (f.name for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING)
    return frozenset(found) - {"digest"}
