"""Both ends of the Hessian's spectrum at each point of a task, and what they say about the cut."""

import contextlib
from collections.abc import Generator, Iterator

import numpy as np
from torch import Tensor

from esacl import landscape
from esacl.analysis.driving import driven, reported
from esacl.analysis.points import Found, Point, ends_at, points
from esacl.analysis.scene import Scene, as_numpy, at_cut, norm_of
from esacl.curvature.interval import GROUPS, interval_steps
from esacl.curvature.lanczos import Eigenpairs, top_steps
from esacl.curvature.operator import hessian
from esacl.curvature.overlap import Overlap, overlap
from esacl.curvature.pyhessian import pyhessian_steps
from esacl.events import ArrayRecorded, CurvatureMeasured, Event
from esacl.look import Look
from esacl.stepwise import Steps

SLICE_POINTS = 21
FEWEST = 3  # examples that a spread can be seen among
ONE_NAT = 2.0  # lambda a^2 / 2 is one nat at a = sqrt(2 / lambda)


def spectrum(scene: Scene, look: Look) -> Generator[Event, None, dict[str, Found]]:
    """The ends of the spectrum over the pool at each point, slices along the eigenvectors, interval and overlap.

    Returns what was found by the name of the point, for slices along the eigenvectors.
    """
    top = scene.config.curvature.top
    found: dict[str, Found] = {}
    if top == 0:
        return found
    arrays: dict[str, np.ndarray] = {}
    places = points(scene)
    parts = len(places) + 1
    for part, point in enumerate(places):
        at = found[point.name] = yield from ends_at(scene, point, top, part, parts)
        yield measured(scene, point, at.ends.top, at.ends.products, engine="lanczos")
        slices = yield from _along_eigenvectors(scene, point, at)
        at.operator.release()  # of a large network the kept graphs of three points would not fit
        arrays |= {f"{point.name}/{key}": value for key, value in (_ends(scene, point, at) | slices).items()}
        if look.check:
            yield from _checked(scene, point)
    if len(scene.chosen) >= FEWEST:
        arrays |= yield from _interval(scene, len(found["dense"].ends.top.values), len(places), parts)
    if scene.mask is not None:
        arrays |= yield from _overlaps(scene, found["dense"])
    yield ArrayRecorded(name=f"spectrum-t{scene.task}", arrays=arrays)
    return found


def _ends(scene: Scene, point: Point, at: Found) -> dict[str, np.ndarray]:
    ends = at.ends
    return {
        "top": ends.top.values.numpy(),
        "top_residuals": ends.top.residuals.numpy(),
        "bottom": ends.bottom.values.numpy(),
        "bottom_residuals": ends.bottom.residuals.numpy(),
        "products": np.array(ends.products),
        "converged": np.array(ends.converged),
        "network_norm": np.array(_norm(scene, point)),
        "entries": np.array(at.operator.shape[0]),
    }


def _along_eigenvectors(scene: Scene, point: Point, at: Found) -> Generator[Event, None, dict[str, np.ndarray]]:
    """The loss along each eigenvector, so far that its parabola rises by one nat, and where that parabola stands."""
    gradient = at.operator.gradient()
    xs, losses = [], []
    value = np.nan
    for index, eigenvalue in enumerate(at.ends.top.values.tolist()):
        reach = (ONE_NAT / eigenvalue) ** 0.5 if eigenvalue > 0 else 1.0
        steps = _line_at(scene, point, at.direction(index), (-reach, reach))
        line = yield from driven(steps)
        scene.ledger.analysis(forward_examples=SLICE_POINTS * len(scene.pool))
        xs.append(as_numpy(line.x))
        losses.append(as_numpy(line.loss))
        value = float(line.loss[SLICE_POINTS // 2])
    return {
        "slice_x": np.stack(xs),
        "slice_loss": np.stack(losses),
        "slice_value": np.array(value),
        "slice_gradient": as_numpy(at.ends.top.vectors.T @ gradient).astype(np.float64),
    }


def _line_at(
    scene: Scene, point: Point, direction: dict[str, Tensor], extent: tuple[float, float]
) -> Steps[landscape.Slice1D]:
    def steps() -> Steps[landscape.Slice1D]:
        return landscape.line_steps(
            scene.network, scene.criterion, scene.whole, direction, extent=extent, points=SLICE_POINTS
        )

    if point.cut is None:
        return steps()
    with at_cut(scene.network, point.cut):
        return steps()


def _interval(scene: Scene, k: int, part: int, parts: int) -> Generator[Event, None, dict[str, np.ndarray]]:
    """The top eigenvalues at the dense point as the chosen instances estimate them, with their confidence interval."""
    steps = interval_steps(
        scene.network, scene.criterion, scene.sample, k, pool=len(scene.pool), groups=min(GROUPS, len(scene.chosen))
    )
    found = yield from reported(steps, scene.task, "spectrum", part, parts)
    scene.ledger.analysis(products=round(found.products * len(scene.chosen)))
    return {
        "interval/value": as_numpy(found.values),
        "interval/low": as_numpy(found.low),
        "interval/high": as_numpy(found.high),
        "interval/bias": as_numpy(found.bias),
        "interval/examples": np.array(len(scene.chosen)),
        "interval/fraction": np.array(scene.config.ids.fraction),
        "interval/level": np.array(found.level),
        "interval/products": np.array(found.products),
        "interval/converged": np.array(found.converged),
    }


def _overlaps(scene: Scene, dense: Found) -> Generator[Event, None, dict[str, np.ndarray]]:
    """How much of the cut's displacement lies in the top eigenspace: of the whole Hessian, and layer by layer."""
    assert scene.mask is not None
    d = scene.displacement(scene.mask)
    k = len(dense.ends.top.values)
    rows = [("all", dense.operator.shape[0], overlap(dense.operator, dense.ends.top, d))]
    converged = [dense.ends.top.converged]
    for layer in d:
        block = hessian(scene.network, scene.criterion, scene.whole, names=(layer,))
        pairs = yield from driven(top_steps(block, min(k, block.shape[0])))
        rows.append((layer, block.shape[0], overlap(block, pairs, {layer: d[layer]})))
        converged.append(pairs.converged)
        scene.ledger.analysis(products=(pairs.products + rows[-1][2].products) * len(scene.pool))
    scene.ledger.analysis(products=rows[0][2].products * len(scene.pool))
    return {**_overlap_arrays(rows, k), "overlap/converged": np.array(converged)}


def _overlap_arrays(rows: list[tuple[str, int, Overlap]], k: int) -> dict[str, np.ndarray]:
    def padded(values: np.ndarray) -> np.ndarray:  # a layer may have fewer entries than eigenvalues are asked for
        return np.pad(as_numpy(values).astype(float), (0, k - len(values)), mode="edge")

    shares = {
        name: np.stack([padded(getattr(found, name)) for _, _, found in rows])
        for name in ("norm_share", "curvature_share", "random_share")
    }
    return {f"overlap/{name}": value for name, value in shares.items()} | {
        "overlap/layers": np.array([layer for layer, _, _ in rows]),
        "overlap/entries": np.array([entries for _, entries, _ in rows]),
        "overlap/norm": np.array([found.norm for _, _, found in rows]),
        "overlap/curvature": np.array([found.curvature for _, _, found in rows]),
    }


def _checked(scene: Scene, point: Point) -> Iterator[Event]:
    """The same eigenvalues at the point by PyHessian: an independent hand."""
    with contextlib.nullcontext() if point.cut is None else at_cut(scene.network, point.cut):
        top = scene.config.curvature.top
        steps = pyhessian_steps(scene.network, scene.criterion, scene.whole, top, mask=point.mask)
    check = yield from driven(steps)
    scene.ledger.analysis(products=check.products * len(scene.pool))
    yield measured(scene, point, check, check.products, engine="pyhessian")


def measured(scene: Scene, point: Point, found: Eigenpairs, products: int, *, engine: str) -> CurvatureMeasured:
    """What was found of the spectrum at a point, as an event."""
    norm = _norm(scene, point)
    return CurvatureMeasured(
        task=scene.task,
        point=point.place,
        restricted=point.mask is not None,
        engine=engine,
        top_eigenvalues=tuple(found.values.tolist()),
        residuals=tuple(found.residuals.tolist()),
        products=products,
        converged=found.converged,
        network_norm=norm,
        relative_sharpness=float(found.values[0]) * norm**2,
        examples=len(scene.pool),
        fraction=1.0,
    )


def _norm(scene: Scene, point: Point) -> float:
    if point.cut is None:
        return norm_of(scene.network)
    with at_cut(scene.network, point.cut):
        return norm_of(scene.network)
