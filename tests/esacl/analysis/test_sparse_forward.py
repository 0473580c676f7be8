"""A sparse MLP judged by what is left of it: the same hits as by the dense kernel, whatever the last digits are."""

import numpy as np
import pytest
import torch
from tiny_runs import array
from torch import nn

from esacl.analysis import analyse, judged, sparse_forward
from esacl.criterion import criterion
from esacl.export.sparse_layers import SparseLinear
from esacl.pruning import ALLOCATIONS, keep_top
from esacl.units import units_of

LOSS = criterion("task", [(0, 1), (2, 3)], 4, torch.device("cpu"))


@pytest.fixture
def few(monkeypatch):
    """As many images as a test has are enough."""
    monkeypatch.setattr(sparse_forward, "FEWEST", 1)


def mlp(allocation: str, sparsity: float) -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(196, 100), nn.ReLU(), nn.Linear(100, 80), nn.ReLU(), nn.Linear(80, 4)
    )
    weights = {f"{place}.weight": network[place].weight.detach().abs() for place in (1, 3)}
    keep_top(weights, sparsity, allocation, units_of(network)).apply(network)
    return network


def images(n: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, 14, 14, generator=generator), torch.randint(4, (n,), generator=generator)


@pytest.mark.parametrize("sparsity", [0.92, 0.95, 0.98])
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_the_hits_are_those_of_the_dense_kernel_and_outputs_are_close(allocation, sparsity, few):
    network, (inputs, targets) = mlp(allocation, sparsity), images()
    small = sparse_forward.smaller(network, len(inputs))
    assert small is not None
    with torch.no_grad():
        torch.testing.assert_close(small(inputs), network(inputs), rtol=0, atol=1e-5)
    hits = sparse_forward.correct(network, small, LOSS, inputs, targets)
    assert torch.equal(hits, LOSS.correct(network(inputs), targets))
    assert 0 < hits.sum() < len(hits)


def test_whole_units_leave_a_smaller_network_and_weights_by_chance_csr(few):
    small = sparse_forward.smaller(mlp("neuron", 0.9), 400)
    assert sum(p.numel() for p in small.parameters()) < 0.2 * sum(p.numel() for p in mlp("neuron", 0.9).parameters())
    assert any(isinstance(layer, SparseLinear) for layer in sparse_forward.smaller(mlp("uniform", 0.95), 400))


def moved(network: nn.Module, by: float) -> nn.Module:
    """The network as another kernel might have it: its last layer says something else in its last digits."""

    class Moved(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return network(inputs) + by * torch.tensor([-1.0, 1.0, -1.0, 1.0])

    return Moved()


def test_an_answer_that_hangs_on_the_last_digits_is_left_to_the_dense_kernel():
    network, (inputs, targets) = mlp("global", 0.9), images()
    with torch.no_grad():
        network[5].weight[1] = network[5].weight[0]  # task 0 is a tie, which the first column wins
        network[5].bias[1] = network[5].bias[0]
    wanted = LOSS.correct(network(inputs), targets)
    other = moved(network, 1e-6)
    assert not torch.equal(LOSS.correct(other(inputs), targets), wanted), "the case is one"
    assert torch.equal(sparse_forward.correct(network, other, LOSS, inputs, targets), wanted)


def test_what_is_no_number_is_left_to_the_dense_kernel():
    network, (inputs, targets) = mlp("global", 0.9), images()
    wanted = LOSS.correct(network(inputs), targets)
    assert torch.equal(sparse_forward.correct(network, moved(network, float("nan")), LOSS, inputs, targets), wanted)


def test_a_sure_answer_does_not_ask_the_dense_kernel():
    network, (inputs, targets) = mlp("global", 0.9), images()
    hits = sparse_forward.correct(moved(network, float("nan")), moved(network, 100.0), LOSS, inputs, targets)
    assert torch.equal(hits, targets % 2 == 1)


@pytest.mark.parametrize(
    ("network", "examples"),
    [
        (mlp("uniform", 0.4), 10_000),
        (mlp("uniform", 0.6), 10_000),  # no unit is idle, and no layer sparse enough for CSR
        (mlp("global", 0.95), sparse_forward.FEWEST - 1),
        (mlp("global", 0.95).to("meta"), 10_000),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), mlp("global", 0.95)), 10_000),
        (nn.Flatten(), 10_000),
    ],
    ids=["dense", "not sparse enough", "few images", "another device", "convolutions", "no layer"],
)
def test_where_it_is_not_known_to_pay_the_network_stays_as_it_is(network, examples):
    assert sparse_forward.smaller(network, examples) is None


def test_an_analysis_goes_through_it_and_records_the_same(looked, monkeypatch):
    recorded = {}
    for fewest in (10**9, 1):
        monkeypatch.setattr(sparse_forward, "FEWEST", fewest)
        asked = []
        monkeypatch.setattr(judged.sparse_forward, "smaller", watched(sparse_forward.smaller, asked))
        events = list(analyse("sparsity", looked.config, 1, looked.recorded))
        recorded[fewest] = array(events, "sparsity-t1")
        monkeypatch.undo()
        assert any(asked) == (fewest == 1)
    for name, wanted in recorded[10**9].items():
        np.testing.assert_array_equal(recorded[1][name], wanted, err_msg=name)


def watched(smaller, asked: list[bool]):
    def watching(*arguments):
        found = smaller(*arguments)
        asked.append(found is not None)
        return found

    return watching
