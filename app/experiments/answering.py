"""What every experiment says once the reader has committed: whether it came out so, and by which numbers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app.language import text


@dataclass(frozen=True)
class Finding:
    """What the data at hand say: which of the options came out, in which numbers, and what theory has against it."""

    true: frozenset[str]  # the options that came out; none where the data cannot tell
    said: tuple[str, ...]  # sentences with numbers, Markdown
    against: str = ""  # where it is not what one expects: what one expects, and why it may not have come


def found(true: Collection[str] | str, said: Sequence[str], against: str = "") -> Finding:
    """A finding; one option or several."""
    return Finding(frozenset({true} if isinstance(true, str) else true), tuple(said), against)


def answer(guess: str, options: Mapping[str, str], finding: Finding, *, key: str) -> None:
    """The verdict on the prediction, then the numbers, then what contradicts the expectation."""
    with st.container(key=f"answer-{key}"):
        st.markdown(f"**{verdict(guess, options, finding)}**")
        st.markdown("\n".join(f"- {sentence}" for sentence in finding.said))
        if finding.against:
            st.markdown(text("**Not as expected.** %(against)s", against=finding.against))


def verdict(guess: str, options: Mapping[str, str], finding: Finding) -> str:
    """One sentence about the prediction."""
    if not finding.true:
        return text("These data cannot tell.")
    if guess in finding.true:
        return text("It came out as you predicted.")
    came = text("; or: ").join(options[name] for name in options if name in finding.true)
    return text("It came out otherwise: %(came)s", came=came)
