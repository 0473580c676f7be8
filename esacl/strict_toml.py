"""TOML of strangers: what a person writes is read, and what only takes memory and time is refused first."""

import re
import tomllib
from typing import Any

MOST_PARTS = 20  # of a key with dots: its reader needs room for the square of them, 1.6 GB for a key of 40 kB
_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{_PART}){{{MOST_PARTS}}}")


def decode(text: str) -> dict[str, Any]:
    """What a TOML text holds.

    Raises:
        ValueError: not TOML (`tomllib.TOMLDecodeError`), a key of too many parts, or a number too long.
        RecursionError: nested too deeply.
    """
    if _LONG_KEY.search(text):
        raise ValueError(f"a key has more than {MOST_PARTS} parts")
    return tomllib.loads(text)
