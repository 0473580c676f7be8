"""The glossary: the terms at hand on every page, beside the run; drawn while it is open, and alone."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from app import session
from app.language import text
from app.terms import TERMS, Term

KEY = "glossary"  # whether it is open
FORMULA = re.compile(r"\$[^$]+\$")
SPELLED = str.maketrans({"λ": "lambda", "θ": "theta", "ω": "omega", "_": None})  # as a keyboard has it
FOCUS = Path(__file__).parent / "component" / "focus.js"
_focus = st.components.v2.component("esacl_focus", js=FOCUS.read_text(encoding="utf-8"))


@st.fragment
def offer() -> None:
    """The button that opens the glossary; only what is open is drawn, and only the glossary runs again for it."""
    shown = st.popover(text("Glossary"), key=KEY, on_change="rerun", width="content")
    if shown.open:
        with shown:
            _terms()


def close() -> None:
    """Shut it, as on the way to another page."""
    session.remember(KEY, False)


def sought(written: str, terms: Iterable[Term] = TERMS) -> list[Term]:
    """The terms that have `written` in their name, then those that have it in their meaning.

    Both in the alphabetical order of the reader; in another language than English the English name is a name as well.
    """
    wanted = _plain(written.strip())

    def named(term: Term) -> bool:
        return wanted in _plain(f"{text(term.name)} {term.name}")

    found = [term for term in terms if named(term) or wanted in _plain(FORMULA.sub("", text(term.meaning)))]
    return sorted(found, key=lambda term: (not named(term), _place(text(term.name))))


def _terms() -> None:
    written = st.text_input(text("Find a term"), key="glossary-find", live=True, placeholder=text("part of a word"))
    with st.container(key="glossary-focus"):
        _focus(key="focus")
    found = sought(written or "")
    with st.container(key="glossary-terms", gap="medium"):
        if not found:
            st.caption(text("No term has these letters in it."))
        for term in found:
            with st.container(gap=None):
                st.markdown(f"**{text(term.name)}**  \n{text(term.meaning)}")
                st.page_link(f"../pages/{term.see}.py", query_params=session.appearance())


def _plain(written: str) -> str:
    """Letters as a keyboard has them: `lambda_max` finds λₘₐₓ."""
    return unicodedata.normalize("NFKC", written).casefold().translate(SPELLED)


def _place(name: str) -> bytes:
    """Where a name stands in the alphabet; GB 18030 has the common Chinese signs in the order of their sound."""
    return _plain(name).encode("gb18030")
