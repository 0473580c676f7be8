import argparse

import pytest
import torch

from benchmarks import ids
from benchmarks import landscape_truths as truths
from esacl.config import RunConfig
from esacl.curvature import hessian
from esacl.errors import InputError
from esacl.landscape import pruning_direction

OFF = {"top": 0, "levels": 0, "grid": 0}


@pytest.fixture(scope="module")
def trained():
    config = RunConfig(tasks=2, epochs=2, sparsity=0.9, curvature=OFF, device="cpu")
    return truths.train(config, 1, 50, None)


def test_contributions_of_instances_average_to_the_truth(trained):
    data = (trained.pool.inputs, trained.pool.targets)
    d = pruning_direction(trained.network, trained.mask)
    operator = hessian(trained.network, trained.criterion, data, names=list(d), dtype=torch.float64)
    v = operator.flatten(d)
    found = truths.second_derivatives(trained.network, trained.criterion, trained.pool, d)
    assert float(found.mean()) == pytest.approx(float(v @ (operator @ v)), rel=1e-6)
    rises = truths.rises(trained.network, trained.criterion, trained.pool, d)
    with torch.no_grad():
        before = float(trained.criterion(trained.network(data[0]).double(), data[1]))
        moved = {n: p + d[n] if n in d else p for n, p in trained.network.named_parameters()}
        outputs = torch.func.functional_call(trained.network, moved, (data[0],))
        after = float(trained.criterion(outputs.double(), data[1]))
    assert float(rises.mean()) == pytest.approx(after - before, abs=1e-6)


def test_fisher_traces_are_those_of_single_gradients(trained):
    image = trained.pool.inputs[:1]
    columns = trained.criterion.open[trained.pool.targets[0]].nonzero()[:, 0]
    log_p = trained.network(image)[0, columns].log_softmax(0)
    expected = 0.0
    for c in range(len(columns)):
        slopes = torch.autograd.grad(log_p[c], list(trained.network.parameters()), retain_graph=True)
        expected += float(log_p[c].detach().exp()) * sum(float(slope.square().sum()) for slope in slopes)
    found = truths.fisher_traces(trained.network, trained.criterion, trained.pool)
    assert found.shape == (50,)
    assert float(found[0]) == pytest.approx(expected, rel=1e-4)


def test_views_leave_the_dense_network_alone_and_full_draws_are_exact(trained):
    dense, pruned = truths.views(trained, 0.95)
    assert {dense.point, pruned.point} == {"dense", "pruned"}
    assert all(bool((pruned.network.get_parameter(n)[~m] == 0).all()) for n, m in trained.mask.items())
    assert any(bool((dense.network.get_parameter(n)[~m] != 0).any()) for n, m in trained.mask.items())
    for quantity, value in truths.estimates(dense, "ggn-trace", 1.0, 1, best=False):
        assert value == pytest.approx(dense.truth[quantity], rel=1e-3, abs=1e-12), quantity
    few = dict(truths.estimates(dense, "uniform", 0.1, 1, best=False))
    assert few["lambda_max"] != pytest.approx(dense.truth["lambda_max"], rel=1e-3)


def test_a_task_that_is_not_there():
    with pytest.raises(InputError, match="choose 0 to 1"):
        truths.train(RunConfig(tasks=2), 2, 10, None)


def test_a_seed_gives_every_rule_its_draws():
    config = RunConfig(tasks=2, epochs=1, train_limit=60, curvature=OFF, device="cpu")
    args = argparse.Namespace(task=0, pool=40, data=None, deeper=0.95, fractions=[0.1], draws=2)
    estimates = ids.of_seed(config, args)
    lambdas = [e for e in estimates if e["quantity"] == "lambda_max" and e["point"] == "pruned"]
    assert [e["rule"] for e in lambdas] == [r for r, (_, best) in ids.RULES.items() for _ in range(1 if best else 2)]
    text = "\n".join(ids.report(estimates, (0.1,)))
    assert text.count("| pruned | lambda_max |") == len(ids.RULES)


@pytest.mark.parametrize(("error", "verdict"), [(0.1, '" holds'), (0.3, "does not hold")])
def test_the_claim_is_read_off_the_numbers(error, verdict):
    def one(rule, estimate, seed):
        where = {"seed": seed, "point": "dense", "quantity": "lambda_max", "fraction": 0.1}
        return {**where, "rule": rule, "truth": 2.0, "estimate": estimate}

    estimates = [one("IDS (ggn-trace)", 2 * (1 + error), s) for s in (0, 1)]
    estimates += [one("random", 2 * (1 - 0.4), s) for s in (0, 1)]
    (line,) = ids.claims(estimates)
    assert verdict in line
    assert f"{error:.1%} by IDS, 40.0% at random" in line
