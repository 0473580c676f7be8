"""Arrays of spectra and planes made of formulas: eigenvalues, slices, overlap, interval, density."""

import numpy as np

from esacl.config import RunConfig

LAYERS = ("body.0.weight", "body.2.weight")


def plane_arrays(x: np.ndarray, y: np.ndarray, loss: np.ndarray, *, share: float = 0.25) -> dict[str, np.ndarray]:
    """A plane of which every so many cells were computed: what `analyse RUN landscape` keeps of one."""
    evaluated = np.arange(loss.size).reshape(loss.shape) % round(1 / share) == 0
    holes = ~np.isfinite(loss)
    return {
        "x": x,
        "y": y,
        "loss": loss,
        "accuracy": np.where(holes, np.nan, 1 / (1 + np.nan_to_num(loss, posinf=1.0))),
        "evaluated": evaluated | holes,
        "error": np.array(0.0021),
        "evaluations": np.array(int(evaluated.sum())),
        "holes": np.array(int(holes.sum())),
        "statistics": np.array("none"),
        "examples": np.array(20),
    }


def _where(config: RunConfig) -> tuple[str, ...]:
    return ("dense", "pruned", "survivors") if config.sparsity > 0 else ("dense",)


def _top(config: RunConfig, task: int, where: str) -> np.ndarray:
    """The eigenvalues that the events tell too."""
    good = config.method == "esacl"
    first = {"dense": 6.6 if good else 1.7, "pruned": 8.2 if good else 11.3, "survivors": 2.0 if good else 1.4}[where]
    return first * (1 + 0.1 * task) / np.arange(1, config.curvature.top + 1)


def spectrum_arrays(config: RunConfig, task: int) -> dict[str, np.ndarray]:
    """The array `spectrum-t{task}`: eigenvalues, slices along eigenvectors, overlap with the cut, interval."""
    arrays: dict[str, np.ndarray] = {}
    k = config.curvature.top
    for where in _where(config):
        top = _top(config, task, where)
        value, gradient = {"dense": 0.03}.get(where, 0.05), 0.01 / np.arange(1, k + 1)
        x = np.sqrt(2 / top)[:, None] * np.linspace(-1, 1, 21)
        loss = value + gradient[:, None] * x + top[:, None] * x**2 / 2 - 0.06 * top[:, None] * x**3
        part = {
            "top": top,
            "top_residuals": 1e-4 * top,
            "bottom": np.array([-0.1 * top[0]]),
            "bottom_residuals": np.array([1e-4]),
            "products": np.array(31),
            "converged": np.array(True),
            "network_norm": np.array(22.0),
            "slice_x": x,
            "slice_loss": loss,
            "slice_value": np.array(value),
            "slice_gradient": gradient,
        }
        arrays |= {f"{where}/{name}": value for name, value in part.items()}
    if config.sparsity > 0:
        arrays |= {f"overlap/{name}": value for name, value in _overlap(config, k).items()}
    top = _top(config, task, "dense")
    interval = {"value": top * 1.08, "low": top * 0.85, "high": top * 1.3, "bias": top * 0.05}
    interval |= {"examples": np.array(20), "fraction": np.array(0.25), "level": np.array(0.95)}
    return arrays | {f"interval/{name}": value for name, value in interval.items()}


def _overlap(config: RunConfig, k: int) -> dict[str, np.ndarray]:
    good = config.method == "esacl"
    layers, entries = ("all", *LAYERS), np.array([1680, 1280, 400])
    ranks = np.arange(1, k + 1)
    seen = (2e-5 if good else 4e-3) * np.ones((len(layers), 1)) * ranks
    return {
        "layers": np.array(layers),
        "entries": entries,
        "norm_share": seen,
        "curvature_share": (0.02 if good else 0.2) * np.sqrt(ranks) * np.ones((len(layers), 1)),
        "random_share": ranks / entries[:, None],
        "norm": np.array([0.9, 0.7, 0.6]) * (1 if good else 12),
        "curvature": np.array([0.004, 0.002, 0.001]) * (1 if good else 300),
    }


def density_arrays(config: RunConfig, task: int) -> dict[str, np.ndarray]:
    """The array `density-t{task}`, which a run has after `esacl analyse RUN spectrum`."""
    arrays: dict[str, np.ndarray] = {}
    for where in _where(config):
        top = _top(config, task, where)
        grid, width, n = np.linspace(-0.3 * top[0], 1.15 * top[0], 240), 0.02 * top[0], 1680

        def bump(at: float, grid: np.ndarray = grid, width: float = width) -> np.ndarray:
            return np.exp(-((grid - at) ** 2) / (2 * width**2)) / (width * np.sqrt(2 * np.pi))

        density = (n - len(top)) / n * bump(0.0) + sum(bump(value) / n for value in top)
        part = {
            "grid": grid,
            "density": density,
            "error": 0.2 * density,
            "width": np.array(width),
            "products": np.array(320),
            "converged": np.array(True),
            "trace": np.array(top.sum() * 1.2),
            "trace_error": np.array(0.02),
            "trace_products": np.array(120),
            "entries": np.array(n),
        }
        arrays |= {f"{where}/{name}": value for name, value in part.items()}
    return arrays
