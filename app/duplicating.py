"""A new run made from an old one: the form filled as that one was, and what is different said beside it."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from app import results, session, widgets
from app.language import text
from app.reading import Entry
from esacl.config import RunConfig, dotted
from esacl.defaults import RANKED, prepared
from esacl.reproducing import settings

# Of what the form has no control for: settings and sections that mean the same to every method.
OF_ANY_METHOD = (
    "activation", "batch_size", "schedule", "momentum", "augment", "resolution", "evaluation", "threads", "curvature",
)  # fmt: skip


def begin(entry: Entry, fill: Callable[[RunConfig], set[str]]) -> None:
    """Fill the form of the Run page with a run's settings; those that it has no control for are carried along.

    Args:
        entry: the run.
        fill: sets the form, and returns which settings it has a control for.
    """
    config = entry.config
    if config is None:
        return
    reached = fill(config)
    rest = {key: value for key, value in settings(config).items() if key not in reached}
    session.remember("_source", (entry.run_id, results.named(entry), config, rest))


def carried(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that come from the run that is duplicated, and that the form has no control for.

    Where another method is chosen, what was set for that run's own stays behind, its learning rate included; and so
    does how it was cut, where what is chosen has no such cut.
    """
    source = session.remembered("_source")
    if source is None:
        return {}
    _, _, before, rest = source
    if chosen["method"] != before.method:
        return {key: value for key, value in rest.items() if key.partition(".")[0] in OF_ANY_METHOD}
    return {key: value for key, value in rest.items() if key not in _without_meaning(chosen)}


def _without_meaning(chosen: Mapping[str, Any]) -> set[str]:
    """What of a cut is none of a run with these (dotted) settings."""
    form = {"form": chosen["sdp.form"]} if chosen.get("sdp.form") else {}
    one_cut = prepared(chosen["method"], {"sparsity": chosen["sparsity"], "sdp": form})
    ranked = chosen["sparsity"] > 0 and (chosen.get("pruning.allocation") or "global") in RANKED
    return (set() if one_cut else {"sdp.cut"}) | (set() if ranked else {"pruning.flops_exponent"})


def announce() -> None:
    """Above the form, whose run it is a copy of; nothing where it is of none."""
    source = session.remembered("_source")
    if source is not None:
        said = text("A copy of **%(name)s**: change something, then start it.", name=widgets.plain(source[1]))
        widgets.say("info", said)


def compared(config: RunConfig | None) -> None:
    """What is different from the run that is duplicated, while one is."""
    source = session.remembered("_source")
    if source is None:
        return
    run_id, name, before, rest = source
    taken = carried(dotted(config.to_dict())) if config else rest
    with st.container(key="source"):
        if config is not None:
            changes = "; ".join(differences(before, config)[:6])
            said = text("but for: %(changes)s", changes=changes) if changes else text("nothing is changed yet")
            st.caption(widgets.plain(text("As %(name)s (%(run)s), %(said)s.", name=name, run=run_id, said=said)))
        if taken:
            said = text("Taken over from it, without a control here: %(settings)s.", settings=_listed(taken))
            st.caption(widgets.plain(said))
        if left := {key: value for key, value in rest.items() if key not in taken}:
            told = text("Left behind, as set for its method or its cut: %(settings)s.", settings=_listed(left))
            st.caption(widgets.plain(told))
        forget = ("_source", None)
        st.button(text("Let go of that run"), key="let-go", on_click=session.remember, args=forget, type="tertiary")


def differences(before: RunConfig, after: RunConfig) -> list[str]:
    """What of `after` is not as `before` has it: "seed 0 → 1"."""
    old, new = dotted(before.to_dict()), dotted(after.to_dict())
    return [f"{key} {_shown(old[key])} → {_shown(new[key])}" for key in old if old[key] != new[key]]


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in settings.items())


def _shown(value: Any) -> str:
    if value is None:
        return text("none")
    return f"{value:.6g}" if isinstance(value, float) else (str(value)[:40] or text("none"))
