"""The Compare page's choices, its table and what can be taken along."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pandas as pd
import streamlit as st

from app import comparison, downloads, grouping, reading, report, widgets
from app.comparison import Group
from app.drawing import Drawing
from app.figures import compared
from app.grouping import Grouped
from app.language import text
from app.reading import Entry
from esacl import comparing, printing

Made = TypeVar("Made")


def family_picker(entry: Entry, found: Sequence[Entry]) -> tuple[report.Family, Grouped]:
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
    made = grouped(families[names[chosen]])
    for reason in made.refused:
        widgets.say("warning", text("A run is left out: %(reason)s", reason=reason))
    return names[chosen], made


def grouped(found: Sequence[Entry]) -> Grouped:
    """`grouping.grouped`, with a bar while many runs are read for the first time."""
    bar = st.empty()

    def tell(done: int, every: int) -> None:
        said = text("Reading the runs, which is done once: %(done)d of %(every)d", done=done, every=every)
        bar.progress(done / every, said)

    made = grouping.grouped(found, tell)
    bar.empty()
    return made


def groups_picker(found: Sequence[Group], of: report.Family, run_id: str) -> list[Group]:
    """Which groups to show: all until somebody chooses, or of many a few, with a line that says which."""
    by_identity = {str(group.row["identity"]): group for group in found}
    names = list(by_identity)
    first = [str(group.row["identity"]) for group in grouping.to_begin_with(found, run_id)]
    chosen = st.multiselect(
        text("Methods"),
        names,
        default=first,
        format_func={name: f"{group.label} (n = {group.row['n']})" for name, group in by_identity.items()}.__getitem__,
        key=f"methods-{'/'.join(map(str, of))}-{len(names)}",
    )
    if len(names) > len(first):
        told = {"shown": len(chosen), "every": len(names)}
        st.caption(
            text(
                "%(shown)d of %(every)d are shown; to begin with, the run above and the newest of each method. "
                "Type to find another.",
                **told,
            )
        )
    return comparison.tagged([by_identity[name] for name in names if name in chosen])


def keeper(every: Grouped, found: Sequence[Group], task_known: bool) -> Callable[..., Any]:
    """`kept(what, make, *given)`: what `make` makes of the chosen groups, made again where one of them is another."""
    chosen = tuple(group.row["identity"] for group in found)

    def kept(what: str, make: Callable[[], Made], *given: str) -> Made:
        return reading.once(make, f"compare-{what}", (), every.key, chosen, task_known, *given)

    return kept


def curves(
    found: Sequence[Group], on_tasks: pd.DataFrame, tasks: int, *, task_known: bool
) -> tuple[list[Drawing], list[Drawing]]:
    """The means over the tasks so far and what is left at the end; then each task by itself."""
    so_far = comparison.so_far(found, task_known=task_known)
    means = [compared.so_far(so_far, tasks), compared.at_the_end(on_tasks, tasks)]
    return means, compared.each_task(on_tasks, tasks)


def table(found: Sequence[Group]) -> None:
    """One row a group: mean ± sample standard deviation over seeds, n."""
    columns, cells = comparing.cells([{**group.row, "settings": ""} for group in found])  # they are in the label
    frame = pd.DataFrame(cells, columns=columns)
    hidden = (
        "name", "status", "benchmark", "scenario", "method", "base", "buffer", "logits", "sparsity, %",
        "λmax dense", "λmax pruned",
    )  # fmt: skip
    frame = frame.drop(columns=[name for name in hidden if name in frame])
    frame.insert(0, "method", [group.label for group in found])
    numbers = [name for name in map(str, frame.columns) if name not in printing.WORDS]
    frame[numbers] = frame[numbers].map(lambda cell: cell.replace("-", "−"))  # a file has hyphens, which programs read
    widgets.grid(frame, text("Runs compared"), key="compared-table", numbers=numbers)


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


def to_save(of: report.Family, what: str, *drawings: Drawing, key: Drawing) -> list[Drawing]:
    """The drawings with a button that saves each as PNG, the key of its marks below it."""
    base = f"esacl-{of[0]}-{of[1]}-{what}"
    if len(drawings) == 1:
        return [{**drawings[0], "save": base, "key": key}]
    return [{**drawing, "save": f"{base}-{place + 1}", "key": key} for place, drawing in enumerate(drawings)]
