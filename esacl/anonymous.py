"""What a report about a fault leaves out: where the user's home is, and the names that were given to runs."""

import contextlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from esacl.config import BENCHMARK_NAMES, METHOD_NAMES, NETWORK_NAMES
from esacl.durable import open_regular
from esacl.labels import FILE as LABEL
from esacl.records import STATES

NAMED = "(named)"
_OUR_WORDS = {*METHOD_NAMES, *BENCHMARK_NAMES, *NETWORK_NAMES, *STATES}  # a run that is called so is not told apart
_NAME = re.compile(r'("name"\s*:\s*\[?\s*)("(?:[^"\\]|\\.)+"?)')  # by itself, for a damaged file has one too
_MOST_SHOWN = 80  # signs of a value's `repr`, in an error


def homeless(text: str) -> str:
    """`text` with "~" for the user's home; `/root` is not the beginning of `/rootfs`."""
    try:
        home = str(Path.home())
    except RuntimeError:  # nobody of this number is known to the system
        return text
    given = {home, os.path.realpath(home), os.fsencode(home).decode(errors="replace")} - {"/"}
    if not given or not os.path.isabs(home):
        return text
    return re.sub(f"(?:{'|'.join(map(re.escape, spellings(given)))})(?![\\w-])", "~", text)


def names_of(folder: Path) -> set[str]:
    """What the run in `folder` was called; one or two letters tell nothing and are in every word."""
    found = set()
    for file in ("config.json", LABEL):
        with contextlib.suppress(OSError), open_regular(folder / file) as content:
            for _, literal in _NAME.findall(content.read(2**20).decode(errors="replace")):
                name = _unquoted(literal)
                found |= {name, " ".join(name.split())}
    told = {name for name in found if len(name) > 2} - _OUR_WORDS
    return told | {repr(name)[1:-1][: _MOST_SHOWN - 1] for name in told}


def nameless(text: str, names: Iterable[str], *, log: bool) -> str:
    """`text` without these names, wherever they stand in a log; of other files, only where they are words of values."""
    found = [spelled for spelled in spellings(names) if spelled in text]  # few: a pattern of all names would be slow
    if not found:
        return text
    every = f"(?:{'|'.join(map(re.escape, found))})"
    if not log:  # behind a line end, as JSON spells it, a word begins too
        every = rf'(?:(?<!\w)|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{{4}})){every}(?!\w|"\s*:)'
    return re.sub(every, NAMED, text)


def nameless_config(text: str) -> str:
    """A config without the name that its run was given, however short."""
    return _NAME.sub(rf'\g<1>"{NAMED}"', text)


def spellings(texts: Iterable[str]) -> list[str]:
    """These texts as they are, as `repr` has them, and as JSON has these, which may be within JSON; longest first."""
    found = {spelled for text in texts for spelled in (text, repr(text)[1:-1])}
    for _ in range(2):
        found |= {json.dumps(text)[1:-1] for text in found}
    return sorted(found, key=len, reverse=True)


def _unquoted(literal: str) -> str:
    with contextlib.suppress(ValueError):
        return str(json.loads(literal, strict=False))
    return literal.strip('"')
