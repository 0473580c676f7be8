"""Events and arrays -> tidy DataFrames, one function a question. No streamlit in here."""

from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from app.language import marked
from esacl.errors import RunUnreadable
from esacl.events import Event, Pruned, Stepped

Arrays = Mapping[str, np.ndarray]


def rows(frame: pd.DataFrame) -> list[Any]:
    """The rows of a frame as named tuples, of the types that were put in."""
    values = (column.tolist() for _, column in frame.items())
    return list(map(_row(tuple(frame.columns))._make, zip(frame.index.tolist(), *values)))


@lru_cache
def _row(columns: tuple[str, ...]) -> Any:
    # What `DataFrame.itertuples` makes, but made once: a page asks for the rows of dozens of small frames.
    return namedtuple("Row", ("Index", *columns), rename=True)


def losses(events: Sequence[Event]) -> pd.DataFrame:
    """Training over the whole run, one row an event; `step` counts over all tasks."""
    found: list[tuple[float | None, ...]] = []
    lengths: dict[int, int] = {}
    for event in events:
        if isinstance(event, Stepped):
            lengths[event.task] = event.steps
            before = sum(steps for task, steps in lengths.items() if task < event.task)
            step = before + event.step
            now = (event.loss, event.ramp, event.density, event.flips, event.doomed_share, event.selection_ratio)
            found.append((step, event.task, event.epoch, *now))
    columns = ["step", "task", "epoch", "loss", "ramp", "density", "flips", "doomed_share", "selection_ratio"]
    return pd.DataFrame(found, columns=columns).astype({"selection_ratio": float})


def thinned(frame: pd.DataFrame, most: int = 500) -> pd.DataFrame:
    """At most about `most` rows, each the mean of its neighbours within a task."""
    if len(frame) <= most:
        return frame
    width = -(-len(frame) // most)
    group = frame["task"].astype(str) + "/" + pd.Series(np.arange(len(frame)) // width, index=frame.index).astype(str)
    return frame.groupby(group, sort=False).mean(numeric_only=True).reset_index(drop=True).astype({"task": int})


def matrix(rows: Sequence[Sequence[float | None]]) -> pd.DataFrame:
    """The accuracy matrix R[i, j] as tidy rows: after, on, accuracy; what was not evaluated is left out."""
    tidy = [(i, j, value) for i, row in enumerate(rows) for j, value in enumerate(row) if value is not None]
    return pd.DataFrame(tidy, columns=["after", "on", "accuracy"])


def pruning(events: Sequence[Event]) -> pd.DataFrame:
    """One row a cut, with the fields of `Pruned`."""
    return pd.DataFrame([vars(event) for event in events if isinstance(event, Pruned)])


def cuts(frame: pd.DataFrame) -> pd.DataFrame:
    """The cuts of a run as a table for the reader."""
    return pd.DataFrame(
        {
            marked("task"): frame["task"] + 1,
            marked("removed, %"): (100 * frame["sparsity"]).round(1),
            marked("accuracy dense, %"): (100 * frame["dense_accuracy"]).round(1),
            marked("accuracy pruned, %"): (100 * frame["pruned_accuracy"]).round(1),
            marked("true rise"): frame["actual_rise"],
            "Taylor": frame["taylor"],
            marked("path integral"): frame["path_integral"],
            marked("output bound"): frame["output_bound"],
            marked("λ bound"): frame["lambda_bound"],
            "|d|": frame["displacement_norm"],
            "|θ|": frame["network_norm"],
            marked("share of |θ|² removed"): frame["removed_share"],
            marked("mask flips"): frame["flips"],
        }
    )


def sparsity(arrays: Arrays) -> pd.DataFrame:
    """What a cut at each level would do: one row a level, one column a quantity, `accuracy` the mean over tasks seen.

    Raises:
        RunUnreadable: a quantity is missing or has another length.
    """
    names = ["rise", "taylor", "path_integral", "lambda_bound", "displacement_norm", "removed_share", "loss"]
    _need(arrays, "sparsity", ("levels", "accuracy", *names))
    later = ("rise_of_chosen", "curvature_term", "output_bound")  # not in the oldest runs
    names += [name for name in later if name in arrays]
    levels = arrays["levels"]
    columns: dict[str, Any] = {"level": levels, "accuracy": np.atleast_2d(arrays["accuracy"]).mean(axis=1)}
    for name in names:
        columns[name] = arrays[name]
    if any(len(column) != len(levels) for column in columns.values()):
        raise RunUnreadable("the sparsity curve of this task is damaged (lengths differ); record the run again")
    return pd.DataFrame(columns)


def accuracy_at_levels(arrays: Arrays) -> pd.DataFrame:
    """Accuracy on each task seen at each level: one row a level, one column a task (0, 1, ...)."""
    _need(arrays, "sparsity", ("levels", "accuracy"))
    accuracy = np.asarray(arrays["accuracy"])
    if accuracy.ndim != 2 or len(accuracy) != len(arrays["levels"]):
        raise RunUnreadable(
            "the sparsity curve of this task is damaged (accuracy has another shape); record the run again"
        )
    return pd.DataFrame(accuracy, index=pd.Index(arrays["levels"], name="level"))


def layer_densities(arrays: Arrays) -> pd.DataFrame:
    """Kept fraction of each layer at each level: one row a level, one column a layer."""
    _need(arrays, "sparsity", ("levels", "layer_density", "layers"))
    density, layers = np.asarray(arrays["layer_density"]), [str(name) for name in arrays["layers"]]
    if density.shape != (len(arrays["levels"]), len(layers)):
        raise RunUnreadable("the layer densities of this task are damaged (another shape); record the run again")
    return pd.DataFrame(density, index=pd.Index(arrays["levels"], name="level"), columns=layers)


def histogram(arrays: Arrays) -> pd.DataFrame:
    """Weights by value: left, right, kept, removed."""
    _need(arrays, "histogram", ("edges", "kept", "removed"))
    edges, kept, removed = arrays["edges"], arrays["kept"], arrays["removed"]
    if not len(edges) - 1 == len(kept) == len(removed):
        raise RunUnreadable("the weight histogram of this task is damaged (lengths differ); record the run again")
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:], "kept": kept, "removed": removed})


def pool(arrays: Arrays) -> pd.DataFrame:
    """The instances IDS chose from: one row each, with score, class, chosen, weight, x, y, thumbnail.

    `thumbnail` is a row of the array of that name, -1 where the instance has none.
    """
    _need(arrays, "selection", ("score", "label", "chosen", "weight", "embedding", "thumbnail_of"))
    n = len(arrays["score"])
    chosen = np.asarray(arrays["chosen"], dtype=int)
    shown = np.asarray(arrays["thumbnail_of"], dtype=int)
    embedding = np.asarray(arrays["embedding"])
    damaged = embedding.shape != (n, 2) or len(arrays["label"]) != n or len(arrays["weight"]) != len(chosen)
    if (
        damaged
        or (chosen.size and not 0 <= chosen.min() <= chosen.max() < n)
        or (shown.size and not 0 <= shown.min() <= shown.max() < n)
    ):
        raise RunUnreadable("the selection of this task is damaged (positions outside the pool); record the run again")
    times, weight, thumbnail = np.zeros(n, dtype=int), np.zeros(n), np.full(n, -1)
    np.add.at(times, chosen, 1)
    np.add.at(weight, chosen, arrays["weight"])
    thumbnail[shown] = np.arange(len(shown))
    return pd.DataFrame(
        {
            "position": np.arange(n),
            "score": arrays["score"],
            "class_name": class_names(arrays),
            "chosen": times > 0,
            "times": times,
            "weight": weight,
            "x": embedding[:, 0],
            "y": embedding[:, 1],
            "thumbnail": thumbnail,
        }
    )


def class_names(arrays: Arrays) -> list[str]:
    """The class name of each instance of the pool."""
    columns = arrays.get("labels_of_classes", np.arange(len(arrays.get("class_names", ()))))
    names = {int(column): str(name) for column, name in zip(columns, arrays.get("class_names", ()))}
    return [names.get(int(label), str(int(label))) for label in arrays["label"]]


def balance(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of each class in the pool, among the chosen, and among the chosen by weight."""
    chosen = frame[frame["chosen"]]
    share = pd.DataFrame(
        {
            "pool": frame.groupby("class_name").size() / max(1, len(frame)),
            "chosen": chosen.groupby("class_name")["times"].sum() / max(1, chosen["times"].sum()),
            "weighted": chosen.groupby("class_name")["weight"].sum() / max(1e-12, chosen["weight"].sum()),
        }
    )
    return share.fillna(0.0).reset_index()


def estimates(arrays: Arrays) -> pd.DataFrame:
    """What each selection would have made of lambda_max: name, draws, lambda_max, sd, bias (relative, signed)."""
    keys = ("estimate_names", "estimate_lambda_max", "estimate_sd", "estimate_draws")
    _need(arrays, "selection", keys)
    if len({len(arrays[key]) for key in keys}) != 1:
        raise RunUnreadable("the estimates of this task are damaged (lengths differ); record the run again")
    frame = pd.DataFrame(
        {
            "name": [str(name) for name in arrays["estimate_names"]],
            "draws": arrays["estimate_draws"],
            "lambda_max": arrays["estimate_lambda_max"],
            "sd": arrays["estimate_sd"],
        }
    )
    truth = float(frame["lambda_max"].iloc[0]) if len(frame) else 0.0
    frame["bias"] = (frame["lambda_max"] - truth) / abs(truth) if truth else np.nan
    return frame


def _need(arrays: Arrays, what: str, keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise RunUnreadable(f"the {what} arrays of this task lack {', '.join(missing)}; record the run again")
