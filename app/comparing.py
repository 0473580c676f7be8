"""The Compare page's choices, its table and what can be taken along."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import comparison, downloads, reading, report, widgets
from app.comparison import Group
from app.drawing import Drawing
from app.language import text
from app.reading import Entry
from esacl import comparing
from esacl.errors import InputError


def family_picker(entry: Entry, found: Sequence[Entry]) -> tuple[report.Family, list[Group]]:
    """The finished runs of one benchmark, scenario and length; those of the run that the pages show until one chooses.

    Raises:
        NoRun: none has finished.
    """
    families: dict[report.Family, list[Entry]] = {}
    for one in found:
        if one.status.state == "finished" and one.config is not None:
            families.setdefault(report.family(one.config.to_dict()), []).append(one)
    if not families:
        raise reading.NoRun(text("No run has finished yet: there is nothing to compare."))
    own = report.family(entry.config.to_dict()) if entry.config else None
    names = {"/".join(map(str, of)): of for of in families}
    first = next((name for name, of in names.items() if of == own), next(iter(names)))
    chosen = st.selectbox(
        text("Benchmark and scenario"),
        list(names),
        index=list(names).index(first),
        format_func={name: report.named(of) for name, of in names.items()}.__getitem__,
        key=f"family-{first}",
    )
    return names[chosen], comparison.groups(_summaries(families[names[chosen]]))


def _summaries(found: Sequence[Entry]) -> list[dict[str, object]]:
    read = []
    for entry in found:
        try:
            read.append(reading.summary(entry))
        except InputError as error:
            widgets.say("warning", text("A run is left out: %(reason)s", reason=error))
    return read


def groups_picker(found: Sequence[Group], of: report.Family) -> list[Group]:
    """Which groups to show; all until somebody chooses."""
    by_identity = {str(group.row["identity"]): group for group in found}
    names = list(by_identity)
    chosen = st.multiselect(
        text("Methods"),
        names,
        default=names,
        format_func={name: f"{group.label} (n = {group.row['n']})" for name, group in by_identity.items()}.__getitem__,
        key=f"methods-{'/'.join(map(str, of))}-{len(names)}",
    )
    return comparison.tagged([by_identity[name] for name in names if name in chosen])


def table(found: Sequence[Group]) -> None:
    """One row a group: mean ± sample standard deviation over seeds, n."""
    columns, cells = comparing.cells([{**group.row, "settings": ""} for group in found])  # they are in the label
    frame = pd.DataFrame(cells, columns=columns)
    hidden = ("name", "status", "benchmark", "scenario", "method", "sparsity, %", "λmax dense", "λmax pruned")
    frame = frame.drop(columns=[name for name in hidden if name in frame])
    frame.insert(0, "method", [group.label for group in found])
    widgets.grid(frame, text("Runs compared"), key="compared-table")


def exports(found: Sequence[Group], of: report.Family) -> None:
    """The table as CSV and LaTeX, everything as one HTML file."""
    rows = [group.row for group in found]
    title = text("Compared on %(family)s", family=report.named(of))
    files = {
        "csv": lambda: comparing.as_csv(rows).encode(),
        "tex": lambda: comparing.as_latex(rows).encode(),
        "html": lambda: report.page(found, title=title),
    }
    downloads.row(f"esacl-compare-{of[0]}-{of[1]}", files, key="compared")


def to_save(of: report.Family, what: str, *drawings: Drawing) -> list[Drawing]:
    """The drawings with a button that saves each as PNG."""
    base = f"esacl-{of[0]}-{of[1]}-{what}"
    if len(drawings) == 1:
        return [{**drawings[0], "save": base}]
    return [{**drawing, "save": f"{base}-{place + 1}"} for place, drawing in enumerate(drawings)]
