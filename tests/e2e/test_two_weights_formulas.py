"""The formulas of the live figure, run in the browser that draws it, against NumPy that knows the loss alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.lesson import steps, two_weights
from app.lesson.two_weights import Valley

pytestmark = pytest.mark.browser

FOLDER = Path(two_weights.__file__).parents[1] / "component"
SHAPES = ("bowl", "steepens", "levels", "bends", "breaks")
SMOOTH = SHAPES[:-1]
STEEP, LEVEL, WALL, PUSH = 1.6, 0.5, 0.55, 2.2


def one_axis(shape: str, x: np.ndarray, curvature: float, beta: float) -> np.ndarray:
    """The loss along an axis of the valley, written once more from its definition."""
    parabola, size = curvature * x**2 / 2, np.abs(x)
    if shape == "steepens":
        return parabola * (1 + x**2 / (2 * STEEP**2))
    if shape == "levels":
        return curvature * LEVEL * (np.sqrt(LEVEL**2 + x**2) - LEVEL)
    if shape == "bends":
        slope_at_zero = 1 / (1 + np.exp(beta * WALL))
        wake = np.logaddexp(0, beta * (size - WALL)) - np.logaddexp(0, -beta * WALL)
        return parabola + PUSH * (wake / beta - size * slope_at_zero)
    return parabola + (PUSH * np.maximum(0, size - WALL) if shape == "breaks" else 0)


def loss(valley: dict, point) -> float:
    cos, sin = np.cos(valley["angle"]), np.sin(valley["angle"])
    u, v = np.array([[cos, sin], [-sin, cos]]) @ (np.asarray(point, float) - valley["minimum"])
    parts = [one_axis(valley["shape"], x, valley[name], valley["beta"]) for x, name in ((u, "sharp"), (v, "flat"))]
    return float(sum(parts))


def gradient(valley: dict, point, h: float = 1e-6) -> np.ndarray:
    return np.array([(loss(valley, point + h * e) - loss(valley, point - h * e)) / (2 * h) for e in np.eye(2)])


def hessian(valley: dict, point, h: float = 1e-4) -> np.ndarray:
    def second(a, b) -> float:
        signs = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
        return sum(s * loss(valley, point + h * (i * a + j * b)) for i, j, s in signs) / (4 * h * h)

    return np.array([[second(a, b) for b in np.eye(2)] for a in np.eye(2)])


def case(rng: np.random.Generator, shape: str) -> dict:
    sharp = 10 ** rng.uniform(-1, 1.2)
    return {
        "theta": list(rng.uniform(-1, 3, 2).round(2)),
        "minimum": list(rng.uniform(-1, 3, 2).round(2)),
        "sharp": sharp,
        "flat": sharp * 10 ** rng.uniform(-2, 0),
        "angle": rng.uniform(-np.pi / 2, np.pi / 2),
        "beta": rng.uniform(2, 12),
        "shape": shape,
        "cut": [[True, False], [False, True], [True, True]][rng.integers(3)],
    }


@pytest.fixture(scope="module")
def formulas(browser):
    """Calls a formula of the component for every case: `formulas("cost", [[valley, theta, cut], ...])`."""
    page = browser.new_page()
    source = (FOLDER / two_weights.PARTS[0]).read_text(encoding="utf-8")
    page.evaluate(
        "async source => { window.formulas = await import('data:text/javascript,' + encodeURIComponent(source)); }",
        source,
    )

    def call(name: str, cases: list) -> list:
        return page.evaluate("([name, cases]) => cases.map(given => window.formulas[name](...given))", [name, cases])

    yield call
    page.close()


def costs(formulas, cases: list[dict]) -> list[dict]:
    return formulas("cost", [[one, one["theta"], one["cut"]] for one in cases])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_number_of_a_cut_is_what_the_loss_alone_gives(formulas, shape):
    cases = [case(np.random.default_rng(seed), shape) for seed in range(8)]
    nodes, weights = np.polynomial.legendre.leggauss(4)
    for one, found in zip(cases, costs(formulas, cases)):
        theta = np.array(one["theta"])
        d = np.where(one["cut"], -theta, 0.0)
        slope, h = gradient(one, theta) @ d, hessian(one, theta)
        assert found["d"] == pytest.approx(d)
        assert found["length"] == pytest.approx(np.linalg.norm(d))
        assert found["before"] == pytest.approx(loss(one, theta), abs=1e-9)
        assert found["rise"] == pytest.approx(loss(one, theta + d) - loss(one, theta), abs=1e-9)
        assert found["slope"] == pytest.approx(slope, rel=1e-5, abs=1e-6)
        assert found["taylor"] == pytest.approx(slope + d @ h @ d / 2, rel=1e-4, abs=1e-4)
        way = sum(w / 2 * gradient(one, theta + (x + 1) / 2 * d) @ d for x, w in zip(nodes, weights))
        assert found["path"] == pytest.approx(way, rel=1e-5, abs=1e-6)
        top = np.linalg.eigvalsh(h)[-1]
        assert found["lambda_here"] == pytest.approx(slope + top * d @ d / 2, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("shape", SMOOTH)
def test_the_supremum_is_that_of_the_whole_way(formulas, shape):
    cases = [case(np.random.default_rng(seed), shape) for seed in range(4)]
    for one, found in zip(cases, costs(formulas, cases)):
        theta = np.array(one["theta"])
        d = np.where(one["cut"], -theta, 0.0)
        tops = [np.linalg.eigvalsh(hessian(one, theta + a * d))[-1] for a in np.linspace(0, 1, 161)]
        bound = gradient(one, theta) @ d + max(tops) * d @ d / 2
        assert found["lambda_bound"] == pytest.approx(bound, rel=5e-3, abs=1e-3)


def test_the_bound_holds_where_it_is_a_theorem_and_fails_at_a_kink(formulas):
    held = {}
    for shape in SHAPES:
        cases = [case(np.random.default_rng(seed), shape) for seed in range(300)]
        held[shape] = [f["rise"] <= f["lambda_bound"] + 1e-9 for f in costs(formulas, cases)]
    assert all(all(held[shape]) for shape in SMOOTH)
    assert not all(held["breaks"])


def test_a_contour_joins_points_of_equal_loss(formulas):
    for shape in SHAPES:
        one = {**case(np.random.default_rng(3), shape), "flat": 0.5, "sharp": 2.0}
        for point in formulas("contour", [[one, 0.8]])[0]:
            assert loss(one, point) == pytest.approx(0.8, abs=1e-5)


def test_what_survives_settles_where_its_gradient_is_zero(formulas):
    for seed in range(8):
        one = case(np.random.default_rng(seed), "bowl")
        for t in (0.0, 0.4, 1.0):
            place = np.array(formulas("settled", [[one, one["cut"], t]])[0])
            gone = np.array(one["cut"])
            assert place[gone] == pytest.approx((1 - t) * np.array(one["minimum"])[gone])
            assert gradient(one, place)[~gone] == pytest.approx(0, abs=1e-6)


def started(valley: Valley, **fields) -> dict:
    return json.loads(json.dumps({**valley.start(), **fields}))


def test_the_text_on_direction_is_true_of_its_figure(formulas):
    start = steps.DIRECTION.start
    for cut in (steps.LONG_FLAT, steps.SHORT_SHARP):
        (found,) = costs(formulas, [started(start, cut=list(cut))])
        assert found["rise"] == pytest.approx(start.price(cut))
    assert start.price(steps.SHORT_SHARP) > start.price(steps.LONG_FLAT)
    turned = costs(formulas, [started(start, angle=angle) for angle in np.linspace(-np.pi / 2, np.pi / 2, 37)])
    assert np.ptp([found["lambda_bound"] for found in turned]) < 1e-9, "the bound moved"
    assert max(found["rise"] for found in turned) == pytest.approx(turned[0]["lambda_bound"])


def test_the_text_on_failure_is_true_of_its_figure(formulas):
    start = steps.FAILURE.start
    found = dict(zip(SHAPES, costs(formulas, [started(start, shape=shape) for shape in SHAPES])))
    assert found["bowl"]["taylor"] == pytest.approx(found["bowl"]["rise"])
    assert found["steepens"]["taylor"] < found["steepens"]["lambda_here"] < found["steepens"]["rise"]
    assert found["levels"]["taylor"] > 1.5 * found["levels"]["rise"]
    assert found["bends"]["lambda_here"] < found["bends"]["rise"] < found["bends"]["lambda_bound"]
    assert found["breaks"]["lambda_bound"] < found["breaks"]["rise"]
    sudden = costs(formulas, [started(start, shape="bends", beta=beta) for beta in (4, 8, 16, 32)])
    assert [f["lambda_bound"] for f in sudden] == sorted(f["lambda_bound"] for f in sudden)


def test_the_text_on_sdp_is_true_of_its_figure(formulas):
    def paid(angle: float, t: float) -> tuple[float, float, float]:
        one = started(steps.SDP.start, angle=angle)
        (place,) = formulas("settled", [[one, one["cut"], t]])
        (with_sdp,) = formulas("cost", [[one, place, one["cut"]]])
        (at_once,) = formulas("cost", [[one, one["minimum"], one["cut"]]])
        return with_sdp["rise"], with_sdp["after"], at_once["after"]

    tilted = steps.SDP.start.start()["angle"]
    at_the_cut, total, at_once = paid(tilted, 1.0)
    assert at_the_cut == pytest.approx(0, abs=1e-12)
    assert 0 < total < 0.5 * at_once
    _, total, at_once = paid(0.0, 1.0)
    assert total == pytest.approx(at_once)


def test_the_text_on_the_expansion_is_true_of_its_figure(formulas):
    (found,) = costs(formulas, [started(steps.EXPANSION.start)])
    assert found["slope"] < 0
    assert found["taylor"] == pytest.approx(found["rise"])
    (lower,) = costs(formulas, [started(steps.EXPANSION.start, minimum=[0.4, 1.4])])
    assert lower["rise"] < 0
