"""JSON as the project writes it, and nothing else: every number finite, every key once."""

import json
import math
from typing import Any


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not allowed")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key occurs twice")
    return fields


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


# Built once: `json.loads` with options builds a new one for each of a file's thousands of lines.
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant, object_pairs_hook=_no_duplicates)


def decode(text: str | bytes) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: not UTF-8, not JSON, NaN, infinity or an overflowing number, a key that occurs twice.
        RecursionError: nested too deeply.
    """
    return _DECODER.decode(text.decode() if isinstance(text, bytes) else text)
