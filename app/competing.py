"""The control of the form that says which logits compete in class-IL while a task is learned."""

from typing import Any

import streamlit as st

from app.language import marked, text
from esacl.config import RunConfig, read_config

OWN = "own"
LOGITS = {
    OWN: marked("as the method has it"),
    "all": marked("all classes so far, as they are"),
    "masked": marked("fresh images: today's classes only"),
    "balanced": marked("all, balanced by how often a class is seen"),
}
SWITCHES: dict[str, dict[str, Any]] = {
    OWN: {},
    "all": {"mask_logits": False, "balance_logits": 0.0},
    "masked": {"mask_logits": True},
    "balanced": {"balance_logits": 1.0},
}
KEY, STRENGTH = "new-logits", "new-balance"


def control() -> dict[str, Any]:
    """The choice, as settings; what the method has of itself is left to it."""
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
            value=found["balance_logits"],
            step=0.25,
            key=STRENGTH,
            help=text("1 is balanced softmax; more holds on to earlier classes."),
            persist_state="session",
        )
    return found


def of(config: RunConfig) -> str:
    """Which choice a config is."""
    fields = ("benchmark", "scenario", "method")
    told = {key: getattr(config, key) for key in fields} | {"sparcl.base": config.sparcl.base}
    if config.method != "joint":
        told["buffer.size"] = config.buffer.size
    usual = read_config(None, told)
    if (usual.mask_logits, usual.balance_logits) == (config.mask_logits, config.balance_logits):
        return OWN
    return "masked" if config.mask_logits else "balanced" if config.balance_logits else "all"
