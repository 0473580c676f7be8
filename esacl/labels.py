"""What a run is called, kept beside its config: a run may be renamed, and what was started stays as it was."""

import unicodedata
from pathlib import Path

from esacl.durable import read_json, replace_json
from esacl.errors import InputError, RunUnreadable

FILE = "label.json"
MOST_CHARACTERS = 200
_TURNING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}  # they turn the rest of a line round


def label_of(folder: Path) -> str | None:
    """The name that somebody gave the run after its start; None where nobody did, or where it cannot be read."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return checked(read_json(path)["name"])
    except (RunUnreadable, InputError, KeyError):
        return None  # a name is an extra: the run is none the worse without


def write_label(folder: Path, name: str) -> None:
    """Call the run `name`; "" stands for no name.

    Raises:
        InputError: no text of at most 200 characters, or the folder cannot be written.
    """
    name = checked(name)
    try:
        replace_json(folder / FILE, {"name": name})
    except OSError as error:
        raise InputError(f"{folder / FILE} cannot be written ({error.strerror}); mend the folder") from None


def checked(name: object) -> str:
    """`name` in one line.

    Raises:
        InputError: no text, too long, or with characters that no screen shows.
    """
    if not isinstance(name, str):
        raise InputError(f"a run's name is text, not {type(name).__name__}")
    name = " ".join(name.split())
    if len(name) > MOST_CHARACTERS:
        raise InputError(f"a run's name has at most {MOST_CHARACTERS} characters, not {len(name)}; write a shorter one")
    if any(unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING for character in name):
        raise InputError("a run's name holds no control characters; leave them out")
    return name
