"""Inside one task: loss, pull, mask and sharpness over its steps, with a mark that steps along."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from app.drawing import Drawing, Panel
from app.figures import palette
from app.figures.sparsity import short
from app.figures.training import CHEAP, gate_rule, held_at_last
from app.inside import Inside
from app.language import text
from app.scale import Scale, span
from app.wording import number, percent, whole

Others = Mapping[int, pd.DataFrame]  # other tasks -> their looks
LAYERS = 8  # that are drawn: more lines than this cannot be told apart
HEIGHT = 250.0


def drawings(one: Inside, others: Others, task: int, tasks: int, opens_below: float) -> list[Drawing | None]:
    """Every figure of a task; None where there is nothing to show. `opens_below`: of the gate of IDS."""
    return [
        _loss(one),
        _changed(one, others, task, tasks),
        _pull(one),
        _doomed(one, others, task, tasks),
        _density(one),
        _sharpness(one),
        _gate(one, opens_below),
    ]


def facts(one: Inside) -> list[Mapping[str, object]]:
    """The big numbers above the figures, one value a look."""
    looks, found = one.looks, []
    found.append((text("training loss"), [number(v) for v in looks["loss"]]))
    if one.moves:
        found.append((text("of the mask changed at its last update"), [_share(v) for v in looks["changed"]]))
    if (looks["ramp"] > 0).any():
        found.append((text("of the pull, on its ramp"), [percent(v, 0) for v in looks["ramp"]]))
    if (looks["doomed_share"] > 0).any():
        found.append((text("of |θ|² in the weights to go"), [_share(v) for v in looks["doomed_share"]]))
    if one.masked:
        found.append((text("of the weights in the mask"), [percent(v) for v in looks["density"]]))
    return [{"label": label, "values": values} for label, values in found]


def _panel(one: Inside, y: Scale, label: str, **fields: object) -> Panel:
    scale = Scale(0, one.steps)
    panel = Panel(scale, y, text("optimiser step of the task"), label, alt="", height=HEIGHT, **fields)  # type: ignore[arg-type]
    if one.cut is not None:
        before = max(0, one.cut - 1)
        at = float(one.looks["step"].iloc[before])
        panel.rule(x=at, look="axis dotted")
        panel.text(at, panel.y.high, text("cut"), "note", dx=4, dy=12)
    panel.rule(x=float(one.looks["step"].iloc[0]), look="cursor", frames=one.looks["step"].to_numpy(dtype=float))
    return panel


def _curve(
    panel: Panel, one: Inside, column: str, look: str, write: Callable[[float], str], name: str, scaled: float = 1.0
) -> None:
    xs, ys = one.looks["step"].to_numpy(dtype=float), one.looks[column].to_numpy(dtype=float)
    panel.line(xs, ys / scaled, look)
    told = [{"step": whole(int(x)), "name": name, "value": write(y)} for x, y in zip(xs, ys)]
    tips = [text("step %(step)s: %(name)s %(value)s", **one_step) for one_step in told]
    panel.follow(xs, ys / scaled, look, 0, tips=tips)


def _behind(panel: Panel, one: Inside, others: Others, column: str, tasks: int) -> None:
    """The other tasks as thin lines, stretched to the length of this one."""
    for other, looks in others.items():
        panel.line(looks["share"] * one.steps, looks[column], "ordered thin faint", hue=palette.hue(other, tasks))
        panel.marks[-1]["tip"] = text("task %(task)d", task=other + 1)


def _loss(one: Inside) -> Drawing:
    panel = _panel(one, span(one.looks["loss"], log=True), text("training loss, mean since the look before (log)"))
    _curve(panel, one, "loss", "dense", number, text("loss"))
    first, last = (number(float(one.looks["loss"].iloc[i])) for i in (0, -1))
    panel.alt = text("Training loss over the task: %(first)s at first, %(last)s at last.", first=first, last=last)
    return panel.drawing()


def _changed(one: Inside, others: Others, task: int, tasks: int) -> Drawing | None:
    if not one.moves:
        return None
    moved = [looks["changed"] for looks in others.values()]
    panel = _panel(
        one,
        Scale(0.0, max(span(one.looks["changed"], *moved, include=(0.0,)).high, 1e-4)),
        text("share of the mask that its last update changed"),
        y_format=_share,
        caption=text(
            "Thin: the other tasks. The first mask of a task replaces “everything” and is left out. A mask that comes "
            "to rest before the cut has made up its mind; one that flaps to the end is cut at random in part."
        ),
    )
    _behind(panel, one, others, "changed", tasks)
    _curve(panel, one, "changed", "pruned", _share, text("changed"))
    total = one.pruned.flips if one.pruned else int((one.looks["changed"].fillna(0) * one.prunable).max())
    panel.alt = text(
        "Share of the mask that changed at each update of task %(task)d; at most %(most)s; %(total)d flips in all.",
        task=task + 1, most=_share(float(one.looks["changed"].max())), total=total,
    )  # fmt: skip
    return panel.drawing()


def _pull(one: Inside) -> Drawing:
    peak, pulls = float(one.looks["learning_rate"].max()), bool((one.looks["ramp"] > 0).any())
    rate = text("learning rate over its highest")
    title = text("ramp of the pull, and learning rate over its highest") if pulls else rate
    panel = _panel(one, Scale(0.0, 1.16), title, right=100, y_format=lambda v: percent(v, 0))
    ends: list[tuple[float | None, str, str, float | None]] = []
    if pulls:
        _curve(panel, one, "ramp", "warm", percent, text("ramp"))
        ends.append((float(one.looks["ramp"].iloc[-1]), text("ramp κ"), "warm", None))
    _curve(panel, one, "learning_rate", "green dash", number, text("learning rate"), scaled=peak or 1.0)
    ends.append((float(one.looks["learning_rate"].iloc[-1]) / (peak or 1.0), text("learning rate"), "green", None))
    panel.labels(ends)
    panel.alt = (
        text("Ramp of the pull and learning rate over the task; the highest rate is %(rate)s.", rate=number(peak))
        if pulls
        else text("Learning rate over the task; the highest is %(rate)s.", rate=number(peak))
    )
    return panel.drawing()


def _doomed(one: Inside, others: Others, task: int, tasks: int) -> Drawing | None:
    looks = one.looks
    shown = looks["doomed_share"].where(looks["doomed_share"] > 0)
    if not shown.notna().any():
        return None
    every = [shown, *(other["doomed_share"].where(other["doomed_share"] > 0) for other in others.values())]
    low = span(*(values.clip(lower=1e-6) for values in every), log=True).low
    end = float(shown.dropna().iloc[-1])
    panel = _panel(
        one, Scale(low, 1.0, log=True), text("share of |θ|² that the cut would take (log)"), y_format=_share,
        caption=held_at_last(_share(end), cheap=bool((looks["ramp"] > 0).any() and end < CHEAP)),
    )  # fmt: skip
    _behind(panel, one, others, "doomed_share", tasks)
    _curve(panel, one, "doomed_share", "pruned", _share, text("share"))
    last = _share(end)
    panel.alt = text("Share of the squared weights that a cut would take; right before the cut %(last)s.", last=last)
    return panel.drawing()


def _density(one: Inside) -> Drawing | None:
    if not one.masked:
        return None
    told = one.layers if one.layers is not None else _since_cut(one)
    layers = told.iloc[:, :LAYERS]
    drawn = layers.assign(**{"": one.looks["density"]})
    lowest = float(np.nanmin(drawn.where(drawn > 0).to_numpy(dtype=float)))
    panel = _panel(
        one,
        Scale(10 ** np.floor(np.log10(max(lowest, 1e-4))), 1.0, log=True),
        text("weights in the mask (log)"),
        right=118,
        y_format=_share,
        caption="" if one.layers is not None else text("This run told the density of each layer at its cut only."),
    )
    ends: list[tuple[float | None, str, str, float | None]] = []
    for place, (name, column) in enumerate(layers.items()):
        tone, values = palette.hue(place, layers.shape[1]), column.to_numpy(dtype=float)
        panel.line(one.looks["step"], values, "ordered dash", hue=tone)
        panel.follow(one.looks["step"], values, "ordered", 0, tips=[f"{name}: {_share(v)}" for v in values], hue=tone)
        ends.append((float(values[-1]), short(str(name)).removeprefix("body."), "ordered", tone))
    _curve(panel, one, "density", "dense", _share, text("density"))
    last = float(one.looks["density"].iloc[-1])
    panel.labels([*ends, (last, text("all layers"), "dense", None)])
    panel.alt = text("Density of the mask over the task; at last %(last)s.", last=_share(last))
    return panel.drawing()


def _since_cut(one: Inside) -> pd.DataFrame:
    """From the cut on the mask stays: what it was at the cut holds to the end of the task."""
    first = len(one.looks) - 1 if one.cut is None else one.cut
    after = np.arange(len(one.looks)) >= first
    return pd.DataFrame(
        {name: np.where(after, value, np.nan) for name, value in one.at_cut.items()}, index=one.looks.index
    )


def _sharpness(one: Inside) -> Drawing | None:
    drawn = {
        "lambda_max": (text("λₘₐₓ"), "purple"),
        "curvature_term": (text("½ d'Hd of the cut"), "warm"),
    }
    seen = one.looks[list(drawn)].where(one.looks[list(drawn)] > 0)  # the term of a cut may be negative
    drawn = {name: looks for name, looks in drawn.items() if seen[name].notna().any()}
    if not drawn:
        return None
    one = replace(one, looks=one.looks.assign(**seen))
    panel = _panel(
        one, span(*(seen[name] for name in drawn), log=True), text("sharpness while it trains (log)"), right=118,
        caption=text(
            "Estimated from the instances that IDS chooses; where only survivors are trained, of the Hessian on them."
        ),
    )  # fmt: skip
    for name, (written, look) in drawn.items():
        known = one.looks.dropna(subset=[name])
        panel.line(known["step"], known[name], f"{look} thin")
        for step, value in zip(known["step"], known[name]):
            panel.point(float(step), float(value), look, size=2.5)
        _curve(panel, one, name, look, number, written)
    panel.labels([(float(one.looks[n].dropna().iloc[-1]), w, look, None) for n, (w, look) in drawn.items()])
    said = ", ".join(f"{w} {number(float(one.looks[n].dropna().iloc[-1]))}" for n, (w, _) in drawn.items())
    panel.alt = text("Sharpness over the task; at last %(said)s.", said=said)
    return panel.drawing()


def _gate(one: Inside, opens_below: float) -> Drawing | None:
    known = one.looks["selection_ratio"].dropna()
    if known.empty:
        return None
    label = text("second moment of IDS over that of random choice")
    panel = _panel(one, span(known, include=(0.0, 1.0)), label)
    gate_rule(panel, opens_below)
    _curve(panel, one, "selection_ratio", "green", number, text("ratio"))
    panel.alt = text(
        "Ratio of second moments, IDS against random choice; its mean is %(mean)s. The gate opens below %(ratio)s.",
        mean=number(float(known.mean())),
        ratio=number(opens_below),
    )
    return panel.drawing()


def _share(value: float) -> str:
    return (
        percent(value, 0)
        if value == 0
        else percent(value, 0 if value >= 0.1 else 1 if value >= 0.01 else 2 if value >= 1e-3 else 3)
    )
