"""Groups of runs -> tidy DataFrames of what is compared: one function a question. No streamlit in here."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from string import ascii_lowercase
from typing import Any

import pandas as pd

from app.figures import palette
from app.language import marked, text
from app.wording import brief, whole
from esacl import comparing, outcomes

Summary = dict[str, Any]
AXES = {  # what accuracy is drawn against: (as it is written, column of `outcomes`, whether less is better)
    "flops": ("FLOPs", "train_flops", True),
    "memory": (marked("memory kept"), "kept_bytes", True),
    "sparsity": (marked("sparsity"), "smallest_sparsity", False),
    "published": (marked("FLOPs, published rule"), "train_flops_published_rule", True),
}


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone, newest of each seed. `tag` tells groups of one method apart, on figures."""

    row: dict[str, Any]  # of `outcomes.groups`
    label: str
    tag: str
    summaries: tuple[Summary, ...] = field(repr=False)

    @property
    def method(self) -> str:
        """The name of the method."""
        return str(self.row["method"])


def groups(summaries: Sequence[Summary]) -> list[Group]:
    """The groups of these runs, in the order of the methods on all pages, dense before sparse."""
    by_id = {summary["run"]: summary for summary in summaries}
    order = {name: place for place, name in enumerate(palette.METHODS)}
    rows = outcomes.groups(summaries)
    rows.sort(key=lambda row: (order.get(row["method"], len(order)), row["sparsity"], row["settings"]))
    made = []
    for row in rows:
        members = tuple(by_id[run] for run in row["runs"])
        made.append(Group(row, _label(row, members[0]["config"]), "", members))
    return tagged(made)


def tagged(found: Sequence[Group]) -> list[Group]:
    """The groups with a letter each where a method, and so its colour and shape, comes more than once."""
    often, seen, made = Counter(group.method for group in found), Counter[str](), []
    for group in found:
        round_, place = divmod(seen[group.method], len(ascii_lowercase))
        letter = ascii_lowercase[place] + (str(round_ + 1) if round_ else "")
        seen[group.method] += 1
        made.append(replace(group, tag=letter if often[group.method] > 1 else ""))
    return made


def unequal(found: Sequence[Group]) -> str:
    """What a fair comparison has equal and these groups have not, as a line; empty where they are equals."""
    told = comparing.unequal([group.row for group in found], text("all"))
    return text("These methods were not given the same: %(told)s.", told=told) if told else ""


def mixed(found: Sequence[Group]) -> str:
    """Whose means are over runs of more than one state of EsaCL, or processor, as a line; empty where nobody's are."""
    rows = [{**group.row, "label": group.label} for group in found]

    def named(some: Sequence[dict[str, Any]]) -> str:
        return "; ".join(row["label"] for row in some)

    lines = [
        text("Means over runs of %(count)d versions: %(methods)s.", count=count, methods=named(some))
        for count, some in outcomes.mixed(rows, "version").items()
    ]
    lines += [
        text("Means over runs of %(count)d processors: %(methods)s.", count=count, methods=named(some))
        for count, some in outcomes.mixed(rows, "processor").items()
    ]
    return " ".join(lines)


def _label(row: dict[str, Any], config: dict[str, Any]) -> str:
    name = palette.written(row["method"], row["sparsity"], config["pruning"]["saliency"], config["sparcl"]["base"])
    count = row["buffer"]
    images = text("1 image") if count == 1 else text("%(count)s images", count=whole(count)) if count else ""
    sparsity = brief(row["sparsity"]) if row["sparsity"] > 0 else text("dense")
    return ", ".join(part for part in (name, images, _logits(config), sparsity, row["settings"]) if part)


def _logits(config: dict[str, Any]) -> str:
    if config["mask_logits"]:
        return text("masked logits")
    strength = config["balance_logits"]
    return text("balanced logits %(strength)s", strength=f"{strength:g}") if strength else ""


def tradeoff(found: Sequence[Group], axis: str, *, task_known: bool = False) -> pd.DataFrame:
    """Accuracy against a cost, one row a group: label, tag, method, n, x, x_sd, y, y_sd, front.

    `front`: no other group is at least as good in both and better in one. Joint training, which sees all tasks at once,
    is a mark to measure by: it stands beside the front. A group without a number is left out.
    """
    _, column, less = AXES[axis]
    accuracy = "average_accuracy_task" if task_known else "average_accuracy"
    names = ["label", "tag", "method", "n", "x", "x_sd", "y", "y_sd"]
    kept = [
        (g.label, g.tag, g.method, row["n"], row[column], row[f"{column}_sd"], row[accuracy], row[f"{accuracy}_sd"])
        for g in found
        if (row := g.row)[column] is not None and row[accuracy] is not None
    ]
    frame = pd.DataFrame(kept, columns=names).astype({"x": float, "x_sd": float, "y": float, "y_sd": float})
    rivals = frame[frame["method"] != "joint"]
    best = rivals[front(rivals["x"].tolist(), rivals["y"].tolist(), less_is_better=less)]
    frame["front"] = frame.index.isin(best.index)
    return frame


def front(xs: Sequence[float], ys: Sequence[float], *, less_is_better: bool) -> list[bool]:
    """Which points lie on the Pareto front of much `y` at little `x` (or at much, for sparsity)."""
    costs = [x if less_is_better else -x for x in xs]
    points = list(zip(costs, ys, strict=True))
    return [not any(c <= cost and v >= y and (c, v) != (cost, y) for c, v in points) for cost, y in points]


def so_far(found: Sequence[Group], *, task_known: bool = False) -> pd.DataFrame:
    """Average accuracy over the tasks learned so far: label, tag, method, after (0-based), value, sd, n."""

    def mean(matrix: list[list[float | None]], after: int) -> float | None:
        seen = [value for value in matrix[after][: after + 1] if value is not None]
        return statistics.fmean(seen) if len(seen) == after + 1 else None

    return _over_seeds(found, task_known, lambda matrix, i, _: mean(matrix, i), columns=lambda tasks: [0])


def on_tasks(found: Sequence[Group], *, task_known: bool = False) -> pd.DataFrame:
    """Accuracy on each task after each task: label, tag, method, after, on, value, sd, n."""
    return _over_seeds(found, task_known, lambda matrix, i, j: matrix[i][j] if j <= i else None, columns=range)


def _over_seeds(found: Sequence[Group], task_known: bool, value_of: Any, *, columns: Any) -> pd.DataFrame:
    tidy = []
    for group in found:
        matrices = [s["accuracy_matrix_task" if task_known else "accuracy_matrix"] or [] for s in group.summaries]
        learned = min((len(matrix) for matrix in matrices), default=0)
        for after in range(learned):
            for on in columns(len(matrices[0][0])):
                values = [value_of(matrix, after, on) for matrix in matrices]
                known = [value for value in values if value is not None]
                if len(known) == len(values) and known:
                    sd = statistics.stdev(known) if len(known) > 1 else None
                    mean = statistics.fmean(known)
                    tidy.append((group.label, group.tag, group.method, after, on, mean, sd, len(known)))
    names = ["label", "tag", "method", "after", "on", "value", "sd", "n"]
    return pd.DataFrame(tidy, columns=names).astype({"value": float, "sd": float})
