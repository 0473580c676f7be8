"""Predict, then see: a question that the reader answers before the figure is shown."""

from collections.abc import Mapping

import streamlit as st

from app import session
from app.language import text


def predict(question: str, options: Mapping[str, str], *, key: str) -> str | None:
    """Ask, and return what the reader committed to; None until then, so that the caller shows no answer before.

    Args:
        question: One sentence.
        options: value -> how it is written; none of them is chosen beforehand.
        key: Names the question in this session, where the prediction is kept until it is asked again.
    """
    kept = f"predicted-{key}"
    committed = session.remembered(kept)
    with st.container(key=f"predict-{key}"):
        if isinstance(committed, str) and committed in options:
            _kept(question, options[committed], kept, key)
            return committed
        _ask(question, options, kept, key)
    return None


def _ask(question: str, options: Mapping[str, str], kept: str, key: str) -> None:
    st.markdown(f"**{question}**")
    chosen = st.radio(
        question,
        list(options),
        index=None,
        format_func=lambda value: options[value],
        key=f"ask-{key}",
        label_visibility="collapsed",
    )
    st.button(
        text("Commit, and see"),
        key=f"commit-{key}",
        disabled=chosen is None,
        on_click=session.remember,
        args=(kept, chosen),
        help=text("Choose an answer first: a prediction that can be wrong is worth more than a look.")
        if chosen is None
        else None,
    )


def _kept(question: str, answer: str, kept: str, key: str) -> None:
    st.caption(question)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(text("You predicted: **%(answer)s**", answer=answer), width="content")
        st.button(
            text("Ask me again"), key=f"again-{key}", type="tertiary", on_click=session.remember, args=(kept, None)
        )
