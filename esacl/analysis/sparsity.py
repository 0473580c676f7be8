"""The sparsity curve: everything that depends on how much is cut, at about 25 levels."""

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np

from esacl.analysis.bound import bound_of
from esacl.analysis.cuts import cuts
from esacl.analysis.driving import driven
from esacl.analysis.judged import accuracies, pool_loss
from esacl.analysis.points import Found
from esacl.analysis.scene import Scene, as_numpy, at_cut, bill_rise, norm_of
from esacl.curvature.rise import rise_steps
from esacl.events import Analysing, ArrayRecorded, Event

HISTOGRAM_BINS = 61
LANDMARKS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)  # what people ask for
FEWEST_WITH_LANDMARKS = 15


def levels(count: int, target: float) -> list[float]:
    """About `count` sparsities from 0 to 0.995, densities in near geometric steps; target and landmarks among them."""
    ladder = np.round(1 - np.geomspace(1, 0.005, count), 4)
    if count >= FEWEST_WITH_LANDMARKS:
        for landmark in LANDMARKS:
            ladder[np.abs(np.log((1 - ladder) / (1 - landmark))).argmin()] = landmark
    return sorted({0.0, *ladder.tolist(), target})


def sparsity(scene: Scene, found: Mapping[str, Found]) -> Iterator[Event]:
    """The sparsity curve: cut the dense point at every level, by one ranking, and see everything that depends on it.

    `found`: the eigenvectors by the name of the point, for the place of each cut on the plane that is sliced.
    """
    if scene.config.curvature.levels == 0:
        return
    steps = levels(scene.config.curvature.levels, scene.config.sparsity)
    rows: dict[str, list[Any]] = {}
    dense_loss = pool_loss(scene)
    for done, level in enumerate(steps):
        yield Analysing(task=scene.task, stage="sparsity", done=done, total=len(steps))
        at = yield from _at_level(scene, level, dense_loss)
        for key, value in at.items():
            rows.setdefault(key, []).append(value)
    arrays = {key: np.array(values, dtype=np.float64) for key, values in rows.items()}
    layers = np.array(list(scene.saliency))
    yield ArrayRecorded(
        name=f"sparsity-t{scene.task}",
        arrays={"levels": np.array(steps), "layers": layers, "chosen": np.array(scene.config.sparsity)}
        | {"chance": _chance(scene)}
        | arrays,
    )
    histogram = _histogram(scene)
    yield ArrayRecorded(name=f"histogram-t{scene.task}", arrays=histogram)
    yield from cuts(scene, steps, histogram["edges"], found)


def _at_level(scene: Scene, level: float, dense_loss: float) -> Generator[Event, None, dict[str, Any]]:
    mask = scene.cut_to(level)
    nodes = 2 if scene.config.curvature.top else 0
    d = scene.displacement(mask)
    rise = yield from driven(rise_steps(scene.network, scene.criterion, scene.sample, d, lambda_nodes=nodes))
    bound = yield from bound_of(scene, scene.sample, d)
    bill_rise(scene, rise, len(scene.chosen))
    with at_cut(scene.network, mask):
        loss, accuracy = pool_loss(scene), accuracies(scene)
    norm = norm_of(scene.network, tuple(mask))
    return {
        "accuracy": accuracy,
        "loss": loss,
        "rise": loss - dense_loss,
        "rise_of_chosen": rise.actual,
        "gradient_term": rise.gradient_term,
        "curvature_term": rise.curvature_term,
        "taylor": rise.taylor,
        "path_integral": rise.path_integral,
        "lambda_bound": np.nan if rise.lambda_bound is None else rise.lambda_bound,
        "output_bound": np.nan if bound is None else bound,
        "displacement_norm": rise.displacement_norm,
        "removed_share": (rise.displacement_norm / norm) ** 2 if norm else 0.0,
        "layer_density": list(mask.layer_densities().values()),
    }


def _chance(scene: Scene) -> np.ndarray:
    """Accuracy of guessing on each task."""
    return np.array([1 / int(scene.criterion.open[e.targets[0]].sum()) for e in scene.evaluation])


def _histogram(scene: Scene) -> dict[str, np.ndarray]:
    """Prunable weights at the dense point by value: how many the cut keeps and removes."""
    parameters = dict(scene.network.named_parameters())
    values = np.concatenate([as_numpy(parameters[n]).ravel() for n in scene.saliency])
    alive = (
        np.ones(len(values), dtype=bool)
        if scene.mask is None
        else np.concatenate([as_numpy(m).ravel() for m in scene.mask.values()])
    )
    edge = float(np.abs(values).max()) or 1.0
    edges = np.linspace(-edge, edge, HISTOGRAM_BINS + 1)
    return {
        "edges": edges,
        "kept": np.histogram(values[alive], edges)[0],
        "removed": np.histogram(values[~alive], edges)[0],
    }
