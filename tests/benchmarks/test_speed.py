import json
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks import speed, speed_peers, speed_problems, speed_report
from benchmarks.speed_eigen import error_of, top
from benchmarks.speed_memory import peak
from benchmarks.speed_peers import BY_DEFAULT, OURS, PYHESSIAN, Found, Solver
from benchmarks.speed_race import race, ratio
from esacl.curvature import hessian
from esacl.landscape import random_direction

# A peer that is installed may warn when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def tiny():
    return speed_problems.tiny_mlp(quick=True)


@pytest.fixture(scope="module")
def cut(tiny):
    return speed_problems.masked(tiny, quick=True, data=None)


@pytest.fixture
def without_peers(monkeypatch):
    for name in ("curvlinops", "loss_landscapes"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.slow
def test_it_proves_itself_without_the_peers_and_says_which_are_missing(without_peers, tmp_path, capsys):
    assert speed.main(["--quick", "--only", "density", "planes", "refined", "memory", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "curvlinops-for-pytorch is not installed: left out" in said.err
    record = json.loads((tmp_path / "speed.json").read_text())
    assert record["peers"]["curvlinops-for-pytorch"] is None
    assert set(record["sections"]) == {"density", "planes", "refined", "memory"}
    assert list(record["sections"]["planes"][0]["solvers"]) == [OURS]
    assert all(one["evaluations"] <= one["cells"] == 81 for one in record["sections"]["refined"])
    text = (tmp_path / "speed.md").read_text()
    assert "curvlinops-for-pytorch (not installed)" in text
    assert "numbers say nothing" in said.out


def test_quick_writes_nothing_unasked(monkeypatch):
    monkeypatch.setattr(speed, "_write", lambda *_: pytest.fail("it wrote"))
    monkeypatch.setitem(speed.SECTIONS, "density", lambda settings: [])
    assert speed.main(["--quick", "--only", "density"]) == 0


def test_missing_mnist_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("esacl.datasets.MNIST_MIRRORS", ())
    monkeypatch.setattr(speed, "_write", lambda *_: pytest.fail("it wrote"))
    assert speed.main(["--only", "memory", "--data", str(tmp_path)]) == 2
    assert "error: MNIST" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["tiny", "cut"])
def test_the_reference_is_the_hessian(which, request):
    problem = request.getfixturevalue(which)
    reference = speed_problems.Reference(problem)
    ours = hessian(problem.network, cross_entropy, problem.data, problem.mask, dtype=torch.float64)
    assert reference.n == ours.shape[0]
    vector = np.random.default_rng(0).standard_normal(reference.n)
    torch.testing.assert_close(torch.from_numpy(reference.product(vector)), ours @ torch.from_numpy(vector))
    assert reference.top(3) == pytest.approx(reference.spectrum()[::-1][:3])


@pytest.mark.parametrize("which", ["tiny", "cut"])
@pytest.mark.parametrize("solve", [speed_peers.ours_top, speed_peers.pyhessian_top, speed_peers.eigsh_over_ours])
def test_every_solver_finds_the_truth_and_counts_its_products(which, solve, request):
    problem = request.getfixturevalue(which)
    truth = speed_problems.Reference(problem).top(2)
    found = solve(problem, 2, 1e-6, 0)
    assert error_of(found.values, truth) < 1e-3
    assert 2 <= found.products <= 2 * speed_peers.MOST


def test_pyhessian_leaves_torch_and_itself_as_they_were(tiny):
    module = sys.modules["pyhessian.hessian"]
    before = module.hessian_vector_product, torch.__dict__.get("eig"), torch.random.get_rng_state()
    nodes, weights, products = speed_peers.pyhessian_density(tiny, 4, 2, 0)
    assert len(nodes) == products == 8
    assert weights.sum() == pytest.approx(1, abs=1e-3)
    after = module.hessian_vector_product, torch.__dict__.get("eig")
    assert after == before[:2]
    assert torch.equal(torch.random.get_rng_state(), before[2])
    assert all(p.grad is None for p in tiny.network.parameters())


def test_the_exact_trace_is_that_of_the_spectrum(tiny):
    spectrum = speed_problems.Reference(tiny).spectrum()
    assert speed_problems.exact_trace(tiny) == pytest.approx(spectrum.sum(), rel=1e-9)


def test_the_loop_and_the_slice_are_of_one_plane(tiny):
    x, y = random_direction(tiny.network, 1), random_direction(tiny.network, 2)
    np.testing.assert_allclose(speed_peers.ours_plane(tiny, x, y, 4), speed_peers.loop_plane(tiny, x, y, 4), rtol=1e-5)


def test_a_solver_runs_at_the_loosest_tolerance_that_every_seed_allows(tiny):
    truth = speed_problems.Reference(tiny).top(2)

    def solve(problem, k, tol, seed):
        return Found(truth * (1 + (tol if seed == 1 else 0)), 7)

    record = top(tiny, 2, [Solver("x", solve, (1e-1, 1e-2, 5e-4, 1e-5))], rounds=2)["solvers"]["x"]
    assert record["tolerance"] == 5e-4
    assert record["error"] == pytest.approx([0, 5e-4])
    assert record["products"] == [7, 7]


def test_contenders_take_turns_and_ratios_are_of_the_round():
    order = []
    found = race({"a": lambda r: order.append(("a", r)), "b": lambda r: order.append(("b", r))}, 2)
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert len(found["a"]["cpu"]) == len(found["b"]["wall"]) == 2
    assert ratio([4, 9, 10], [2, 3, 10]) == {"median": 2, "low": 1, "high": 3, "n": 3}


def test_peak_memory_counts_what_is_alive_at_once_and_tells_a_basis_apart():
    def work():
        basis = torch.empty(10, 1000)  # 40 kB: ten vectors
        for _ in range(3):
            torch.empty(777)  # 3.1 kB, freed at once
        return basis

    whole, apart = peak(work, 4 * 1000)
    assert whole == 40_000 + 4 * 777
    assert apart == 4 * 777


def test_a_training_step_is_forward_backward_and_update(tiny):
    from benchmarks.speed_memory import _step_peak

    weights = 4 * sum(p.numel() for p in tiny.network.parameters())
    before = [p.detach().clone() for p in tiny.network.parameters()]
    assert _step_peak(tiny) >= weights  # the gradients
    assert all(torch.equal(a, b) for a, b in zip(before, tiny.network.parameters()))


def test_a_masked_problem_is_cut_and_its_copy_for_the_peers_computes_the_same(cut):
    assert cut.mask.density == pytest.approx(0.1, abs=0.01)
    weights = dict(cut.network.named_parameters())
    assert all(bool((weights[name][~entry] == 0).all()) for name, entry in cut.mask.items())
    copied = speed_peers.parametrised(cut)
    assert torch.equal(copied(cut.inputs), cut.network(cut.inputs))
    assert isinstance(cut.network, nn.Sequential)
    assert any("original" in name for name, _ in copied.named_parameters())


def test_the_report_says_what_holds_and_what_does_not():
    def solver(products, cpu):
        return {"products": products, "cpu": cpu, "error": [1e-4, 5e-4], "tolerance": 1e-3}

    case = {"problem": "MLP", "masked": False, "k": 5}
    case["solvers"] = {OURS: solver([10, 10], [1.0, 1.0]), PYHESSIAN: solver([50, 60], [2.0, 2.5])}
    case["solvers"][BY_DEFAULT] = solver([11, 20], [1.0, 1.0])
    claims = list(speed_report.top_claims(case))
    assert [claim.holds for claim in claims] == [True, False, True]
    assert claims[0].measured.startswith("5.50 (5.00 to 6.00); 3.77 at EsaCL's default tolerance")
    case["solvers"][PYHESSIAN]["error"][1] = 2e-3
    assert [claim.holds for claim in speed_report.top_claims(case)] == [True, False, False]
    masked = {**case, "masked": True}
    assert next(speed_report.top_claims(masked)).holds is False  # 5.5 where 8 was asked for
    lines = speed_report.report({"sections": {"top": [case]}})
    assert any(line.startswith("| top-5, MLP: at least 4 times") and line.endswith("| yes |") for line in lines)
    assert any(line.startswith("| top-5, MLP: at least 3 times") and line.endswith("| no |") for line in lines)
    assert sum(line.startswith("| MLP | 5 |") for line in lines) == 3
