"""The control of the form that says which logits compete in class-IL while a task is learned."""

from typing import Any

import streamlit as st

from app.language import marked, text
from esacl.config import RunConfig
from esacl.defaults import BALANCED

OWN = "own"
LOGITS = {
    OWN: marked("as the method has it"),
    "all": marked("all so far, as they are"),
    "masked": marked("fresh images: today's only"),
    "balanced": marked("all, balanced by frequency"),
}
SWITCHES: dict[str, dict[str, Any]] = {
    OWN: {},
    "all": {"mask_logits": False, "balance_logits": 0.0},
    "masked": {"mask_logits": True},
    "balanced": {"mask_logits": False},
}
KEY = "new-logits"


def strength_of(method: str) -> tuple[str, float]:
    """The key of the control that says how strongly, and what it begins with."""
    begins = BALANCED if method == "esacl" else 1.0
    return f"new-balance-{begins}", begins


def control(method: str) -> dict[str, Any]:
    """The choice, as settings; what the method has of itself is left to it."""
    key, begins = strength_of(method)
    chosen = st.selectbox(
        text("Classes that compete"),
        list(LOGITS),
        key=KEY,
        format_func=lambda name: text(LOGITS[name]),
        help=text(
            "While a task is learned, its images outnumber what is replayed of earlier ones, and their classes would "
            "be preferred for that. Masked, fresh images compete among today's classes only. Balanced, each logit is "
            "raised by the log of its class's share, in training alone (balanced softmax)."
        ),
        persist_state="session",
    )
    found = dict(SWITCHES[chosen])
    if chosen == "balanced":
        found["balance_logits"] = st.number_input(
            text("Times the log of a class's share"),
            value=begins,
            step=0.25,
            key=key,
            help=text("1 is balanced softmax; more holds on to earlier classes."),
            persist_state="session",
        )
    return found


def of(config: RunConfig) -> str:
    """Which choice a config is."""
    others = {key: value for key, value in config.to_dict().items() if key not in ("mask_logits", "balance_logits")}
    usual = RunConfig.from_dict(others)
    if (usual.mask_logits, usual.balance_logits) == (config.mask_logits, config.balance_logits):
        return OWN
    return "masked" if config.mask_logits else "balanced" if config.balance_logits else "all"
