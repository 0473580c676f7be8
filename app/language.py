"""The words on the screen, in the reader's language: `text("The accuracy matrix")`.

The English sentence in the code is the source and the key. A translation is one file, `app/texts/LANGUAGE.po`, in
GNU gettext's format, which translators' tools read; a sentence that it lacks stays English. Values go in by name,
`text("task %(task)d of %(tasks)d", task=1, tasks=5)`, so that a language can order them as it must; `%` is doubled
where, and only where, values are given.
"""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from babel.messages.pofile import read_po

FOLDER = Path(__file__).parent / "texts"
SOURCE = "en"
LANGUAGES = {"en": "English", "zh": "中文"}  # code -> its name for its own readers


Made = TypeVar("Made")
_ask: Callable[[], str | None] | None = None
_later: ContextVar[str | None] = ContextVar("language", default=None)


def spoken_by(ask: Callable[[], str | None]) -> None:
    """Say who knows the reader's language, which is the session's; figures alone, in a test, speak English."""
    global _ask
    _ask = ask


def language() -> str:
    """The code of the language that is read now."""
    code = _later.get() or (_ask() if _ask is not None else None)
    return code if code in LANGUAGES else SOURCE


def kept(make: Callable[[], Made]) -> Callable[[], Made]:
    """`make`, to be called later and outside of the session, in the language that is read now."""
    code = language()

    def made() -> Made:
        before = _later.set(code)
        try:
            return make()
        finally:
            _later.reset(before)

    return made


def text(message: str, /, **values: object) -> str:
    """`message` in the reader's language, with `values` in it.

    Args:
        message: The English text, a literal, so that `pybabel extract` finds it.
        values: What stands for `%(name)s`, `%(name)d`, ... in it.
    """
    code = language()
    found = message if code == SOURCE else catalogue(code).get(message, message)
    return found % values if values else found


def listed(parts: Iterable[str]) -> str:
    """A few words one after the other."""
    return text(", ").join(parts)


def clauses(parts: Iterable[str]) -> str:
    """What is more than a word each, one after the other."""
    return text("; ").join(parts)


def marked(message: str) -> str:
    """`message` itself, noted for translation: for texts in tables, which `text` translates when they are shown."""
    return message


@lru_cache
def catalogue(code: str) -> Mapping[str, str]:
    """English -> the language `code`; empty where there is no file."""
    path = FOLDER / f"{code}.po"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        messages = read_po(file, locale=code)
    return {
        str(message.id): str(message.string)
        for message in messages
        if message.id and message.string and not message.fuzzy
    }
