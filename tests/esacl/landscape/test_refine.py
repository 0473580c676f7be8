import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import random_mask, small_cnn, small_data, small_network

from esacl import landscape
from esacl.errors import InputError
from esacl.landscape.refine import refinement
from esacl.mask import Mask


def refined(truth, share=0.01, scale="linear"):
    """What the refinement makes of a known grid, and the cells it asked for in turn."""
    steps, asked = refinement(truth.shape, share, scale), []
    cells = next(steps)
    while True:
        asked.append(cells)
        try:
            cells = steps.send(truth[tuple(cells.T)])
        except StopIteration as end:
            return *end.value, asked


def grid(function, ny=51, nx=51, extent=1.0):
    y, x = np.meshgrid(np.linspace(-extent, extent, ny), np.linspace(-extent, extent, nx), indexing="ij")
    return function(x, y)


SURFACES = {
    "bowl": lambda x, y: 3 * x**2 + y**2 + 0.1,
    "slanted valley": lambda x, y: np.log1p(np.exp(6 * (x - y))) + 0.3 * (x + y) ** 2 + 0.05,
    "edge": lambda x, y: np.abs(x - 0.13) + 0.2 * y**2 + 0.1,  # not smooth: splines are wrong along it
    "narrow": lambda x, y: 1 - 0.9 * np.exp(-((x - 0.2) ** 2 + (y + 0.1) ** 2) / 0.02),
}


@pytest.mark.parametrize("name", SURFACES)
def test_few_cells_give_the_surface_within_the_share_and_within_the_estimate(name):
    truth = grid(SURFACES[name])
    values, evaluated, error, _ = refined(truth)
    span = truth.max() - truth.min()
    wrong = np.abs(values - truth)
    assert wrong.max() <= 0.01 * span
    assert wrong.max() - 1e-12 <= error <= 0.01 * span
    assert not wrong[evaluated].any()
    assert 196 <= evaluated.sum() <= truth.size / 2.5


def test_a_logarithmic_scale_asks_for_more_where_the_loss_is_low():
    truth = grid(lambda x, y: (20 + 40 * np.abs(x - 0.07) + np.exp(6 * x)) * (x - 0.07) ** 2 + 0.02 + 0.01 * y**2)
    low, high = np.log(truth.min()), np.log(truth.max())

    def off(scale):
        values, evaluated, _, _ = refined(truth, scale=scale)
        return np.abs(np.log(np.maximum(values, truth.min())) - np.log(truth)).max() / (high - low), evaluated.sum()

    (linear, few), (log, more) = off("linear"), off("log")
    assert few < more < truth.size / 3
    assert log < 0.01 < linear


def test_no_cell_is_asked_for_twice_and_none_is_missing():
    truth = grid(SURFACES["edge"], ny=37, nx=51)
    _, evaluated, _, asked = refined(truth)
    cells = np.concatenate(asked)
    assert len(np.unique(cells, axis=0)) == len(cells) == evaluated.sum()
    assert evaluated[tuple(cells.T)].all()


@pytest.mark.parametrize("shape", [(2, 2), (2, 51), (4, 7), (5, 5), (6, 51), (26, 33)])
def test_any_shape_is_filled_and_a_small_one_computed(shape):
    truth = grid(SURFACES["slanted valley"], *shape)
    values, evaluated, error, _ = refined(truth)
    assert np.isfinite(values).all()
    assert np.abs(values - truth).max() <= max(error, 1e-12)
    if min(shape) < 5:
        assert evaluated.all()
        assert error == 0


def test_without_a_share_every_cell_is_computed():
    truth = grid(SURFACES["bowl"], 7, 9)
    values, evaluated, error, asked = refined(truth, share=None)
    assert (len(asked), error) == (1, 0.0)
    assert evaluated.all()
    np.testing.assert_array_equal(values, truth)


def test_a_flat_surface_needs_no_more_than_the_first_halving():
    values, evaluated, error, _ = refined(np.full((51, 51), 2.0))
    np.testing.assert_allclose(values, 2.0, rtol=1e-12)
    assert evaluated.sum() == 196
    assert error < 1e-12


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_holes_are_kept_and_nothing_beside_one_is_interpolated(scale):
    truth = grid(SURFACES["bowl"])
    y, x = np.indices(truth.shape)
    truth[(y - 20) ** 2 + (x - 31) ** 2 < 40] = np.nan
    truth[44:, :4] = np.inf  # at a corner, and not finite either; it comes back as NaN
    values, evaluated, _, _ = refined(truth, scale=scale)
    holes = ~np.isfinite(truth)
    np.testing.assert_array_equal(~np.isfinite(values), holes)  # no hole is filled, none invented
    assert evaluated[holes].all()
    beside = np.zeros_like(holes)
    for i, j in np.argwhere(holes):
        beside[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2] = True
    assert evaluated[beside].all()
    finite = np.isfinite(truth)
    assert np.abs(values - truth)[finite].max() <= 0.01 * (truth[finite].max() - truth[finite].min())
    assert not evaluated.all()


def test_a_plane_without_a_finite_value_is_all_holes():
    values, evaluated, error, _ = refined(np.full((20, 20), np.nan))
    assert np.isnan(values).all()
    assert evaluated.all()
    assert error == 0


def test_bad_input_is_refused():
    for share, scale, message in (
        (0.0, "linear", "refine 0.0 is no share"),
        (1.0, "linear", "refine 1.0"),
        (0.01, "cubic", "unknown scale 'cubic'"),
    ):
        with pytest.raises(InputError, match=message):
            refinement((5, 5), share, scale)
        network, data = small_network(), small_data()
        x = landscape.random_direction(network, 0)
        with pytest.raises(InputError, match=message):  # at the call, not at the first step
            landscape.plane_steps(network, F.cross_entropy, data, x, x, refine=share, scale=scale)


def correct(outputs, targets):
    return outputs.argmax(1) == targets


@pytest.mark.parametrize("build", [small_network, small_cnn])
def test_a_refined_plane_of_a_network_is_the_whole_plane_at_a_third_of_the_evaluations(build):
    network, data = build(torch.nn.ReLU), small_data(examples=100)
    mask = Mask(random_mask(network, 0.4))
    x, y = landscape.pruning_direction(network, mask), landscape.random_direction(network, 0)
    how = {"extent": ((-0.5, 1.5), (-1.0, 1.0)), "points": 51}
    whole = landscape.slice_2d(network, F.cross_entropy, data, x, y, correct=correct, **how)
    found = landscape.slice_2d(network, F.cross_entropy, data, x, y, refine=0.01, correct=correct, **how)
    wrong = np.abs(found.loss - whole.loss)
    assert found.evaluations == found.evaluated.sum() <= whole.evaluations / 3
    assert wrong.max() <= found.error <= 0.01 * (whole.loss.max() - whole.loss.min())
    assert not wrong[found.evaluated].any()
    np.testing.assert_array_equal(found.accuracy[found.evaluated], whole.accuracy[found.evaluated])
    assert np.isfinite(found.accuracy).all()
    assert np.abs(found.accuracy - whole.accuracy).max() < 0.15
    assert found.holes == 0
