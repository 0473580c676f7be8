"""Measurements of curvature -> tidy DataFrames, and what two engines agree on. No streamlit in here."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.frames import rows
from app.language import clauses, marked, text
from esacl.events import CurvatureMeasured, Event

POINTS = {
    "dense": marked("dense"),
    "pruned": marked("pruned"),
    "survivors": marked("pruned, survivors only"),
    "end": marked("end of the task, survivors only"),
}


def curvature(events: Sequence[Event]) -> pd.DataFrame:
    """One row a measurement: task, where (a key of `POINTS`), engine, values, how well they are known."""
    found = [
        {
            "task": e.task,
            "where": "survivors" if e.restricted and e.point == "pruned" else e.point,
            "engine": e.engine,
            "lambda_max": e.top_eigenvalues[0] if e.top_eigenvalues else np.nan,
            "relative_sharpness": e.relative_sharpness,
            "eigenvalues": e.top_eigenvalues,
            "residuals": e.residuals,
            "residual": max(e.residuals, default=np.nan),
            "products": e.products,
            "converged": e.converged,
            "network_norm": e.network_norm,
            "examples": e.examples,
            "fraction": e.fraction,
        }
        for e in events
        if isinstance(e, CurvatureMeasured)
    ]
    return pd.DataFrame(found).drop_duplicates(["task", "where", "engine"], keep="last") if found else pd.DataFrame()


def cross_check(frame: pd.DataFrame) -> pd.DataFrame:
    """By both engines: task, where, lambda_max of each, both converged, how many values, and where they differ most.

    `difference` is the largest over as many eigenvalues as both have found, relative to the eigenvalue, which counts
    as at least a hundredth of the largest; `worst` is the place of that eigenvalue and what each has for it.
    """
    names = ["task", "where", "lanczos", "pyhessian", "converged", "values", "difference", "worst"]
    if frame.empty:
        return pd.DataFrame(columns=names)
    columns = ["task", "where", "lambda_max", "eigenvalues", "converged"]
    ours, theirs = (frame.loc[frame["engine"] == engine, columns] for engine in ("lanczos", "pyhessian"))
    both = ours.merge(theirs, on=["task", "where"], suffixes=("_ours", "_theirs")).dropna()
    pairs = [list(zip(*values)) for values in zip(both["eigenvalues_ours"], both["eigenvalues_theirs"])]
    return pd.DataFrame(
        {
            "task": both["task"],
            "where": both["where"],
            "lanczos": both["lambda_max_ours"],
            "pyhessian": both["lambda_max_theirs"],
            "converged": both["converged_ours"] & both["converged_theirs"],
            "values": [len(values) for values in pairs],
            "difference": [_apart(values)[0] for values in pairs],
            "worst": [_apart(values)[1] for values in pairs],
        }
    )


def _apart(pairs: list[tuple[float, float]]) -> tuple[float, tuple[int, float, float]]:
    least = 0.01 * max(abs(a) for a, _ in pairs) or 1.0
    return max((abs(a - b) / max(abs(a), least), (place, a, b)) for place, (a, b) in enumerate(pairs, start=1))


def agreement(check: pd.DataFrame) -> str:
    """How far the two engines are apart, in a sentence; what has not converged is named and not compared."""
    if check.empty:
        return text("PyHessian has not been asked: it can find the largest eigenvalues a second time, independently.")
    most = int(check["values"].max())
    settled = check["converged"].astype(bool)
    said = [
        text("Lanczos and PyHessian measured λₘₐₓ independently.")
        if most == 1
        else text("Lanczos and PyHessian measured the %(most)d largest eigenvalues independently.", most=most)
    ]
    if settled.any():
        worst = check[settled].sort_values("difference").iloc[-1]
        place, ours, theirs = worst["worst"]
        said.append(
            text(
                "Where both converged (%(settled)d of %(all)d points), they differ by at most %(difference).2g %% "
                "(task %(task)d, %(point)s: %(name)s: %(ours).6g and %(theirs).6g).",
                settled=int(settled.sum()),
                all=len(check),
                difference=100 * float(worst["difference"]),
                task=int(worst["task"]) + 1,
                point=text(POINTS[str(worst["where"])]),
                name="λₘₐₓ" if place == 1 else text("eigenvalue %(place)d", place=place),
                ours=ours,
                theirs=theirs,
            )
        )
    if not settled.all():
        loose = [
            text(
                "task %(task)d, %(point)s: %(ours).4g and %(theirs).4g",
                task=r.task + 1,
                point=text(POINTS[r.where]),
                ours=r.lanczos,
                theirs=r.pyhessian,
            )
            for r in rows(check[~settled])
        ]
        said.append(text("Not converged, so not compared: %(points)s.", points=clauses(loose)))
    return " ".join(said)


def measurements(frame: pd.DataFrame) -> pd.DataFrame:
    """The curvature measurements of a run as a table for the reader."""
    return pd.DataFrame(
        {
            marked("task"): frame["task"] + 1,
            marked("where"): [text(POINTS[where]) for where in frame["where"]],
            marked("engine"): frame["engine"],
            marked("eigenvalues"): [", ".join(f"{value:.4g}" for value in values) for values in frame["eigenvalues"]],
            marked("largest residual"): frame["residual"],
            marked("products"): frame["products"],
            marked("converged"): frame["converged"],
            "λₘₐₓ · |θ|²": frame["relative_sharpness"],
            "|θ|": frame["network_norm"],
            marked("instances"): frame["examples"],
        }
    )


def eigenvalues(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with one row an eigenvalue, numbers in full: to be taken along."""
    names = [
        "task", "where", "engine", "place", "eigenvalue", "residual", "products", "converged", "network_norm",
        "examples",
    ]  # fmt: skip
    found = [
        (r.task + 1, r.where, r.engine, place, value, residual, r.products, r.converged, r.network_norm, r.examples)
        for r in rows(frame)
        for place, (value, residual) in enumerate(zip(r.eigenvalues, r.residuals), start=1)
    ]
    return pd.DataFrame(found, columns=names)
