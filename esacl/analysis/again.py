"""Analyses of a run that is already kept: rebuild a task's scene from its weights, and look again."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from esacl import networks
from esacl.analysis.comparison import comparison
from esacl.analysis.density import density
from esacl.analysis.deployment import deployment
from esacl.analysis.exact import exact
from esacl.analysis.instances import selection
from esacl.analysis.points import Found, ends_at, points
from esacl.analysis.scene import Scene, pool_gradient, scene
from esacl.analysis.slices import plane_by_name, slices
from esacl.analysis.sparsity import sparsity
from esacl.analysis.spectrum import spectrum
from esacl.batchnorm import Statistics
from esacl.config import RunConfig
from esacl.cost import Ledger
from esacl.devices import resolve_device
from esacl.errors import InputError, RunUnreadable
from esacl.events import Event
from esacl.flops import count_layers, count_product
from esacl.look import Look
from esacl.mask import Mask
from esacl.pruning import saliency
from esacl.seeds import torch_generator
from esacl.stages import stage_of
from esacl.tasks import task_stream

KINDS = ("landscape", "spectrum", "sparsity", "selection", "deployment")


def analyse(
    kind: str,
    config: RunConfig,
    task: int,
    weights: Mapping[str, np.ndarray],
    *,
    data: Path | None = None,
    look: Look | None = None,
    following: Mapping[str, np.ndarray] | None = None,
    run_id: str = "",
    accuracies: Sequence[float] = (),
) -> Iterator[Event]:
    """The events of one analysis of task `task`, at the weights that the run recorded for it.

    What is looked at follows from `config`: the run's own with another `curvature.grid`, `curvature.top`,
    `curvature.levels`, `pruning.saliency`, `pruning.allocation`, `ids.fraction` or `ids.score`. The arrays have the
    names that the run gave them.

    Args:
        kind: a key of KINDS.
        config: the run's config, changed where another view is wanted.
        task: 0-based.
        weights: the arrays of `weights-t{task}`.
        data: where the data sets lie.
        look: what to look at beyond what every run measures; a plane by name stands instead of the usual slices, a
            comparison or one exact cut instead of the sparsity curve.
        following: the arrays of `weights-t{task + 1}`, for the axis `task`.
        run_id: for `deployment`, what the exported files name as their origin.
        accuracies: for `deployment`, the fraction right on each task learned so far, as the files tell it.

    Raises:
        InputError: an unknown kind, a task that the benchmark does not have, a data set missing.
        RunUnreadable: weights that do not fit the config's network.
    """
    if kind not in KINDS:
        raise InputError(f"unknown analysis {kind!r}; choose from {', '.join(KINDS)}")
    if not 0 <= task < config.tasks:
        raise InputError(f"task {task} is not in the run; choose 0 to {config.tasks - 1}")
    wanted = look or Look()
    sizes = {"landscape": "grid", "spectrum": "top", "sparsity": "levels"}
    if kind in sizes and getattr(config.curvature, sizes[kind]) == 0 and wanted.exact is None:
        raise InputError(f"curvature.{sizes[kind]} is 0, so there is nothing to look at; give --points")
    seen = _scene(config, task, weights, data)
    match kind:
        case "landscape" if wanted.x:
            yield from plane_by_name(seen, wanted, _solution(seen, task + 1, following))
        case "landscape":
            yield from slices(seen, (yield from _first_eigenvectors(seen)))
        case "spectrum":
            yield from spectrum(seen, wanted)
            yield from density(seen, wanted)
        case "sparsity" if wanted.exact is not None:
            yield from exact(seen, wanted.exact)
        case "sparsity" if wanted.compare:
            yield from comparison(seen)
        case "sparsity":
            yield from sparsity(seen, (yield from _first_eigenvectors(seen)))
        case "selection":
            yield from selection(seen)
        case "deployment":
            yield from deployment(seen, run_id, accuracies)


def _first_eigenvectors(scene: Scene) -> Generator[Event, None, dict[str, Found]]:
    """What the usual slices and places on them need where no spectrum was taken before them."""
    if scene.mask is None or not (scene.config.curvature.top and scene.config.curvature.grid):
        return {}
    dense = points(scene)[0]
    return {dense.name: (yield from ends_at(scene, dense, scene.config.curvature.top))}


def _solution(scene: Scene, task: int, weights: Mapping[str, np.ndarray] | None) -> dict[str, Tensor] | None:
    if weights is None:
        return None
    _check_weights(weights, scene.network, task)
    return {key: torch.from_numpy(array) for key, array in weights.items()}


def _check_weights(weights: Mapping[str, Any], network: nn.Module, task: int) -> None:
    wanted: dict[str, Tensor] = {f"dense/{name}": p for name, p in network.named_parameters()}
    wanted |= {f"statistics/network/{name}": b for name, b in network.named_buffers()}
    for name, tensor in wanted.items():
        kept = weights.get(name)
        if kept is None or tuple(kept.shape) != tuple(tensor.shape):
            raise RunUnreadable(f"weights-t{task}: {name} is missing or does not fit the config's network")


def _scene(config: RunConfig, task: int, weights: Mapping[str, np.ndarray], data: Path | None) -> Scene:
    device = resolve_device(config.device)
    torch.set_num_threads(config.threads)
    stream = task_stream(config, data)
    network = networks.placed(networks.build(config, stream), config, device)
    found = {key: torch.from_numpy(array).to(device) for key, array in weights.items()}
    _check_weights(weights, network, task)
    statistics = Statistics(network, per_task=config.batchnorm.statistics == "task")
    statistics.load({k.removeprefix("statistics/"): t for k, t in found.items() if k.startswith("statistics/")})
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(found[f"dense/{name}"])
    prunable = networks.prunable_in(config, network)
    stage = stage_of(config, stream, task, device, joint=config.method == "joint")
    masks = _group(found, "mask", prunable)
    sample = stage.examples.inputs[:2]
    seen = scene(
        config,
        task,
        network=network,
        criterion=stage.criterion,
        ledger=Ledger(count_layers(network, sample), count_product(network, sample)),
        saliency={},
        curvature=_group(found, "curvature", prunable),
        mask=Mask(masks) if masks else None,
        train=stage.examples,
        stream=stream,
        statistics=statistics,
    )
    return replace(seen, saliency=_saliency(seen, prunable, found))


def _saliency(scene: Scene, prunable: tuple[str, ...], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The saliency that ranked the run's own cut where it was recorded or follows from what was, else today's."""
    config = scene.config
    taylor = config.pruning.saliency == "taylor"
    if (taylor or config.sdp.form == "any") and all(f"saliency/{name}" in found for name in prunable):
        return {name: found[f"saliency/{name}"] for name in prunable}
    weights = {name: p for name, p in scene.network.named_parameters() if name in prunable}
    with torch.no_grad():
        ranked = saliency(
            config.pruning.saliency,
            weights,
            curvature=scene.curvature or None,
            gradient=pool_gradient(scene, prunable) if taylor else None,
            generator=torch_generator(config.seed, "random saliency", scene.task),
        )
    return scene.weighed(ranked)


def _group(found: Mapping[str, Tensor], group: str, names: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: found[f"{group}/{name}"] for name in names if f"{group}/{name}" in found}
