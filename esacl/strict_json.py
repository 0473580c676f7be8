"""JSON as the project writes it, and nothing else: every number finite, every key once, every text whole."""

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
        ValueError: not UTF-8, not JSON, NaN, infinity or an overflowing number, a key that occurs twice, half a sign.
        RecursionError: nested too deeply.
    """
    text = text.decode() if isinstance(text, bytes) else text
    found = _DECODER.decode(text)
    if "\\ud" in text or "\\uD" in text:  # few texts have any
        _refuse_halves(found)
    return found


def _refuse_halves(found: Any) -> None:
    """JSON can spell one half of a sign that takes two (a lone surrogate), and no file and no screen takes it."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!a} is half a sign") from None


def encode(content: Any, **style: Any) -> str:
    """A JSON text that `decode` takes: NaN is refused, and for half a sign, as in a path of other bytes, stands "?"."""
    text = json.dumps(content, allow_nan=False, **style)
    if "\\ud" in text:
        whole = json.dumps(content, ensure_ascii=False).encode(errors="replace")
        text = json.dumps(json.loads(whole), allow_nan=False, **style)
    return text
