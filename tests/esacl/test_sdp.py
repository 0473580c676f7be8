"""The forms of SDP, driven by hand: the pull in closed form, masks and flips counted, gradients where they belong."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from esacl.config import SDP_FORM_NAMES, RunConfig
from esacl.errors import RunFailure
from esacl.form import Dense, Form
from esacl.pruning import SALIENCIES, keep_top
from esacl.ranking import Ranking, removed_share
from esacl.schedule import Schedule
from esacl.sdp import FORMS, SEGMENT_TO_ADMM

every_form = pytest.mark.parametrize("form", FORMS)


def config(**fields) -> RunConfig:
    return RunConfig(**({"sparsity": 0.5, "pruning": {"saliency": "magnitude"}} | fields))


def start() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (4, 5), "b": (3, 4, 2, 2)}
    return {n: (torch.randn(s, generator=generator)).requires_grad_() for n, s in shapes.items()}


def begun(form: str, weights: dict[str, Tensor], steps: int, settings: RunConfig, task: int = 0) -> Form:
    ranking = Ranking(weights, {}, settings)
    made = (FORMS | {"dense": Dense})[form](ranking, settings)
    made.begin(task, Schedule(steps, settings.lr, settings.sdp.ramp))
    return made


def drive(
    form: Form, weights: dict[str, Tensor], steps: range, gradient: Callable[[int], dict[str, Tensor]] | None = None
) -> None:
    """Steps as training makes them, with plain gradient descent at rate 0.1."""
    for step in steps:
        form.enter(step)
        for name, w in weights.items():
            w.grad = torch.zeros_like(w) if gradient is None else gradient(step)[name]
        form.leave(step)
        with torch.no_grad():
            for w in weights.values():
                w.sub_(0.1 * w.grad)
        form.after(step)


def noise(weights: dict[str, Tensor]) -> Callable[[int], dict[str, Tensor]]:
    def at(step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        return {name: torch.randn(w.shape, generator=generator) for name, w in weights.items()}

    return at


def copies(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: w.detach().clone() for name, w in weights.items()}


def test_the_names_are_those_of_the_config():
    assert set(FORMS) == set(SDP_FORM_NAMES)


# -- the pull: with no gradient, what is left of a doomed weight after a task is known


@pytest.mark.parametrize(("form", "factor"), [("admm", 1.0), ("segment", SEGMENT_TO_ADMM)])
@pytest.mark.parametrize("strength", [0.0, 1.0, 4.0, 30.0])
@pytest.mark.parametrize("steps", [1, 3, 40])
def test_what_is_left_of_a_doomed_weight_is_exp_minus_strength(form, factor, strength, steps):
    weights = start()
    before = copies(weights)
    # One update of the mask only: ADMM's dual variable adds to the pull from the second one on.
    made = begun(form, weights, steps, config(sdp={"strength": strength, "every": 1000}))
    drive(made, weights, range(steps))
    for name, w in weights.items():
        keep = made.mask[name]
        torch.testing.assert_close(w[keep], before[name][keep])
        torch.testing.assert_close(w[~keep], before[name][~keep] * math.exp(-strength * factor), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("form", ["admm", "segment"])
def test_a_pull_of_any_strength_never_overshoots(form):
    weights = start()
    before = copies(weights)
    made = begun(form, weights, 2, config(sdp={"strength": 100.0, "every": 1000}))
    drive(made, weights, range(2))
    for name, w in weights.items():
        assert bool((w * before[name] >= 0).all())
        assert bool((w.abs() <= before[name].abs() + 1e-6).all())


def test_admm_by_hand():
    # One weight survives of two; K = 1, so that z = Top(w + u) and u += w - z at every step.
    weights = {"w": torch.tensor([[2.0, 1.0]], requires_grad=True)}
    made = begun("admm", weights, 2, config(sdp={"strength": 1.0, "every": 1, "ramp": 1.0}))
    schedule = Schedule(2, made.config.lr, 1.0)
    pulls = [
        1 - math.exp(-schedule.lr(step) * schedule.ramp(step) / schedule.pull_total) for step in range(2)
    ]  # fmt: skip
    gradient = {"w": torch.tensor([[1.0, -2.0]])}
    drive(made, weights, range(1), lambda step: gradient)  # w = (1.9, 1.2) after the optimiser, u = 0, z = (1.9, 0)
    w = 1.2 * (1 - pulls[0])
    assert weights["w"].tolist()[0] == pytest.approx([1.9, w])
    drive(made, weights, range(1, 2))  # u = (0, w), w + u = (1.9, 2w), z = (1.9, 0) where 2w < 1.9
    assert weights["w"].tolist()[0] == pytest.approx([1.9, w + pulls[1] * (0 - w - w)])


# -- masks


@every_form
@pytest.mark.parametrize("saliency", SALIENCIES)
def test_the_mask_ends_at_the_target_sparsity(form, saliency):
    weights, settings = start(), config(sparsity=0.8, pruning={"saliency": saliency})
    made = begun(form, weights, 60, settings)
    drive(made, weights, range(60), noise(weights))
    assert made.mask.kept == int(0.2 * made.mask.total + 1e-6)


@every_form
def test_a_new_task_begins_with_everything(form):
    weights, settings = start(), config()
    made = begun(form, weights, 40, settings)
    drive(made, weights, range(40), noise(weights))
    made.begin(1, Schedule(40, settings.lr, 0.5))
    assert made.mask.density == 1
    assert (made.flips, made.total_flips) == (0, 0)
    assert not any(m.any() for m in made.ranking.moments.values())


@every_form
def test_flips_are_counted_mask_against_mask(form):
    weights, settings = start(), config(sdp={"every": 2})
    made = begun(form, weights, 40, settings)
    flips, last = [], made.mask
    for step in range(40):
        drive(made, weights, range(step, step + 1), noise(weights))
        if made.mask is not last:
            # The first mask of a task replaces "everything", and removing is no flip.
            flips.append(made.mask.flips(last) if last.density < 1 else 0)
            assert made.flips == made.mask.flips(last)
            last = made.mask
    assert sum(flips) == made.total_flips > 0


@every_form
def test_a_form_goes_on_from_its_tensors(form):
    settings = config(sdp={"every": 3})
    whole, half = start(), start()
    one, first = begun(form, whole, 40, settings), begun(form, half, 40, settings)
    drive(one, whole, range(40), noise(whole))
    drive(first, half, range(17), noise(half))
    second = begun(form, half, 40, settings)
    second.load({name: t.clone() for name, t in first.tensors().items()}, first.flips, first.total_flips)
    drive(second, half, range(17, 40), noise(half))
    assert all(half[name].equal(whole[name]) for name in whole)
    assert (second.flips, second.total_flips, second.mask.flips(one.mask)) == (one.flips, one.total_flips, 0)


# -- segment


def segment(steps: int = 40, **sdp) -> tuple[dict[str, Tensor], Form]:
    weights = start()
    return weights, begun("segment", weights, steps, config(sdp={"ramp": 0.5, **sdp}))


def test_segment_looks_from_both_ends_and_gives_the_weights_back():
    weights, made = segment()
    before, seen = copies(weights), set()
    for step in range(40):
        densities = made.enter(step)
        c = {n: weights[n].detach() / before[n] for n in weights}
        if made.at_pruned_point[step]:
            ramp = min(1, (step + 1) / 20)
            for n in weights:
                expected = torch.where(made.mask[n], 1.0, 1.0 - ramp)
                torch.testing.assert_close(c[n], expected)
            assert densities == (made.mask.layer_densities() if ramp == 1 else None)
        else:
            assert all(c[n].eq(1).all() for n in c)
            assert densities is None
        seen.add((made.at_pruned_point[step], densities is None))
        made.leave(step)
        assert made.updated() == densities  # the chain rule leaves a doomed weight no gradient there
        assert all(weights[n].equal(before[n]) for n in weights)
    assert seen == {(False, True), (True, True), (True, False)}


def test_segments_gradient_is_that_of_the_moved_point_times_c():
    # L = sum a theta^3 / 3 at c theta: c a (c theta)^2 by the chain rule.
    weights, made = segment(every=1)
    step = next(s for s in range(3, 15) if made.at_pruned_point[s])
    before = copies(weights)
    made.enter(step)
    loss = sum((0.5 * w**3 / 3).sum() for w in weights.values())
    loss.backward()
    made.leave(step)
    for name, w in weights.items():
        c = torch.where(made.mask[name], 1.0, 1.0 - (step + 1) / 20)
        torch.testing.assert_close(w.grad, c * 0.5 * (c * before[name]) ** 2)
        torch.testing.assert_close(made.ranking.moments[name], 0.01 * w.grad.square())


def test_segment_tosses_a_fair_coin_of_its_own_for_every_task():
    chosen = ((0, 0), (0, 1), (1, 0))
    coins = [begun("segment", start(), 400, config(seed=s), task=t).at_pruned_point for s, t in chosen]
    assert all(150 < sum(c) < 250 for c in coins)
    assert coins[0] != coins[1] != coins[2] != coins[0]
    assert begun("segment", start(), 400, config(seed=0), task=0).at_pruned_point == coins[0]


# -- progressive


def test_progressive_never_lets_a_removed_weight_back():
    weights, settings = start(), config(sparsity=0.8, sdp={"every": 2, "form": "progressive"})
    made = begun("progressive", weights, 60, settings)
    removed = {name: torch.zeros_like(w, dtype=torch.bool) for name, w in weights.items()}
    for step in range(60):
        drive(made, weights, range(step, step + 1), noise(weights))
        for name, w in weights.items():
            assert not bool((removed[name] & made.mask[name]).any())
            removed[name] = ~made.mask[name]
            assert not bool(w[removed[name]].any())
            assert not bool(w.grad[removed[name]].any())
            assert bool(w[made.mask[name]].all())


def test_a_removed_weight_stays_out_even_among_weights_that_are_all_zero():
    weights = {"w": torch.arange(64.0).view(8, 8).requires_grad_()}  # the first ones go first
    made = begun("progressive", weights, 40, config(sparsity=0.8, sdp={"every": 2}))
    for step in range(40):
        before = made.mask
        drive(made, weights, range(step, step + 1))
        assert not bool((made.mask["w"] & ~before["w"]).any())
        if step == 8:
            weights["w"].detach().zero_()
    assert made.mask.density <= 0.2


def test_progressive_follows_the_cubic_schedule_until_its_share_of_the_task():
    weights, settings = start(), config(sparsity=0.8, sdp={"every": 1, "ramp": 0.5})
    made = begun("progressive", weights, 40, settings)
    total = made.mask.total
    for step in range(40):
        drive(made, weights, range(step, step + 1), noise(weights))
        t = 1 if step >= 19 else (step + 1) / 20
        level = 0.8 * (1 - (1 - t) ** 3) if step else 0  # no gradient has been seen before the first step
        assert made.mask.kept == int(total * (1 - level) + 1e-6)


def test_progressive_drops_nothing_at_its_final_cut():
    weights, settings = start(), config(sparsity=0.8, sdp={"form": "progressive"}, pruning={"saliency": "second-order"})
    made = begun("progressive", weights, 60, settings)
    drive(made, weights, range(60), noise(weights))
    assert removed_share(weights, made.ranking.mask(0.8)) == 0


def test_progressive_resumed_between_two_updates_counts_the_same_flips():
    # Close to the end of the ramp the level removes all that the target does; the next update still comes.
    settings = config(sparsity=0.5, sdp={"every": 10, "ramp": 0.5})
    whole, half = start(), start()
    one, first = begun("progressive", whole, 224, settings), begun("progressive", half, 224, settings)
    drive(one, whole, range(85), noise(whole))
    drive(first, half, range(85), noise(half))
    assert first.mask.density <= 0.5
    assert (first.flips, first.schedule.ramp(80) < 1) == (1, True)
    second = begun("progressive", half, 224, settings)
    second.load(first.tensors(), first.flips, first.total_flips)
    for made, weights in ((one, whole), (second, half)):
        drive(made, weights, range(85, 95), noise(weights))
    assert one.flips == second.flips


def test_forms_that_train_survivors_only_say_so():
    for form in FORMS:
        weights = start()
        made = begun(form, weights, 40, config())
        assert not made.survivors_only
        drive(made, weights, range(40), noise(weights))
        assert made.survivors_only == (form == "progressive")


# -- dense, ranking


def test_the_dense_form_touches_nothing():
    weights = start()
    before = copies(weights)
    made = begun("dense", weights, 5, config())
    drive(made, weights, range(5))
    assert all(weights[n].equal(before[n]) for n in weights)
    assert made.enter(0) is None
    assert made.mask.density == 1


def test_curvature_is_the_average_square_of_the_gradient_at_mean_1_plus_importance():
    weights = {"w": torch.tensor([[1.0, 1.0]], requires_grad=True), "free": torch.ones(1, 1, requires_grad=True)}
    ranking = Ranking(weights, {"w": torch.tensor([[10.0, 20.0]]), "head": torch.ones(3)}, config())
    for g in (1.0, 3.0):
        weights["w"].grad = torch.tensor([[g, 0.0]])
        weights["free"].grad = torch.tensor([[2.0]])
        ranking.observe()
    moments = [0.99 * 0.01 * 1 + 0.01 * 9, 0.0, (0.99 + 1) * 0.01 * 4]
    h = [3 * m / sum(moments) for m in moments]
    found = ranking.curvature()
    assert found["w"].flatten().tolist() == pytest.approx([h[0] + 10, h[1] + 20])
    assert found["free"].flatten().tolist() == pytest.approx([h[2]])


def test_a_saliency_is_divided_by_a_power_of_how_often_a_weight_is_used():
    weights = {"conv": torch.tensor([[1.0, 2.0]]), "linear": torch.tensor([[1.0, 0.9]])}
    settings = config(pruning={"saliency": "magnitude", "flops_exponent": 0.5})
    ranking = Ranking(weights, {}, settings, uses={"conv": 196.0, "linear": 1.0})
    scores = ranking.scores()
    assert scores["conv"].flatten().tolist() == [1.0, 2.0]
    assert scores["linear"].flatten().tolist() == pytest.approx([14.0, 0.9 * 14])
    assert [int(ranking.mask(0.5)[name].sum()) for name in weights] == [0, 2]


def test_curvature_without_gradients_is_the_importance():
    ranking = Ranking(start(), {"a": torch.ones(4, 5)}, config())
    assert ranking.curvature()["a"].eq(1).all()
    assert not ranking.curvature()["b"].any()


@pytest.mark.parametrize("saliency", SALIENCIES)
def test_the_ranking_follows_each_saliency(saliency):
    weights = start()
    settings = config(pruning={"saliency": saliency, "allocation": "uniform"})
    ranking = Ranking(weights, {}, settings)
    for step in range(3):
        for name, w in weights.items():
            w.grad = noise(weights)(step)[name]
        ranking.observe()
    scores = ranking.scores()
    assert ranking.mask(0.5).flips(keep_top(scores, 0.5, "uniform")) == 0
    root = {n: m.sqrt() for n, m in ranking.moments.items()}
    expected = {
        "second-order": lambda n: 0.5 * (ranking.curvature()[n] + 1) * weights[n] ** 2,
        "magnitude": lambda n: weights[n].abs(),
        "taylor": lambda n: root[n] * weights[n].abs(),
    }
    if saliency in expected:
        for name in weights:
            torch.testing.assert_close(scores[name], expected[saliency](name).detach())


@pytest.mark.parametrize("saliency", [s for s in SALIENCIES if s != "random"])
def test_weights_that_are_no_longer_finite_fail_the_run_in_one_line(saliency):
    weights = start()
    with torch.no_grad():
        weights["a"][0, 0] = float("nan")
    made = begun("admm", weights, 10, config(pruning={"saliency": saliency}))
    with pytest.raises(RunFailure, match=r"no longer finite in task 0; try a smaller lr than 0.05") as caught:
        drive(made, weights, range(1))
    assert "\n" not in str(caught.value)


def test_removed_share():
    weights = {"w": torch.tensor([[3.0, 4.0]])}
    assert removed_share(weights, keep_top(weights, 0.5)) == pytest.approx(9 / 25)
    assert removed_share({"w": torch.zeros(1, 2)}, keep_top(weights, 0.5)) == 0


@pytest.mark.parametrize(
    ("settings", "cut", "exponent"),
    [
        ({"sparsity": 0.5}, 0.25, 0.2),
        ({"sparsity": 0.9}, 0.25, 0.2),
        ({"sdp": {"form": "segment"}}, 0.25, 0.2),
        ({"sparsity": 0.5, "pruning": {"allocation": "2:4"}}, 0.25, 0),
        ({"pruning": {"allocation": "erk"}}, 0.25, 0),
        ({"sparsity": 0.95}, 0.35, 0),
        ({"pruning": {"allocation": "neuron"}}, 0.25, 0),
        ({"pruning": {"saliency": "magnitude"}}, 0.25, 0),
        ({"sdp": {"cut": 0.5}}, 0.5, 0),
        ({"scenario": "class"}, 0.35, 0),
        ({"sdp": {"form": "progressive"}}, 1, 0),
        ({"sdp": {"form": "any"}}, 1, 0),
        ({"method": "ewc", "sparsity": 0.9}, 1, 0),
        ({"sparsity": 0.0}, 1, 0),
    ],
)
def test_up_to_90_percent_one_cut_comes_early_and_leaves_cheap_weights(settings, cut, exponent):
    config = RunConfig(**settings)
    assert (config.sdp.cut, config.pruning.flops_exponent) == (cut, exponent)


def test_above_95_percent_pruning_is_gradual_unless_a_form_is_named():
    assert [RunConfig(sparsity=s).sdp.form for s in (0.5, 0.9, 0.95, 0.96, 0.98)] == ["admm"] * 3 + ["progressive"] * 2
    named = RunConfig(sparsity=0.98, sdp={"form": "admm"}).sdp
    assert (named.form, named.cut) == ("admm", 0.35)
    assert RunConfig(sparsity=0.98).sdp.cut == 1.0
    assert RunConfig(method="ewc", sparsity=0.98).sdp.form == "admm"
