"""Every long computation of the package has a twin that goes by steps."""

import pytest
import torch
import torch.nn.functional as F
from oracles.exact_hessian import random_mask, small_data, small_network
from oracles.known_spectrum import diagonal, outliers, rotated

from esacl.curvature import (
    density_steps,
    extreme_steps,
    loss_rise,
    rise_steps,
    spectral_density,
    top_eigenpairs,
    top_steps,
    trace,
    trace_steps,
)
from esacl.errors import InputError
from esacl.stepwise import finish


def walked(steps):
    """The steps and the result."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


def rises(network):
    step = {
        name: -p.detach() * ~random_mask(network, 0.5)[name] for name, p in network.named_parameters() if p.dim() > 1
    }
    return network, F.cross_entropy, small_data(), step


@pytest.mark.parametrize(
    "start",
    [
        lambda operator: top_steps(operator, 3),
        lambda operator: extreme_steps(operator, 2, 2),
        lambda operator: density_steps(operator, steps=10, probes=2),
        lambda operator: trace_steps(operator, products=20),
        lambda operator: trace_steps(operator, products=100),
    ],
)
def test_there_is_a_step_after_each_product_and_nothing_is_done_before_the_first(start):
    operator = rotated(outliers(40, 5, 4, 3))
    steps = start(operator)
    assert operator.products == 0
    for count, step in enumerate(steps, start=1):
        assert (step.done, operator.products) == (count, count)
        assert step.done <= step.total
    assert operator.products == count


def test_the_plain_functions_are_their_twins_driven_to_the_end():
    operator = rotated(outliers(40, 5, 4, 3))
    assert torch.equal(top_eigenpairs(operator, 2).vectors, finish(top_steps(operator, 2)).vectors)
    density, stepped = spectral_density(operator, steps=8, probes=2), finish(density_steps(operator, steps=8, probes=2))
    assert (density.density == stepped.density).all()
    assert trace(operator, products=20).value == finish(trace_steps(operator, products=20)).value


def test_the_rise_goes_by_products_and_gradients():
    network, loss, data, displacement = rises(small_network())
    seen, rise = walked(rise_steps(network, loss, data, displacement, lambda_nodes=3))
    assert rise == loss_rise(network, loss, data, displacement, lambda_nodes=3)
    assert [step.done for step in seen] == sorted({step.done for step in seen})
    assert len(seen) >= rise.products + 4  # the path integral's nodes
    assert seen[-1].done <= seen[-1].total


def test_bad_input_is_refused_at_the_call():
    operator = diagonal(1.0, 2.0)
    network, loss, data, displacement = rises(small_network())
    for call in (
        lambda: top_steps(operator, 3),
        lambda: extreme_steps(operator, 2, 1),
        lambda: density_steps(operator, steps=1),
        lambda: trace_steps(operator, products=3),
        lambda: trace_steps(operator, tol=0.0),
        lambda: rise_steps(network, loss, data, displacement, lambda_nodes=-1),
        lambda: rise_steps(network, loss, data, {"nope": torch.ones(1)}),
    ):
        with pytest.raises(InputError):
            call()
