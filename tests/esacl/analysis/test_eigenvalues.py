"""Eigenvalues at the dense and at the pruned point, against ARPACK and against interlacing."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from tiny_runs import of_kind

from esacl.analysis import analyse
from esacl.curvature import hessian
from esacl.events import CurvatureMeasured
from esacl.look import Look


def at_point(events, point, restricted, engine="lanczos"):
    found = [e for e in of_kind(events, CurvatureMeasured) if (e.task, e.point, e.restricted) == (1, point, restricted)]
    return next(e for e in found if e.engine == engine)


def test_eigenvalues_are_measured_at_three_points(looked):
    found = [e for e in of_kind(looked.events, CurvatureMeasured) if e.task == 1]
    assert [(e.point, e.restricted) for e in found] == [("dense", False), ("pruned", False), ("pruned", True)]
    assert {e.engine for e in found} == {"lanczos"}  # PyHessian is asked on request
    for e in found:
        assert e.converged
        assert len(e.top_eigenvalues) == 2
        assert list(e.top_eigenvalues) == sorted(e.top_eigenvalues, reverse=True)
        assert e.relative_sharpness == pytest.approx(e.top_eigenvalues[0] * e.network_norm**2)
        assert (e.examples, e.fraction) == (48, 1.0)
    # Cauchy interlacing: restricting to the survivors alone lowers every eigenvalue.
    full, restricted = (at_point(looked.events, "pruned", r).top_eigenvalues for r in (False, True))
    assert all(a <= b * (1 + 1e-3) for a, b in zip(restricted, full))
    assert restricted != full


def test_pyhessian_repeats_the_largest_eigenvalues_of_each_point_where_it_is_asked(looked):
    events = list(analyse("spectrum", looked.config, 1, looked.recorded, look=Look(check=True)))
    for point, restricted in (("dense", False), ("pruned", False), ("pruned", True)):
        ours, theirs = (at_point(events, point, restricted, engine) for engine in ("lanczos", "pyhessian"))
        assert len(theirs.top_eigenvalues) == looked.config.curvature.top
        assert ours.top_eigenvalues == pytest.approx(theirs.top_eigenvalues, rel=0.02)
        assert ours == at_point(looked.events, point, restricted)


@pytest.mark.parametrize("point", ["dense", "pruned"])
def test_each_point_is_where_the_weights_are(looked, point):
    weights = looked.weights("dense") if point == "dense" else looked.cut
    looked.at(weights)
    event = next(
        e for e in of_kind(looked.events, CurvatureMeasured) if (e.task, e.point, e.restricted) == (1, point, False)
    )
    operator = hessian(looked.network, looked.loss, (looked.train.inputs, looked.train.targets))

    def product(x: np.ndarray) -> np.ndarray:
        return (operator @ torch.tensor(x.reshape(-1), dtype=torch.float32)).numpy()

    matrix = LinearOperator(operator.shape, matvec=product, dtype=np.float32)
    start = np.ones(operator.shape[0], dtype=np.float32)
    (top,) = eigsh(matrix, k=1, which="LA", return_eigenvectors=False, v0=start)
    assert event.top_eigenvalues[0] == pytest.approx(float(top), rel=2e-3)
    norm = sum(float(w.double().square().sum()) for w in weights.values()) ** 0.5
    assert event.network_norm == pytest.approx(norm)
