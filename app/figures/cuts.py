"""What moves with the level beside the curves: the way to the cut, and its place on a slice."""

import numpy as np

from app.cuts import Cuts
from app.drawing import Drawing, Panel, words
from app.figures import plane_colours, planes
from app.figures.planes import Plane
from app.language import text
from app.scale import Scale, span
from app.wording import number, percent

NEAR = 0.05  # of the length of a cut: as far off the plane it still counts as on it


def ways(cuts: Cuts, lengths: np.ndarray, index: int, *, width: float = 520, height: float = 310) -> Drawing:
    """The loss on the straight way from the dense point to each cut, over the distance walked; this level's in bold.

    `lengths`: |d| of each level.
    """
    panel = Panel(
        span(lengths, include=(0.0,), pad=0.03),
        span(cuts.way_loss.ravel(), include=(0.0,)),
        text("distance from the dense network, along the cut"),
        text("loss on the way to the cut, nats"),
        alt="",
        width=width,
        height=height,
        caption=text("Each thin line is the straight way to one level's cut; it ends where that cut lands."),
    )
    paths = [panel.path(length * cuts.way, loss) for length, loss in zip(lengths, cuts.way_loss)]
    for path in paths:
        panel.marks.append({"tag": "path", "at": {"d": path, "class": "line thin faint pruned"}})
    panel.marks.append({"tag": "path", "at": {"d": paths[index], "class": "line pruned"}, "frames": {"d": paths}})
    ends = cuts.way_loss[:, -1]
    tips = [
        f"{percent(float(level))}: |d| {number(float(length))}, {text('loss')} {number(float(end))}"
        for level, length, end in zip(cuts.levels, lengths, ends)
    ]
    panel.point(0.0, float(cuts.way_loss[0, 0]), "dense", size=6, tip=text("dense"))
    panel.text(0.0, float(cuts.way_loss[0, 0]), text("dense"), "label dense", dx=9, dy=-9)
    panel.follow(lengths, ends, "pruned", index, tips=tips)
    panel.alt = text(
        "Loss along the way to the cut: %(dense)s at the dense network, %(cut)s at the cut of %(level)s.",
        dense=number(float(cuts.way_loss[0, 0])), cut=number(float(ends[index])),
        level=percent(float(cuts.levels[index])),
    )  # fmt: skip
    return panel.drawing()


def place(
    cuts: Cuts, plane: Plane, lengths: np.ndarray, index: int, *, width: float = 520, height: float = 310
) -> Drawing | None:
    """Where each level's cut lies on the slice along the run's own cut: beside it where it leaves the plane.

    None where it is not known for this plane.
    """
    if cuts.places is None or plane.y_name != cuts.y_name:
        return None
    half_x, half_y = (float(axis[1] - axis[0]) / 2 for axis in (plane.x, plane.y))
    panel = Panel(
        Scale(float(plane.x[0]) - half_x, float(plane.x[-1]) + half_x),
        Scale(float(plane.y[0]) - half_y, float(plane.y[-1]) + half_y),
        planes.axis_title("pruning"),
        planes.axis_title(plane.y_name),
        alt="",
        width=width,
        height=height,
        caption=text(
            "A slice, not the whole landscape: it holds this run's own cut. Every other cut leaves the plane, by the "
            "distance given, and its loss is not the colour below the mark."
        ),
    )
    wide, high = panel.width - panel.left - panel.right, panel.height - panel.top - panel.bottom
    at = {"x": panel.left, "y": panel.top, "width": wide, "height": high, "preserveAspectRatio": "none"}
    panel.marks.append({"tag": "image", "at": {**at, "href": plane_colours.pixels(plane)}})
    for name, _, x, y in plane.points:
        panel.text(x, y, text(name), "on-picture", dx=10, dy=-9)
        panel.point(x, y, "on-plane", size=3)
    xs, ys, off = cuts.places.T
    near = off <= NEAR * np.maximum(lengths, 1e-12)
    said = [
        text("on the plane") if one else text("%(distance)s off the plane", distance=number(float(far)))
        for one, far in zip(near, off)
    ]
    tips = [f"{percent(float(level))}: {what}" for level, what in zip(cuts.levels, said)]
    panel.follow(xs, np.where(near, ys, np.nan), "on-plane", index, tips=tips)
    panel.follow(xs, np.where(near, np.nan, ys), "beside-plane", index, tips=tips)
    edge = panel.width - panel.right - 8
    panel.marks.append(words(edge, panel.top + 18, said[index], "on-picture", "end") | {"frames": {"text": said}})
    panel.alt = text(
        "The loss in the plane along this run's cut; the cut of %(level)s is %(where)s.",
        level=percent(float(cuts.levels[index])), where=said[index],
    )  # fmt: skip
    return panel.drawing()
