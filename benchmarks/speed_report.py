"""The record of `speed.py` as Markdown: what was to be shown and whether it holds, then a table a section."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.speed_race import Record, ratio

OURS = "EsaCL"
BY_DEFAULT = "EsaCL at its default tolerance"
THEIRS = "PyHessian"
ERROR = 1e-3
MIB = 2**20


@dataclass(frozen=True)
class Claim:
    """Something that was to be shown, what came out, and whether that is enough."""

    text: str
    measured: str
    holds: bool


def report(record: Record) -> list[str]:
    """The claims, then each section's table."""
    sections = record["sections"]
    every = [claim for name, (claims, _) in PARTS.items() for one in sections.get(name, []) for claim in claims(one)]
    lines = ["| to be shown | measured | holds |", "|---|---|---|"]
    lines += [f"| {c.text} | {c.measured} | {'yes' if c.holds else 'no'} |" for c in every]
    for name, (_, table) in PARTS.items():
        if sections.get(name):
            lines += ["", *table(sections[name])]
    return lines


def top_claims(one: Record) -> Iterator[Claim]:
    """Products and time against PyHessian, and the error of everybody."""
    ours, usual, theirs = (one["solvers"][name] for name in (OURS, BY_DEFAULT, THEIRS))
    what = f"top-{one['k']}, {one['problem']}"
    wanted = 1.5 if one["k"] == 1 else 8.0 if one["masked"] else 4.0
    fewer = ratio(theirs["products"], ours["products"])
    text = f"{what}: at least {wanted:g} times fewer products than PyHessian"
    by_default = ratio(theirs["products"], usual["products"])["median"]
    error = f"whose error is {max(usual['error']):.0e}"
    measured = f"{_range(fewer)}; {by_default:.2f} at EsaCL's default tolerance, {error}"
    yield Claim(text, measured, _at_least(fewer, wanted))
    if one["k"] > 1 and not one["masked"]:
        faster = ratio(theirs["cpu"], ours["cpu"])
        yield Claim(f"{what}: at least 3 times less time than PyHessian", _range(faster), _at_least(faster, 3))
    worst = {name: max(solver["error"]) for name, solver in one["solvers"].items()}
    measured = f"largest {max(worst.values()):.1e} ({max(worst, key=worst.__getitem__)})"
    yield Claim(f"{what}: true error at most {ERROR:.0e} for every solver", measured, max(worst.values()) <= ERROR)


def top_table(ones: list[Record]) -> Iterator[str]:
    """One row a problem and solver."""
    yield "## Top eigenvalues"
    yield ""
    yield (
        "Products: Hessian-vector products, median over the rounds (smallest to largest). Tolerance: in the solver's "
        "own meaning, the loosest that reached a true error of 1e-3 from every seed. Error: the largest relative error "
        "of the k values, worst round. Seconds: CPU, median. Times EsaCL: ratio of seconds round by "
        "round, median (smallest to largest)."
    )
    yield ""
    yield from _head("problem", "k", "solver", "tolerance", "products", "error", "seconds", "times EsaCL", "n")
    for one in ones:
        for name, solver in one["solvers"].items():
            yield _row(
                one["problem"], one["k"], name, f"{solver['tolerance']:.0e}", _spread(solver["products"], ".0f"),
                f"{max(solver['error']):.1e}", f"{statistics.median(solver['cpu']):.2f}",
                _range(ratio(solver["cpu"], one["solvers"][OURS]["cpu"])), len(solver["cpu"]),
            )  # fmt: skip


def trace_claims(one: Record) -> Iterator[Claim]:
    """The rms error of our estimate."""
    ours = one["estimators"][OURS]
    text = f"trace, {one['problem']}: relative rms error at most 1% at {max(ours['products'])} products"
    yield Claim(text, f"{ours['rms']:.2%}", ours["rms"] <= 0.01)


def trace_table(ones: list[Record]) -> Iterator[str]:
    """One row a problem and estimator."""
    yield "## Trace"
    yield ""
    yield from _head("problem", "estimator", "products", "relative rms error", "seconds", "n")
    for one in ones:
        for name, found in one["estimators"].items():
            yield _row(
                one["problem"], name, _spread(found["products"], ".0f"), f"{found['rms']:.2%}",
                f"{statistics.median(found['cpu']):.2f}", len(found["errors"]),
            )  # fmt: skip


def density_claims(one: Record) -> Iterator[Claim]:
    """The mean distance to the exact spectrum against PyHessian's."""
    ours, theirs = (statistics.fmean(one["estimators"][name]["distance"]) for name in (OURS, THEIRS))
    text = f"density, {one['problem']}: Wasserstein-1 no worse than PyHessian's at equal products"
    yield Claim(text, f"{ours:.2e} against {theirs:.2e} of lambda_max, mean", ours <= theirs)


def density_table(ones: list[Record]) -> Iterator[str]:
    """One row a problem and estimator."""
    yield "## Spectral density"
    yield ""
    yield "Wasserstein-1 distance of the quadrature to the exact spectrum, in units of lambda_max. PyHessian with an"
    yield "`eigh`-based `torch.eig` for the length of the call: without, it fails."
    yield ""
    yield from _head("problem", "estimator", "products", "mean", "median (smallest to largest)", "seconds", "n")
    for one in ones:
        for name, found in one["estimators"].items():
            yield _row(
                one["problem"], name, _spread(found["products"], ".0f"), f"{statistics.fmean(found['distance']):.2e}",
                _spread(found["distance"], ".2e"), f"{statistics.median(found['cpu']):.2f}", len(found["distance"]),
            )  # fmt: skip


def plane_claims(one: Record) -> Iterator[Claim]:
    """Time against loss-landscapes, and the values."""
    what = f"{one['points']}x{one['points']} slice, {one['problem']}"
    ours, theirs = one["solvers"][OURS], one["solvers"].get("loss-landscapes")
    if theirs is not None:
        wanted, large = (2.5, True) if "784" in one["problem"] else (1.0, False)
        faster = ratio(theirs["cpu"], ours["cpu"])
        text = "at least 2.5 times faster than loss-landscapes" if large else "no slower than loss-landscapes"
        yield Claim(f"{what}: {text}", _range(faster), _at_least(faster, wanted))
    yield Claim(f"{what}: values equal to a plain loop to 1e-5", f"{ours['error']:.1e}", ours["error"] <= 1e-5)


def plane_table(ones: list[Record]) -> Iterator[str]:
    """One row a problem and contender."""
    yield "## Slices, every cell computed"
    yield ""
    yield (
        "Apart: largest |difference| / (1 + |loss|) from a loop that writes the weights out. Of loss-landscapes only "
        "every other row lies on the grid asked for; in brackets, the rows between."
    )
    yield ""
    yield from _head("problem", "contender", "examples", "cells", "seconds", "times EsaCL", "apart", "n")
    for one in ones:
        for name, solver in one["solvers"].items():
            other = f" ({solver['error_of_other_rows']:.1e})" if "error_of_other_rows" in solver else ""
            yield _row(
                one["problem"], name, one["examples"], one["points"] ** 2, f"{statistics.median(solver['cpu']):.2f}",
                _range(ratio(solver["cpu"], one["solvers"][OURS]["cpu"])), f"{solver['error']:.1e}{other}",
                len(solver["cpu"]),
            )  # fmt: skip


def refined_claims(one: Record) -> Iterator[Claim]:
    """Evaluations saved and the true error."""
    what = f"refined slice, {one['problem']}, {one['plane']}"
    fewer = one["cells"] / one["evaluations"]
    yield Claim(f"{what}: at least 3 times fewer evaluations", f"{fewer:.2f}", fewer >= 3)
    yield Claim(f"{what}: true error below 1% of the range", f"{one['error']:.2%}", one["error"] < 0.01)


def refined_table(ones: list[Record]) -> Iterator[str]:
    """One row a plane."""
    yield "## Slices refined where it is worth it"
    yield ""
    yield "Error: the largest over all cells, as a share of the range of the losses of the whole grid."
    yield ""
    yield from _head(
        "problem", "plane", "examples", "cells", "evaluations", "error, true", "error, estimated", "time saved", "n"
    )
    for one in ones:
        yield _row(
            one["problem"], one["plane"], one["examples"], one["cells"], one["evaluations"], f"{one['error']:.2%}",
            f"{one['estimated']:.2%}", f"{one['cpu']['whole'] / one['cpu']['refined']:.2f} times", 1,
        )  # fmt: skip


def memory_claims(one: Record) -> Iterator[Claim]:
    """The hungriest analysis."""
    name, work = max(one["works"].items(), key=lambda pair: pair[1]["ratio"])
    text = f"memory, {one['problem']}: below 3 training steps, Krylov basis apart"
    own = max(one["works"].values(), key=lambda other: other["own_ratio"])["own_ratio"]
    measured = f"at most {work['ratio']:.2f} ({name}); network and data not counted, {own:.2f}"
    yield Claim(text, measured, work["ratio"] < 3)


def memory_table(ones: list[Record]) -> Iterator[str]:
    """One row a problem and analysis."""
    yield "## Peak memory"
    yield ""
    yield (
        "Network, data and what torch allocates from the call on; the step is forward, backward and SGD's update. The "
        "last two columns leave the Krylov basis out; the last one network and data too, on both sides."
    )
    yield ""
    yield from _head("problem", "examples", "analysis", "MiB", "without basis, MiB", "training steps", "own, steps")
    for one in ones:
        step = f"{one['step'] / MIB:.1f}"
        yield _row(one["problem"], one["examples"], "training step", step, step, "1.00", "1.00")
        for name, work in one["works"].items():
            sizes = (f"{work[key] / MIB:.1f}" for key in ("peak", "apart"))
            steps = (f"{work[key]:.2f}" for key in ("ratio", "own_ratio"))
            yield _row(one["problem"], one["examples"], name, *sizes, *steps)


Claims = Callable[[Record], Iterator[Claim]]
Table = Callable[[list[Record]], Iterator[str]]
PARTS: dict[str, tuple[Claims, Table]] = {
    "top": (top_claims, top_table),
    "trace": (trace_claims, trace_table),
    "density": (density_claims, density_table),
    "planes": (plane_claims, plane_table),
    "refined": (refined_claims, refined_table),
    "memory": (memory_claims, memory_table),
}


def _at_least(found: Record, wanted: float) -> bool:
    return bool(found["median"] >= wanted)


def _range(found: Record) -> str:
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _spread(values: list[Any], form: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}}" if low == high else f"{middle:{form}} ({low:{form}} to {high:{form}})"


def _head(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|" + "---|" * len(titles)


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
