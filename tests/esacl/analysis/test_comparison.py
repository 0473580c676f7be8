"""Saliencies and allocations beside each other, and one cut at exactly the level that was asked for."""

import numpy as np
import pytest
import torch
from looked_run import LOOK, Run
from tiny_runs import array, tiny

from esacl.analysis import analyse
from esacl.analysis.exact import exact_name
from esacl.criterion import criterion
from esacl.errors import InputError
from esacl.look import Look
from esacl.pruning import ALLOCATIONS, SALIENCIES, keep_top
from esacl.units import units_of

CONFIG = tiny(LOOK, method="ewc", epochs=4)


@pytest.fixture(scope="module")
def compared(looked):
    return array(list(analyse("sparsity", CONFIG, 1, looked.recorded, look=Look(compare=True))), "comparison-t1")


def test_every_saliency_meets_every_allocation(compared):
    assert list(compared["saliencies"]) == list(SALIENCIES)
    assert list(compared["allocations"]) == list(ALLOCATIONS)
    assert compared["accuracy"].shape == (4, 5, len(compared["levels"]), 2)
    assert compared["rise"].shape == (4, 5, len(compared["levels"]))
    assert compared["draws"].tolist() == [1, 1, 1, 3]
    assert (compared["rise"][:, :, 0] == 0).all()  # nothing is cut at 0


def test_the_runs_own_pair_is_its_curve(compared, looked):
    curve = looked.array("sparsity")
    row, column = list(SALIENCIES).index("magnitude"), list(ALLOCATIONS).index("global")
    assert (compared["levels"] == curve["levels"]).all()
    assert (compared["accuracy"][row, column] == curve["accuracy"]).all()
    assert compared["rise"][row, column] == pytest.approx(curve["rise"])


def test_another_pair_is_the_cut_that_its_name_says(compared, looked):
    weights, mask = looked.weights("dense"), looked.weights("mask")
    curvature = looked.weights("curvature")
    ranked = {name: 0.5 * (curvature[name] + 1) * weights[name] ** 2 for name in mask}
    row, column = list(SALIENCIES).index("second-order"), list(ALLOCATIONS).index("uniform")
    for place, level in enumerate(compared["levels"]):
        kept = keep_top(ranked, float(level), "uniform")
        cut = {name: w * kept[name] if name in kept else w for name, w in weights.items()}
        rise = looked.loss_at(cut) - looked.loss_at(weights)
        assert compared["rise"][row, column, place] == pytest.approx(rise, rel=1e-4, abs=1e-6)


def test_whole_units_are_those_of_the_network(compared, looked):
    weights, mask = looked.weights("dense"), looked.weights("mask")
    ranked = {name: weights[name].abs() for name in mask}
    row, column = list(SALIENCIES).index("magnitude"), list(ALLOCATIONS).index("neuron")
    place = list(compared["levels"]).index(looked.config.sparsity)
    kept = keep_top(ranked, looked.config.sparsity, "neuron", units_of(looked.network))
    cut = {name: w * kept[name] if name in kept else w for name, w in weights.items()}
    rise = looked.loss_at(cut) - looked.loss_at(weights)
    assert compared["rise"][row, column, place] == pytest.approx(rise, rel=1e-4, abs=1e-6)


def by_hand(looked, weights) -> tuple[list[float], list[float]]:
    """Accuracy and loss of each task on its evaluation data."""
    tasks = looked.stream[:2]
    loss = criterion(looked.config.scenario, [t.classes for t in tasks], looked.stream.outputs, torch.device("cpu"))
    looked.at(weights)
    accuracy, losses = [], []
    for task in tasks:
        with torch.no_grad():
            outputs = looked.network(task.evaluation.inputs)
        columns = list(task.classes)
        best = outputs[:, columns].argmax(1) + columns[0]
        accuracy.append(float((best == task.evaluation.targets).double().mean()))
        losses.append(loss.mean(outputs, task.evaluation.targets))
    return accuracy, losses


def test_one_cut_is_judged_exactly(looked):
    level = 0.873  # between the levels of the curve
    found = array(list(analyse("sparsity", CONFIG, 1, looked.recorded, look=Look(exact=level))), "exact-t1-87300")
    assert exact_name(1, level) == "exact-t1-87300"
    weights = looked.weights("dense")
    kept = keep_top({name: weights[name].abs() for name in looked.weights("mask")}, level)
    cut = {name: w * kept[name] if name in kept else w for name, w in weights.items()}
    for group, expected in (("dense_", by_hand(looked, weights)), ("", by_hand(looked, cut))):
        assert found[f"{group}accuracy"].tolist() == expected[0]
        assert found[f"{group}loss"] == pytest.approx(expected[1], rel=1e-5)
    assert float(found["level"]) == level
    assert float(found["removed"]) == pytest.approx(1 - kept.density)
    assert found["examples"].tolist() == [len(t.evaluation) for t in looked.stream[:2]]
    assert (found["dense_accuracy"] != found["accuracy"]).any()


def test_one_cut_is_judged_where_a_run_records_no_curve(looked):
    config = tiny(LOOK | {"curvature.levels": 0}, method="ewc", epochs=4)
    found = list(analyse("sparsity", config, 1, looked.recorded, look=Look(exact=0.5)))
    assert np.isfinite(array(found, "exact-t1-50000")["loss"]).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"compare": True, "exact": 0.5}, "choose one"),
        ({"exact": 1.0}, "no sparsity"),
        ({"exact": -0.1}, "no sparsity"),
    ],
)
def test_a_look_that_will_not_do_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        Look(**given)


def test_what_a_weight_costs_counts_for_every_saliency_but_chance_as_in_the_run():
    """By hand: each layer's saliency over a power of how often its weights are used."""
    settings = {"network": "small-cnn", "pruning.flops_exponent": 0.5, "sdp.strength": 0, "sparsity": 0.5}
    run = Run(settings | {"curvature.grid": 0, "curvature.top": 0})
    found = array(list(analyse("sparsity", run.config, 0, run.recorded, look=Look(compare=True))), "comparison-t0")
    weights, mask = run.weights("dense"), run.weights("mask")
    uses = {"body.conv1.weight": 64, "body.conv2.weight": 16, "body.conv3.weight": 4, "body.hidden.weight": 1}
    dearest = max(uses.values())
    ranked = {name: weights[name].abs() * (uses[name] / dearest) ** -0.5 for name in mask}
    row, column = list(SALIENCIES).index("magnitude"), list(ALLOCATIONS).index("global")
    for place, level in enumerate(found["levels"]):
        kept = keep_top(ranked, float(level), "global")
        cut = {name: w * kept[name] if name in kept else w for name, w in weights.items()}
        rise = run.loss_at(cut) - run.loss_at(weights)
        assert found["rise"][row, column, place] == pytest.approx(rise, rel=1e-4, abs=1e-6)
