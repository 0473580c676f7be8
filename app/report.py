"""Runs beside each other as one HTML file: `python -m app.report RUN ... --out FILE`, which `esacl compare` starts."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from app import comparison, downloads, literature, results, writing
from app.comparison import Group
from app.figures import compared
from app.language import text
from esacl import comparing
from esacl.store import RunStore
from esacl.summary import summarise

Family = tuple[str, str, int, str]  # benchmark, scenario, tasks, evaluation: what may share an axis


def family(config: Mapping[str, Any]) -> Family:
    """Runs of one family may stand on one axis; others may not."""
    return config["benchmark"], config["scenario"], config["tasks"], config["evaluation"]


def named(of: Family) -> str:
    """A family as the reader knows it."""
    benchmark, scenario, tasks, evaluation = of
    told = f"{benchmark}, {scenario}-IL, {results.so_many(tasks)}"
    return told if evaluation == "test" else text("%(told)s, on validation images", told=told)


def published(found: Sequence[Group], *, task_known: bool = False) -> list[literature.Reference]:
    """The literature for the stream that these groups learned."""
    if not found:
        return []
    first = found[0].summaries[0]
    benchmark, scenario, tasks, evaluation = family(first["config"])
    if evaluation != "test":  # what was published is of test images
        return []
    classes = (first.get("network") or {}).get("classes", 0)
    return literature.references(benchmark, "task" if task_known else scenario, tasks, classes)


def page(found: Sequence[Group], *, about: str = "", title: str = "") -> bytes:
    """One file that needs nothing else: for each family a table and all figures."""
    families: dict[Family, list[Group]] = {}
    for group in found:
        families.setdefault(family(group.summaries[0]["config"]), []).append(group)
    sections = []
    for of, members in families.items():
        tagged = comparison.tagged(members)
        sections.append((named(of), *_section(tagged, of)))
        if of[1] == "class":
            title_known = text("%(family)s, task known", family=named(of))
            sections.append((title_known, *_section(tagged, of, task_known=True)))
    about = about or text("Mean ± sample standard deviation over n seeds.")
    return downloads.comparison(title or text("Runs compared"), about, sections)


def _section(
    found: Sequence[Group], of: Family, *, task_known: bool = False
) -> tuple[list[str], list[list[str]], list[dict[str, Any]]]:
    marks = published(found, task_known=task_known)
    # Known or not, the table is the same: it has a column of its own for tasks that are known.
    names, cells = ([], []) if task_known else comparing.cells([group.row for group in found])
    frames = [comparison.tradeoff(found, axis, task_known=task_known) for axis in comparison.AXES]
    on_tasks = comparison.on_tasks(found, task_known=task_known)
    trades = [compared.tradeoff(frame, axis, marks) for frame, axis in zip(frames, comparison.AXES) if len(frame)]
    for drawing in trades:
        said = comparison.unequal(found), comparison.mixed(found), literature.caption(marks, of[1] == "task")
        drawing["caption"] = " ".join(part for part in said if part)
    parts = [downloads.part(*trades)]
    if len(on_tasks):
        so_far = comparison.so_far(found, task_known=task_known)
        curves = compared.so_far(so_far, of[2]), compared.at_the_end(on_tasks, of[2])
        parts += [
            downloads.part(*curves, compared.legend(on_tasks)),
            downloads.part(*compared.each_task(on_tasks, of[2]), even=True),
        ]
    return names, cells, parts


def main(arguments: Sequence[str] | None = None) -> int:
    """`writing.write` of several runs."""

    def make(store: RunStore, ids: list[str]) -> bytes:
        return page(comparison.groups([summarise(store.read(run_id)) for run_id in ids]))

    about = "Runs compared, as one HTML file."
    return writing.write(arguments, make, prog="python -m app.report", about=about, several=True)


if __name__ == "__main__":
    sys.exit(main())
