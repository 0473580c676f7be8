"""A run made of formulas instead of training: every event and array of a real run, in milliseconds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from synthetic_spectra import LAYERS, plane_arrays, spectrum_arrays

from esacl.config import RunConfig
from esacl.errors import RunFailure
from esacl.events import (
    Analysing,
    ArrayRecorded,
    CostCounted,
    CurvatureMeasured,
    Evaluated,
    Event,
    Loading,
    Pruned,
    RunFinished,
    RunStarted,
    Selected,
    Stepped,
    TaskFinished,
    TaskStarted,
)

SHAPES = {"body.0.weight": (20, 64), "body.2.weight": (20, 20)}
STEPS, EPOCHS = 60, 3


class SyntheticStream:
    """An event stream like `esacl.run`'s: iterable, with `.config` and `.close()`."""

    def __init__(self, config: RunConfig, *, stop_after: int | None = None, failure: str | None = None) -> None:
        self.config = config
        self._events = _story(config, failure)
        self._left = stop_after

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if self._left is not None:
            if self._left == 0:
                raise KeyboardInterrupt
            self._left -= 1
        return next(self._events)

    def close(self) -> None:
        self._events.close()


def synthetic_config(**fields: Any) -> RunConfig:
    """A small config; three tasks unless told."""
    return RunConfig(**{"tasks": 3, "epochs": EPOCHS, "seed": 7, "device": "cpu", **fields})


def synthetic_events(config: RunConfig, failure: str | None = None) -> list[Event]:
    """The whole story as a list."""
    return list(_story(config, failure))


def _story(config: RunConfig, failure: str | None) -> Iterator[Event]:
    rng = np.random.default_rng(config.seed)
    tasks = config.tasks
    yield Loading(what="the library")
    yield RunStarted(
        tasks=tasks,
        classes=2 * tasks,
        network="mlp",
        parameters=1800,
        prunable=1680,
        device="cpu",
        device_name="Synthetic CPU",
    )
    for task in range(tasks):
        yield _evaluated(config, -1, task, 0.5)
    for task in range(tasks):
        names = (str(2 * task), str(2 * task + 1))
        yield TaskStarted(
            task=task, class_names=names, train_examples=250, evaluation_examples=108, epochs=EPOCHS, steps=STEPS
        )
        cut_step, is_cut = config.sdp.cut * STEPS, False
        for step in range(5, STEPS + 1, 5):
            if step > cut_step and not is_cut:
                is_cut = True
                yield from _analysis(config, task, rng)
            ramp = min(1.0, 2 * step / STEPS)
            yield Stepped(
                task=task,
                epoch=(step - 1) * EPOCHS // STEPS,
                step=step,
                steps=STEPS,
                loss=float(0.7 * np.exp(-step / 15) + 0.02 + 0.01 * rng.random()),
                learning_rate=0.05,
                ramp=ramp,
                density=1 - config.sparsity,
                flips=int(20 * (1 - ramp)),
                doomed_share=0.0 if is_cut else 0.7 * (1 - ramp) * bool(config.sparsity),
                selection_ratio=0.3 + 0.2 * ramp if config.ids.train_fraction < 1 else None,
                selection_open=config.ids.train_fraction < 1,
            )
            if failure and task == 1 and step == STEPS:
                raise RunFailure(failure)
        if not is_cut:
            yield from _analysis(config, task, rng)
        for on in range(task + 1):
            yield _evaluated(config, task, on, accuracy(config, task, on))
        yield _cost(config, task)
        yield TaskFinished(task=task, density=1 - config.sparsity)
    yield RunFinished()


def accuracy(config: RunConfig, after: int, on: int) -> float:
    """The made-up accuracy matrix: good methods forget little."""
    slip = {"esacl": 0.004, "joint": 0.0, "ewc": 0.01}.get(config.method, 0.07)
    return float(max(0.5, 0.995 - slip * (after - on) - 0.002 * on))


def _evaluated(config: RunConfig, after: int, on: int, value: float) -> Evaluated:
    known = min(1.0, value + 0.03) if config.scenario == "class" else None
    return Evaluated(after=after, on=on, accuracy=value, loss=1.2 * (1 - value), accuracy_task=known, examples=108)


def _analysis(config: RunConfig, task: int, rng: np.random.Generator) -> Iterator[Event]:
    cut = config.sparsity > 0
    yield Analysing(task=task, stage="selection", done=0, total=4)
    yield ArrayRecorded(name=f"selection-t{task}", arrays=_selection(config, task, rng))
    yield Selected(
        task=task,
        purpose="landscape",
        score=config.ids.score,
        fraction=config.ids.fraction,
        pool=80,
        kept=20,
        array=f"selection-t{task}",
    )
    yield Analysing(task=task, stage="spectrum", done=1, total=4)
    sharp = 6.6 if config.method == "esacl" else 1.7
    if config.curvature.top:
        yield from _points(task, cut, sharp, config)
        yield ArrayRecorded(name=f"spectrum-t{task}", arrays=spectrum_arrays(config, task))
    curve = _sparsity(config, task)
    yield ArrayRecorded(name=f"sparsity-t{task}", arrays=curve)
    yield ArrayRecorded(name=f"histogram-t{task}", arrays=_histogram(cut))
    weights = _weights(config, rng)
    yield ArrayRecorded(name=f"weights-t{task}", arrays=weights)
    if config.method == "esacl":  # older runs did not record it
        yield ArrayRecorded(name=f"cuts-t{task}", arrays=cuts_arrays(weights, curve))
    if config.method == "esacl" and task == config.tasks - 1:
        yield ArrayRecorded(name=f"deployment-t{task}", arrays=deployment_arrays())
    if config.curvature.grid:
        yield ArrayRecorded(name=f"landscape-t{task}", arrays=_landscape(config, task))
    if cut:
        at = int(np.argmin(np.abs(curve["levels"] - config.sparsity)))
        yield Pruned(
            task=task,
            sparsity=config.sparsity,
            dense_accuracy=0.997,
            pruned_accuracy=float(curve["accuracy"][at, task]),
            actual_rise=float(curve["rise"][at]),
            taylor=float(curve["taylor"][at]),
            path_integral=float(curve["path_integral"][at]),
            lambda_bound=float(curve["lambda_bound"][at]),
            displacement_norm=float(curve["displacement_norm"][at]),
            network_norm=22.0,
            removed_share=float(curve["removed_share"][at]),
            flips=812,
            estimate_taylor=float(curve["taylor"][at] * 1.04),
            estimate_lambda_max=sharp * 1.1,
            full_lambda_max=sharp,
            output_bound=float(curve["output_bound"][at]),
        )


def _points(task: int, cut: bool, sharp: float, config: RunConfig) -> Iterator[Event]:
    yield _curvature(task, "dense", False, "lanczos", sharp)
    if config.method == "esacl":  # a run has this row only where somebody asked for the check
        yield _curvature(task, "dense", False, "pyhessian", sharp * 1.001, k=1)
    if cut:
        yield _curvature(task, "pruned", False, "lanczos", 8.2 if config.method == "esacl" else 11.3)
        yield _curvature(task, "pruned", True, "lanczos", 2.0 if config.method == "esacl" else 1.4)


def _curvature(task: int, point: str, restricted: bool, engine: str, top: float, k: int = 3) -> CurvatureMeasured:
    values = tuple(top * (1 + 0.1 * task) / (i + 1) for i in range(k))
    return CurvatureMeasured(
        task=task,
        point=point,
        restricted=restricted,
        engine=engine,
        top_eigenvalues=values,
        residuals=tuple(1e-4 * v for v in values),
        products=31,
        converged=True,
        network_norm=22.0,
        relative_sharpness=values[0] * 22.0**2,
        examples=80,
        fraction=1.0,
    )


def _cost(config: RunConfig, task: int) -> CostCounted:
    done = task + 1
    items = {"fresh_forward": 1e8, "fresh_backward": 1.6e8, "replay": 0.0, "scoring": 4e7, "fisher": 1e8, "other": 0.0}
    layers = {"body.0.weight": 2.5e8, "body.2.weight": 1.1e8, "head.weight": 4e7}
    bill = {f"{item}_flops": flops * done for item, flops in items.items()}
    bill |= {"layer_names": tuple(layers), "layer_flops": tuple(flops * done for flops in layers.values())}
    return CostCounted(
        task=task,
        train_flops=4.0e8 * done,
        train_flops_dense_sgd=3.1e8 * done,
        train_flops_published_rule=4.2e8 * done,
        analysis_flops=9e8 * done,
        examples_forward=2400 * done,
        examples_backward=2400 * done,
        weights_bytes=720,
        masks_bytes=225,
        anchors_bytes=1400,
        buffer_bytes=0,
        optimiser_bytes=7200,
        activations_bytes=20480,
        **(bill if config.method == "esacl" else {}),  # runs from before there were bills have none
    )


def _sparsity(config: RunConfig, task: int) -> dict[str, np.ndarray]:
    levels = np.unique(np.append(np.linspace(0, 0.995, 24), config.sparsity))
    knee = 0.93 if config.method == "esacl" else 0.6
    fall = 1 / (1 + np.exp(-(levels - knee - 0.05) * 60))
    rise = 0.7 * fall + 1e-4 * levels
    seen = np.stack([0.5 + (accuracy(config, task, on) - 0.5) * (1 - fall) for on in range(task + 1)], axis=1)
    norm = 22 * levels ** (6 if config.method == "esacl" else 2)
    return {
        "levels": levels,
        "accuracy": seen,
        "loss": 0.03 + rise,
        "rise": rise,
        "rise_of_chosen": rise * 1.02,
        "gradient_term": rise * 0.5,
        "curvature_term": rise * 0.4,
        "taylor": rise * 0.9,
        "path_integral": rise * 1.01,
        "output_bound": rise * 1.05,
        "lambda_bound": 3.0 * norm**2,
        "displacement_norm": norm,
        "removed_share": (norm / 22) ** 2,
        "layer_density": np.stack([1 - levels * 0.99, 1 - levels * 1.0], axis=1),
        "layers": np.array(LAYERS),
        "chosen": np.array(config.sparsity),
        "chance": np.full(task + 1, 0.5),
    }


def cuts_arrays(weights: dict[str, np.ndarray], curve: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Cuts of made-up weights by magnitude at the levels of a curve."""
    levels = curve["levels"]
    dense = {name.removeprefix("dense/"): w for name, w in weights.items() if name.startswith("dense/")}
    values = np.concatenate([w.ravel() for w in dense.values()])
    edges = np.linspace(-np.abs(values).max(), np.abs(values).max(), 42)
    kept = [int(len(values) * (1 - level) + 1e-6) for level in levels]
    border = np.sort(np.abs(values))[::-1]
    survived = {n: sum((np.abs(w) >= border[k - 1]).astype(np.uint8) for k in kept) for n, w in dense.items()}
    every = np.concatenate([s.ravel() for s in survived.values()])
    way, norm = np.linspace(0, 1, 9), curve["displacement_norm"]
    at_x = np.minimum((norm / norm[np.searchsorted(levels, float(curve["chosen"]))]) ** 2, 1.0)
    return {
        "levels": levels,
        **{f"survived/{name}": counts for name, counts in survived.items()},
        "edges": edges,
        "kept": np.stack([np.histogram(values[every > i], edges)[0] for i in range(len(levels))]),
        "way": way,
        "way_loss": 0.03 + curve["rise"][:, None] * way**2,
        "place_x": at_x,
        "place_y": 0.01 * levels,
        "place_off": np.where(at_x < 1, 0.0, norm - norm[np.searchsorted(levels, float(curve["chosen"]))]),
        "place_of_y": np.array("eigen1"),
    }


def comparison_arrays(curve: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A made-up comparison of rankings: the second order loses least."""
    slip = np.array([1.0, 2.0, 1.5, 9.0])[:, None, None] * np.array([1.0, 0.9, 1.1, 1.5, 3.0])[:, None]
    rise = slip * np.maximum(curve["rise"], 0)
    return {
        "levels": curve["levels"],
        "saliencies": np.array(["second-order", "magnitude", "taylor", "random"]),
        "allocations": np.array(["global", "erk", "uniform", "2:4", "neuron"]),
        "draws": np.array([1, 1, 1, 3]),
        "pool": np.array(80),
        "rise": rise,
        "accuracy": np.repeat(np.clip(0.99 - rise / 10, 0.5, 1)[..., None], curve["accuracy"].shape[1], axis=-1),
    }


def exact_arrays(level: float, tasks: int) -> dict[str, np.ndarray]:
    """A made-up exact cut."""
    return {
        "level": np.array(level),
        "removed": np.array(level),
        "accuracy": np.full(tasks, 0.95),
        "dense_accuracy": np.full(tasks, 0.99),
        "loss": np.full(tasks, 0.25),
        "dense_loss": np.full(tasks, 0.05),
        "examples": np.full(tasks, 100),
    }


def deployment_arrays() -> dict[str, np.ndarray]:
    """Sparse layers that pay at batches 1 and 32, and not at 256."""
    seconds = np.array([[2e-4, 8e-4, 5e-3], [1e-4, 3e-4, 6e-3], [1.5e-4, 6e-4, 4e-3]])
    return {
        "engines": np.array(["torch, dense", "torch, sparse", "ONNX Runtime, dense"]),
        "batches": np.array([1, 32, 256]),
        "seconds": seconds[:, :, None] * np.linspace(0.9, 1.1, 5),
        "apart": np.array([0, 1.4e-6, 1.2e-6]),
        "formats": np.array(["safetensors", "sparse", "onnx"]),
        "bytes": np.array([7200, 900, 7900]),
        "sparse_layers": np.array(["body.hidden1", "body.hidden2"]),
        "threads": np.array(1),
    }


def _histogram(cut: bool) -> dict[str, np.ndarray]:
    edges = np.linspace(-1, 1, 41)
    centres = (edges[1:] + edges[:-1]) / 2
    mass = (900 * np.exp(-np.abs(centres) * 9)).astype(int) + 1
    near = np.abs(centres) < 0.2
    removed = np.where(near & cut, mass, 0)
    return {"edges": edges, "kept": mass - removed, "removed": removed}


def _weights(config: RunConfig, rng: np.random.Generator) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, shape in SHAPES.items():
        dense = rng.normal(0, 0.1, shape).astype(np.float32)
        arrays[f"dense/{name}"] = dense
        arrays[f"mask/{name}"] = np.abs(dense) >= np.quantile(np.abs(dense), config.sparsity)
    return arrays


def _selection(config: RunConfig, task: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    pool, kept = 80, 20
    score = rng.lognormal(-3, 1.5, pool)
    probability = 0.75 * score / score.sum() + 0.25 / pool
    chosen = np.sort(rng.choice(pool, kept, replace=False, p=probability / probability.sum()))
    label = rng.integers(0, 2, pool)
    shown = np.concatenate([chosen, np.setdiff1d(np.arange(pool), chosen)[:40]])
    el2n = score * rng.lognormal(0, 0.5, pool)
    top, hard = np.argsort(-score)[:kept], np.argsort(-el2n)[:kept]
    weight, even = 1 / (pool * probability[chosen]), np.ones(kept)
    embedding = np.stack([rng.normal(label * 2.0, 1), rng.normal(0, 1, pool)], axis=1)
    y, x = np.mgrid[0:8, 0:8]
    thumbnails = np.stack(
        [
            np.clip(
                255 * np.exp(-((np.hypot(x - 3.5, y - 3.5) - 2.2 - label[i] * 0.8) ** 2)) + 20 * rng.random((8, 8)),
                0,
                255,
            )
            for i in shown
        ]
    ).astype(np.uint8)
    return {
        "score": score,
        "probability": probability,
        "label": label,
        "labels_of_classes": np.array([0, 1]),
        "class_names": np.array([str(2 * task), str(2 * task + 1)]),
        "chosen": chosen,
        "weight": weight,
        "el2n": el2n,
        "way_names": np.array(["IDS", "random", "EL2N", "top-k"]),
        "way_chosen": np.stack([chosen, np.sort(rng.choice(pool, kept, replace=False)), hard, top]),
        "way_weight": np.stack([weight, even, even, even]),
        "thumbnails": thumbnails,
        "thumbnail_of": shown,
        "embedding": embedding,
        "map": embedding @ np.array([[0.0, 3.0], [-3.0, 0.0]]),
        "map_name": np.array("t-SNE"),
        "map_trust": np.array([0.91, 0.97]),
        "estimate_names": np.array(["whole pool", "IDS", "random", "EL2N", "top-k"]),
        "estimate_lambda_max": np.array([6.6, 6.9, 7.9, 22.0, 24.0]),
        "estimate_sd": np.array([0.0, 0.5, 2.1, 0.0, 0.0]),
        "estimate_draws": np.array([1, 2, 2, 1, 1]),
        "estimate_each": np.array([[6.6, np.nan], [6.4, 7.4], [5.8, 10.0], [22.0, np.nan], [24.0, np.nan]]),
    }


def _landscape(config: RunConfig, task: int) -> dict[str, np.ndarray]:
    x = np.linspace(-0.5, 1.5, 21)
    arrays: dict[str, np.ndarray] = {}

    def line(name: str, across: np.ndarray, loss: np.ndarray) -> None:
        arrays.update({f"{name}/x": across, f"{name}/loss": loss, f"{name}/accuracy": 1 / (1 + loss)})

    def plane(name: str, a: np.ndarray, b: np.ndarray) -> None:
        loss = 0.03 + 0.4 * a[None, :] ** 2 + 0.8 * b[:, None] ** 2 + 0.02 * task
        arrays.update({f"{name}/{key}": value for key, value in plane_arrays(a, b, loss).items()})

    unit = np.linspace(-1, 1, 21)
    line("random_dense", unit, 0.03 + 0.8 * unit**2)
    plane("plane_dense", unit, unit)
    if config.sparsity > 0:
        line("pruning", x, 0.03 + 0.01 * x**2 + 0.2 * np.clip(x - 1, 0, None) ** 2)
        line("random_pruned", unit, 0.05 + 0.5 * unit**2)
        plane("plane_pruning", x, unit)
        arrays["plane_pruning/y_name"] = np.array("eigen1" if config.curvature.top else "random2")
        plane("plane_pruned", unit, unit * 0.8)
    return arrays
