"""The ends of the spectrum, slices along eigenvectors, density, overlap and interval, against exact linear algebra."""

from importlib import import_module

import numpy as np
import pytest
import torch
from looked_run import Run
from scipy.sparse.linalg import LinearOperator, eigsh
from tiny_runs import array, of_kind

from esacl.analysis import analyse
from esacl.curvature import hessian, top_eigenpairs
from esacl.curvature.lanczos import top_steps
from esacl.events import CurvatureMeasured
from esacl.look import Look

POINTS = ("dense", "pruned", "survivors")


@pytest.fixture(scope="module")
def spectrum(looked) -> dict[str, np.ndarray]:
    return looked.array("spectrum")


def operator_at(run: Run, point: str, **more):
    run.at(run.weights("dense") if point == "dense" else run.cut)
    data = run.train.inputs, run.train.targets
    mask = run.weights("mask") if point == "survivors" else None
    return hessian(run.network, run.loss, data, mask, dtype=torch.float64, **more)


@pytest.mark.parametrize("point", POINTS)
def test_both_ends_are_those_of_the_event_and_of_rayleigh(looked, spectrum, point):
    top, bottom = spectrum[f"{point}/top"], spectrum[f"{point}/bottom"]
    where = ("dense", False) if point == "dense" else ("pruned", point == "survivors")
    event = next(
        e for e in of_kind(looked.events, CurvatureMeasured) if (e.task, (e.point, e.restricted)) == (1, where)
    )
    assert tuple(top) == event.top_eigenvalues
    assert float(spectrum[f"{point}/network_norm"]) == event.network_norm
    operator = operator_at(looked, point)
    assert int(spectrum[f"{point}/entries"]) == operator.shape[0]
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(operator.shape[0], generator=generator, dtype=torch.float64)
    quotient = float(v @ (operator @ v)) / float(v @ v)
    assert bottom[0] < quotient < top[-1]


@pytest.mark.parametrize("point", POINTS)
def test_the_slice_along_an_eigenvector_is_the_loss_there(looked, spectrum, point):
    x, loss = spectrum[f"{point}/slice_x"], spectrum[f"{point}/slice_loss"]
    middle = x.shape[1] // 2
    operator = operator_at(looked, point)
    found = top_eigenpairs(operator, len(spectrum[f"{point}/top"]), tol=1e-6)
    start = {name: p.detach().clone() for name, p in looked.network.named_parameters()}
    gradient = operator.gradient()
    for i, value in enumerate(spectrum[f"{point}/top"]):
        assert x[i, middle] == 0
        assert loss[i, middle] == pytest.approx(float(spectrum[f"{point}/slice_value"]), rel=1e-6)
        assert value * x[i, -1] ** 2 / 2 == pytest.approx(1, rel=1e-3)
        v = found.vectors[:, i]
        slope = float(spectrum[f"{point}/slice_gradient"][i])
        sign = 1 if float(gradient @ v) * slope > 0 else -1  # an eigenvector has none of its own
        # The run's vectors are good to residuals of 0.003, and its slope inherits that angle.
        assert slope == pytest.approx(sign * float(gradient @ v), abs=0.01 * float(gradient.norm()))
        step = operator.unflatten(sign * v)
        for j in range(x.shape[1]):
            looked.at({name: start[name] + float(x[i, j]) * step.get(name, 0) for name in start})
            with torch.no_grad():
                there = float(looked.loss(looked.network(looked.train.inputs).double(), looked.train.targets))
            assert loss[i, j] == pytest.approx(there, rel=5e-3)


def test_the_overlap_is_the_share_of_the_displacement_in_the_eigenvectors(looked, spectrum):
    layers = list(spectrum["overlap/layers"])
    mask, dense = looked.weights("mask"), looked.weights("dense")
    d = {name: looked.cut[name] - dense[name] for name in mask}
    assert layers == ["all", *mask]
    for row, layer in enumerate(layers):
        names = None if layer == "all" else (layer,)
        operator = operator_at(looked, "dense", names=names)
        flat = operator.flatten(d if layer == "all" else {layer: d[layer]})
        squared = float(flat @ flat)
        assert float(spectrum["overlap/norm"][row]) == pytest.approx(squared**0.5, rel=1e-5)
        assert float(spectrum["overlap/curvature"][row]) == pytest.approx(float(flat @ (operator @ flat)), rel=1e-3)
        assert int(spectrum["overlap/entries"][row]) == operator.shape[0]
        shares = spectrum["overlap/norm_share"][row]
        assert (np.diff(shares) >= 0).all()
        assert ((shares >= 0) & (shares <= 1)).all()
        assert spectrum["overlap/random_share"][row] == pytest.approx([1 / operator.shape[0], 2 / operator.shape[0]])
    # The first eigenvector by ARPACK to machine precision, for the smallest block.
    layer = min(mask, key=lambda name: mask[name].numel())
    operator = operator_at(looked, "dense", names=(layer,))
    block = LinearOperator(operator.shape, lambda v: (operator @ torch.from_numpy(v.ravel())).numpy(), dtype=np.float64)
    _, vectors = eigsh(block, k=1, which="LA")
    flat = operator.flatten({layer: d[layer]}).numpy()
    share = (vectors[:, 0] @ flat) ** 2 / (flat @ flat)
    assert spectrum["overlap/norm_share"][layers.index(layer), 0] == pytest.approx(share, rel=0.05, abs=1e-6)


def test_the_interval_stands_beside_the_whole_pool(spectrum):
    low, value, high = (spectrum[f"interval/{part}"] for part in ("low", "value", "high"))
    assert value.shape == (2,)
    assert (low < high).all()
    assert (int(spectrum["interval/examples"]), float(spectrum["interval/fraction"])) == (12, 0.25)
    assert float(spectrum["interval/level"]) == 0.95


def test_what_rests_on_eigenvectors_that_did_not_converge_says_so(looked, spectrum, monkeypatch):
    assert spectrum["overlap/converged"].tolist() == [True] * len(spectrum["overlap/layers"])
    assert bool(spectrum["interval/converged"])

    def hurried(operator, k, **more):
        return top_steps(operator, k, **{**more, "max_products": k})

    for module in ("esacl.analysis.spectrum", "esacl.curvature.interval"):
        monkeypatch.setattr(import_module(module), "top_steps", hurried)
    found = array(list(analyse("spectrum", looked.config, 1, looked.recorded)), "spectrum-t1")
    assert found["overlap/converged"].tolist() == [True] + [False] * (len(found["overlap/layers"]) - 1)
    assert not bool(found["interval/converged"])


def test_a_density_is_measured_where_it_is_asked_for(looked):
    events = list(analyse("spectrum", looked.config, 1, looked.recorded, look=Look(probes=3)))
    density = array(events, "density-t1")
    spectrum = array(events, "spectrum-t1")
    for point in POINTS:
        grid, values = density[f"{point}/grid"], density[f"{point}/density"]
        assert np.trapezoid(values, grid) == pytest.approx(1, abs=1e-3)
        assert grid[0] < spectrum[f"{point}/top"][0] < grid[-1]
        assert (density[f"{point}/error"] >= 0).all()
        assert int(density[f"{point}/products"]) == 3 * 40
        assert int(density[f"{point}/entries"]) == int(spectrum[f"{point}/entries"])
    layer = operator_at(looked, "survivors")
    exact = sum(float((layer @ e)[i]) for i, e in enumerate(torch.eye(layer.shape[0], dtype=torch.float64)))
    assert float(density["survivors/trace"]) == pytest.approx(exact, rel=0.02)


def test_a_dense_run_has_one_point_and_no_overlap():
    run = Run({"method": "finetune", "sparsity": 0.0, "epochs": 1, "curvature.levels": 0, "curvature.grid": 0})
    found = run.array("spectrum")
    assert {name.split("/")[0] for name in found} == {"dense", "interval"}
