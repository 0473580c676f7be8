"""Which instances each way of choosing takes, where they lie, and what each would have made of lambda_max."""

from collections.abc import Generator, Iterator

import numpy as np
import torch
from torch import Tensor

from esacl.analysis import maps
from esacl.analysis.driving import reported
from esacl.analysis.scene import Scene, as_numpy, draw_seed
from esacl.curvature.lanczos import top_steps
from esacl.curvature.operator import hessian
from esacl.events import ArrayRecorded, Event, Selected
from esacl.networks import features
from esacl.selection import score, select

DRAWS = 5
THUMBNAILS = (256, 1000)  # instances with an image: at least, and at most, as many as `THUMBNAIL_BYTES` hold
THUMBNAIL_BYTES = 1 << 20

Draw = tuple[Tensor, Tensor]  # positions in the pool (m,), weights (m,)


def selection(scene: Scene) -> Iterator[Event]:
    """Which instances each way of choosing takes, and what each would have estimated for lambda_max."""
    pool, name = scene.pool, f"selection-t{scene.task}"
    seen, errors = _forward(scene)
    ways = _ways(scene, errors)
    labels, first = as_numpy(pool.targets), _taken_first(scene, ways)
    shown = first[: _thumbnails(scene)]
    columns = sorted(set(labels.tolist()))
    arrays = {
        "score": as_numpy(scene.scores).astype(np.float64),
        "el2n": as_numpy(errors).astype(np.float64),
        "label": labels,
        "labels_of_classes": np.array(columns),
        "class_names": np.array([scene.class_names.get(c, str(c)) for c in columns]),
        "chosen": as_numpy(scene.chosen),
        "weight": as_numpy(scene.weights).astype(np.float64),
        "way_names": np.array(list(ways)),
        "way_chosen": np.stack([as_numpy(draws[0][0]) for draws in ways.values()]),
        "way_weight": np.stack([as_numpy(draws[0][1]).astype(np.float64) for draws in ways.values()]),
        "thumbnail_of": shown,
        "thumbnails": scene.pixels(pool.inputs[torch.from_numpy(shown).to(pool.inputs.device)]),
        **_maps(scene, seen, np.sort(first[: maps.MOST])),
    }
    if scene.config.curvature.top:
        arrays |= yield from _estimates(scene, ways)
    yield ArrayRecorded(name=name, arrays=arrays)
    yield Selected(
        task=scene.task,
        purpose="landscape",
        score=scene.config.ids.score,
        fraction=scene.config.ids.fraction,
        pool=len(pool),
        kept=len(scene.chosen),
        array=name,
    )


@torch.no_grad()
def _forward(scene: Scene) -> tuple[np.ndarray, Tensor]:
    """Features of the pool (n, f), and its EL2N scores (n,)."""
    seen = features(scene.network, scene.pool.inputs)
    logits = scene.criterion.logits(scene.network.head(seen), scene.pool.targets)
    scene.ledger.analysis(forward_examples=len(scene.pool))
    return as_numpy(seen).astype(np.float64), score("el2n", logits, scene.pool.targets, seen)


def _ways(scene: Scene, errors: Tensor) -> dict[str, list[Draw]]:
    """Name -> draws of as many instances; the first of IDS is the run's own."""
    fraction, drawn = scene.config.ids.fraction, [draw_seed(scene.config, scene.task, i) for i in range(DRAWS)]
    flat, kept = torch.ones_like(scene.scores), len(scene.chosen)
    return {
        "IDS": [select(scene.scores, fraction, seed) for seed in drawn],
        "random": [select(flat, fraction, seed) for seed in drawn],
        "EL2N": [(errors.topk(kept).indices, flat[:kept].float())],
        "top-k": [(scene.scores.topk(kept).indices, flat[:kept].float())],
    }


def _taken_first(scene: Scene, ways: dict[str, list[Draw]]) -> np.ndarray:
    """Positions in the pool: what IDS takes, what the other ways take, the rest. A cap cuts into what nobody took."""
    whole = np.arange(len(scene.pool))
    every = np.concatenate([*(as_numpy(draws[0][0]) for draws in ways.values()), whole])
    return every[np.sort(np.unique(every, return_index=True)[1])]


def _thumbnails(scene: Scene) -> int:
    """How many instances an image is kept of."""
    size = max(1, scene.pixels(scene.pool.inputs[:1]).nbytes)
    return min(max(THUMBNAIL_BYTES // size, THUMBNAILS[0]), THUMBNAILS[1])


def _maps(scene: Scene, seen: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Two maps of the features, and how far each can be trusted; the nonlinear one of `rows`, NaN elsewhere."""
    found = {"embedding": maps.principal(seen)}
    near = maps.neighbourly(seen[rows], found["embedding"][rows], scene.config.seed)
    if near is None:
        return found
    placed = np.full((len(seen), 2), np.nan)
    placed[rows] = near
    trusted = [maps.trust(seen[rows], found["embedding"][rows]), maps.trust(seen[rows], near)]
    return {**found, "map": placed, "map_name": np.array("t-SNE"), "map_trust": np.array(trusted)}


def _estimates(scene: Scene, ways: dict[str, list[Draw]]) -> Generator[Event, None, dict[str, np.ndarray]]:
    """lambda_max at the dense point from the whole pool, and from each way's choice: each draw, mean and sd."""
    samples = [("whole pool", scene.whole)]
    for way, draws in ways.items():
        parts = ((scene.pool.take(rows), weights) for rows, weights in draws)
        samples += [(way, (part.inputs, part.targets, weights)) for part, weights in parts]
    values: dict[str, list[float]] = {}
    for number, (way, data) in enumerate(samples):
        steps = top_steps(hessian(scene.network, scene.criterion, data), 1)
        found = yield from reported(steps, scene.task, "selection", number, len(samples))
        scene.ledger.analysis(products=found.products * len(data[0]))
        values.setdefault(way, []).append(float(found.values[0]))
    drawn = np.full((len(values), DRAWS), np.nan)
    for row, of_way in enumerate(values.values()):
        drawn[row, : len(of_way)] = of_way
    return {
        "estimate_names": np.array(list(values)),
        "estimate_lambda_max": np.array([np.mean(v) for v in values.values()]),
        "estimate_sd": np.array([np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values.values()]),
        "estimate_draws": np.array([len(v) for v in values.values()]),
        "estimate_each": drawn,
    }
