"""analyse looks at a kept run and finds what the run found."""

import pytest
from looked_run import LOOK, Run
from tiny_runs import array, label, of_kind, tiny

from esacl.analysis import KINDS, analyse
from esacl.errors import InputError, RunUnreadable
from esacl.events import ArrayRecorded, CurvatureMeasured, Selected
from esacl.methods import METHODS
from esacl.pruning import SALIENCIES
from esacl.sdp import FORMS
from esacl.selection import SCORES

BRIEF = {"curvature.top": 0, "curvature.levels": 3, "curvature.grid": 3}


@pytest.mark.parametrize(
    "settings",
    [{"method": name} | BRIEF for name in METHODS]
    + [{"pruning.saliency": name} | BRIEF for name in SALIENCIES if name != "second-order"]
    + [{"ids.score": name} | BRIEF for name in SCORES if name != "ggn-trace"]
    + [{"scenario": name} | BRIEF for name in ("class", "domain")]
    + [{"pruning.allocation": "erk", "curvature.top": 1, "curvature.examples": 20}],
    ids=label,
)
def test_analyse_finds_what_the_run_found(settings):
    run = Run(settings, task=1)
    assert "deployment" in KINDS
    for kind in set(KINDS) - {"deployment"}:  # which no run records: tests/esacl/analysis/test_deployment.py
        kept = (ArrayRecorded, Selected, CurvatureMeasured)
        if kind == "spectrum" and run.config.curvature.top == 0:
            with pytest.raises(InputError, match=r"curvature.top is 0, so there is nothing to look at; give --points"):
                next(analyse(kind, run.config, 1, run.recorded))
            continue
        found = of_kind(list(analyse(kind, run.config, 1, run.recorded)), kept)
        assert found
        assert all(event in of_kind(run.events, kept) for event in found), kind


WEIGHED = [{"network": "small-cnn", "pruning.flops_exponent": 0.5, "pruning.saliency": name} for name in SALIENCIES]


@pytest.mark.parametrize("settings", [{"sdp.form": form, "epochs": 6} for form in FORMS] + WEIGHED, ids=label)
def test_the_curve_is_by_the_order_of_the_runs_own_cut(settings):
    run = Run(settings | {"sparsity": 0.9} | BRIEF, task=1)
    kept, found = run.array("sparsity"), array(list(analyse("sparsity", run.config, 1, run.recorded)), "sparsity-t1")
    for name in ("levels", "accuracy", "loss", "displacement_norm", "layer_density"):
        assert (kept[name] == found[name]).all(), name


def test_analyse_takes_another_view(looked):
    found = list(analyse("sparsity", tiny(LOOK | {"curvature.levels": 9}, method="ewc", epochs=4), 1, looked.recorded))
    more, fewer = array(found, "sparsity-t1"), looked.array("sparsity")
    assert len(more["levels"]) > len(fewer["levels"])
    by_taylor = tiny(LOOK | {"pruning.saliency": "taylor"}, method="ewc", epochs=4)
    other = array(list(analyse("sparsity", by_taylor, 1, looked.recorded)), "sparsity-t1")
    assert (other["levels"] == fewer["levels"]).all()
    assert (other["loss"] != fewer["loss"]).any()


@pytest.mark.parametrize(
    ("kind", "task", "message"),
    [
        ("x", 0, r"unknown analysis 'x'; choose from landscape, spectrum, sparsity, selection"),
        ("sparsity", 2, r"task 2 is not in the run; choose 0 to 1"),
        ("sparsity", -1, r"task -1 is not in the run; choose 0 to 1"),
    ],
)
def test_analyse_refuses_what_is_not_there(looked, kind, task, message):
    with pytest.raises(InputError, match=message):
        next(analyse(kind, looked.config, task, looked.recorded))


def test_analyse_refuses_weights_of_another_network(looked):
    with pytest.raises(RunUnreadable, match=r"weights-t0: .* does not fit the config's network"):
        next(analyse("sparsity", tiny(LOOK, network="small-cnn"), 0, looked.recorded))
