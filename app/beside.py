"""What a run took by the clock, beside finished runs of other methods that answered the same question here."""

from collections.abc import Callable, Sequence

import streamlit as st

from app import comparing, grouping, session, widgets
from app.bills import Bar
from app.comparison import Group
from app.figures import costs, palette
from app.language import text
from app.reading import Entry
from app.wording import HELD, size
from esacl import outcomes
from esacl.config import RunConfig

AT_ONCE = 10


def panel(entry: Entry) -> None:
    """Time and memory of the run and of its rivals; where it has none, what would make one."""
    rivals = fair(_equal(entry), entry.run_id)
    st.header(text("By the clock"))
    if len(rivals) < 2:
        st.caption(
            text(
                "No other method has finished the same problem on this machine: same network, images and epochs. Run "
                "one, and its time and memory stand here beside this run's."
            )
        )
        return
    clock = "training_seconds" if all(g.row["training_seconds"] is not None for g in rivals) else "seconds"
    title = text("seconds of training") if clock == "training_seconds" else text("seconds of the whole run")
    left, right = st.columns(2, gap="large")
    with left:
        _draw(bars(rivals, clock), title, "s", lambda seconds: f"{seconds:.3g}{HELD}s")
    with right:
        _draw(bars(rivals, "peak_bytes"), text("most memory, measured"), text("bytes"), size)
    st.caption(
        text(
            "Measured: finished runs of the same problem with the same network, images and epochs, on the same "
            "processor; means over seeds where there are several. %(clock)s Memory: of the whole process. In brackets: "
            "relative to this run.",
            clock=text("Seconds: of the training steps alone.")
            if clock == "training_seconds"
            else text("Seconds: of the whole run, with all that is evaluated and shown."),
        )
    )


def _draw(found: list[Bar], title: str, unit: str, form: Callable[[float], str]) -> None:
    if found:
        drawn = costs.bars(found, title, unit, form, against=found[0].value, against_name=text("this run"))
        widgets.draw(drawn, key=f"beside-{unit}")


def fair(found: Sequence[Group], run_id: str) -> list[Group]:
    """Of groups of equal effort that of the run, then its rivals on the same machine. Empty where it is in none."""
    own = next((group for group in found if run_id in group.row["runs"]), None)
    if own is None:
        return []
    same = [group for group in found if _machine(group) == _machine(own)]
    shown = grouping.to_begin_with(same, run_id, AT_ONCE)
    return [own, *(group for group in shown if group is not own)]


def bars(found: Sequence[Group], measure: str) -> list[Bar]:
    """A bar a group, the run's own first; those in which it was not measured are left out. Empty without the own."""
    if found[0].row[measure] is None:
        return []
    made = []
    for place, group in enumerate(found):
        value, told = group.row[measure], f"{group.label}, n = {group.row['n']}"
        if value is not None:
            name = group.label if place else text("this run")
            made.append(Bar(name, float(value), told, look=palette.look(group.method)))
    return made


def _machine(group: Group) -> tuple[str, ...]:
    hardware = group.summaries[0]["hardware"] or {}
    return tuple(str(hardware.get(key)) for key in ("cpu", "cores", "device_name", "processes"))


def _effort(config: RunConfig) -> tuple[object, ...]:
    """What two runs must have in common before their clocks may be compared, as far as the configs say it."""
    return tuple(getattr(config, key) for key in (*outcomes.PROBLEM, *outcomes.EFFORT, "threads"))


def _equal(entry: Entry) -> Sequence[Group]:
    """The finished runs of equal effort: no other is read, of however many there are."""
    if entry.status.state != "finished" or entry.config is None:
        return []
    own = _effort(entry.config)
    return comparing.grouped([one for one in session.listed() if one.config and _effort(one.config) == own]).groups
