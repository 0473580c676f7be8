"""Which instances IDS chose, and what each rule of choice would have made of lambda_max."""

from collections.abc import Generator, Iterator

import numpy as np
import torch
from torch import Tensor

from esacl.analysis.driving import told
from esacl.analysis.scene import Scene, as_numpy
from esacl.curvature.lanczos import top_steps
from esacl.curvature.operator import hessian
from esacl.events import ArrayRecorded, Event, Selected
from esacl.networks import features
from esacl.selection import select

DRAWS = 5
THUMBNAILS = 256


def selection(scene: Scene) -> Iterator[Event]:
    """Which instances IDS chose, and what each rule of choice would have estimated for lambda_max."""
    pool, name = scene.pool, f"selection-t{scene.task}"
    labels, shown = as_numpy(pool.targets), _thumbnail_positions(scene)
    columns = sorted(set(labels.tolist()))
    arrays = {
        "score": as_numpy(scene.scores).astype(np.float64),
        "label": labels,
        "labels_of_classes": np.array(columns),
        "class_names": np.array([scene.class_names.get(c, str(c)) for c in columns]),
        "chosen": as_numpy(scene.chosen),
        "weight": as_numpy(scene.weights).astype(np.float64),
        "thumbnail_of": as_numpy(shown),
        "thumbnails": scene.pixels(pool.inputs[shown]),
        "embedding": _embedding(scene),
    }
    if scene.config.curvature.top:
        arrays |= yield from _estimates(scene)
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


def _thumbnail_positions(scene: Scene) -> Tensor:
    """The chosen first, then the others, so that a cap cuts into what was not chosen."""
    left_out = torch.ones(len(scene.pool), dtype=torch.bool, device=scene.chosen.device)
    left_out[scene.chosen] = False
    return torch.cat([scene.chosen, left_out.nonzero()[:, 0]])[:THUMBNAILS]


@torch.no_grad()
def _embedding(scene: Scene) -> np.ndarray:
    """First two principal components of the features; (n, 2)."""
    seen = features(scene.network, scene.pool.inputs).cpu().double()
    centred = seen - seen.mean(0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    u = u[:, :2] * s[:2]
    signs = torch.where(u.abs().argmax(0) >= 0, u.gather(0, u.abs().argmax(0)[None])[0].sign(), 1.0)
    return (u * signs).numpy()


def _estimates(scene: Scene) -> Generator[Event, None, dict[str, np.ndarray]]:
    """lambda_max at the dense point from the whole pool, and from each rule's choice: mean and sd over draws."""
    fraction, seed = scene.config.ids.fraction, scene.config.seed
    flat, kept = torch.ones_like(scene.scores), len(scene.chosen)
    rules: dict[str, list[tuple[Tensor, Tensor]]] = {
        "IDS": [select(scene.scores, fraction, seed + 1000 * i + scene.task) for i in range(DRAWS)],
        "random": [select(flat, fraction, seed + 1000 * i + scene.task) for i in range(DRAWS)],
        "top-k": [(scene.scores.topk(kept).indices, flat[:kept].float())],
    }
    samples = [("whole pool", scene.whole)]
    for rule, draws in rules.items():
        parts = ((scene.pool.take(rows), weights) for rows, weights in draws)
        samples += [(rule, (part.inputs, part.targets, weights)) for part, weights in parts]
    values: dict[str, list[float]] = {}
    for number, (rule, data) in enumerate(samples):
        steps = top_steps(hessian(scene.network, scene.criterion, data), 1)
        found = yield from told(steps, scene.task, "selection", number, len(samples))
        scene.ledger.analysis(products=found.products * len(data[0]))
        values.setdefault(rule, []).append(float(found.values[0]))
    return {
        "estimate_names": np.array(list(values)),
        "estimate_lambda_max": np.array([np.mean(v) for v in values.values()]),
        "estimate_sd": np.array([np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values.values()]),
        "estimate_draws": np.array([len(v) for v in values.values()]),
    }
