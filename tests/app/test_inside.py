"""Inside a task: what moved, what the first mask is, where the cut lies, and what a run may tell beside it."""

import dataclasses
import json

import numpy as np
import pytest
from synthetic_run import STEPS, synthetic_config, synthetic_events

from app import frames, inside
from app.figures import inside as figures
from app.figures import training
from esacl.events import Pruned, SharpnessEstimated, Stepped


def drawn(one, events, task=1, tasks=3):
    return [d for d in figures.drawings(one, inside.others(events, tasks, task), task, tasks, 0.6) if d]


def alts(drawings):
    return " ".join(drawing["alt"] for drawing in drawings)


def test_one_row_a_look_of_the_task_alone(events):
    one = inside.inside(events, 1)
    told = [event for event in events if isinstance(event, Stepped) and event.task == 1]
    assert one.looks["step"].tolist() == [event.step for event in told]
    assert one.looks["loss"].tolist() == [event.loss for event in told]
    assert one.steps == STEPS
    assert one.names[0] == f"5 of {STEPS} · epoch 1"
    assert one.pruned == next(event for event in events if isinstance(event, Pruned) and event.task == 1)
    assert inside.inside(events, 7) is None


def stepped(step, flips, density=0.1):
    return Stepped(
        task=0, epoch=0, step=step, steps=40, loss=1.0, learning_rate=0.1, ramp=0.5, density=density, flips=flips,
        doomed_share=0.1, selection_ratio=None, selection_open=False,
    )  # fmt: skip


def test_the_first_mask_is_no_flip(events):
    started = next(event for event in events if type(event).__name__ == "RunStarted")  # 1,680 prunable weights
    told = [stepped(5, 1512), stepped(10, 1512), stepped(15, 84), stepped(20, 1512), stepped(25, 0)]
    changed = inside.inside([started, *told], 0).looks["changed"].tolist()
    assert np.isnan(changed[:2]).all()
    assert changed[2:] == [84 / 1680, 1512 / 1680, 0.0]
    dense = inside.inside([started, *(stepped(s, 0, density=1.0) for s in (5, 10))], 0)
    assert not dense.moves


def test_many_steps_are_written_as_other_counts_are(events):
    one = inside.inside(events, 1)
    far = dataclasses.replace(one, looks=one.looks.assign(step=one.looks["step"] + 1173), steps=12_000)
    assert far.names[0] == "1\u00a0178 of 12\u00a0000 · epoch 1"
    assert "step 1\u00a0178: loss " in json.dumps(drawn(far, events), ensure_ascii=False)


def test_the_cut_lies_where_the_run_made_it():
    for cut, row in ((0.5, 6), (1.0, None)):
        events = synthetic_events(synthetic_config(sdp={"cut": cut}))
        one = inside.inside(events, 1)
        assert one.cut == row
        if row is not None:
            assert one.looks["step"].iloc[row - 1] <= cut * STEPS < one.looks["step"].iloc[row]


def test_a_long_task_is_thinned_and_keeps_its_end(events):
    started = next(event for event in events if type(event).__name__ == "RunStarted")
    told = [dataclasses.replace(stepped(step, 5), steps=1000) for step in range(1, 1001)]
    one = inside.inside([started, *told], 0)
    assert len(one.looks) <= inside.MOST + 1
    assert one.looks["step"].iloc[-1] == 1000


def test_every_figure_has_a_frame_a_look(events, arrays):
    one = inside.inside(events, 1, inside.at_cut(arrays["sparsity-t1"], 0.9))
    made = drawn(one, events)
    for drawing in made:
        json.dumps(drawing, allow_nan=False)
        assert len(drawing["alt"]) > 15
        moving = [mark["frames"] for mark in drawing["marks"] if "frames" in mark]
        assert moving
        assert all(len(values) == len(one.looks) for f in moving for values in f.values())
    assert all(len(fact["values"]) == len(one.looks) for fact in figures.facts(one))


def test_without_a_mask_nothing_is_said_of_it():
    events = synthetic_events(synthetic_config(method="finetune", sparsity=0.0))
    events = [dataclasses.replace(e, density=1.0, flips=0, ramp=0.0) if isinstance(e, Stepped) else e for e in events]
    one = inside.inside(events, 1)
    assert "flips" not in alts(drawn(one, events))
    labels = [fact["label"] for fact in figures.facts(one)]
    assert labels == ["training loss"]
    said = alts(drawn(one, events))
    assert "Learning rate over the task" in said
    assert not any(word in said for word in ("Ramp", "mask"))


@pytest.mark.parametrize(("share", "ramp", "cheap"), [(0.036, 0.5, False), (0.004, 0.5, True), (0.004, 0.0, False)])
def test_a_cut_is_called_cheap_only_where_it_was_pulled_to_and_takes_little(events, share, ramp, cheap):
    told = [
        dataclasses.replace(e, doomed_share=min(e.doomed_share, share), ramp=ramp) if isinstance(e, Stepped) else e
        for e in events
    ]
    made = [*drawn(inside.inside(told, 1), told), training.doomed(frames.losses(told), 3)]
    captions = [d["caption"] for d in made if "the weights to go held" in d["caption"]]
    assert len(captions) == 2
    assert all(("makes the cut cheap" in caption) == cheap for caption in captions)
    assert all(caption.count(f"{100 * share:.1f}") for caption in captions)


def test_layers_have_their_names_where_the_level_of_the_cut_is_not_in_the_curve(events):
    told = [dataclasses.replace(e, layer_density=(0.2, 0.1)) if isinstance(e, Stepped) else e for e in events]
    assert list(inside.inside(told, 1, {}, ("body.0.weight", "body.2.weight")).layers) == [
        "body.0.weight",
        "body.2.weight",
    ]


def test_the_density_of_layers_is_that_of_the_cut_until_a_run_tells_it_while_it_trains(events, arrays):
    known = inside.at_cut(arrays["sparsity-t1"], 0.9)
    curve = arrays["sparsity-t1"]
    row = int(np.flatnonzero(np.isclose(curve["levels"], 0.9))[0])
    assert list(known.values()) == curve["layer_density"][row].tolist()
    assert inside.at_cut(arrays["sparsity-t1"], 0.1234) == {}
    captions = [d["caption"] for d in drawn(inside.inside(events, 1, known), events)]
    assert any("at its cut only" in caption for caption in captions)
    told = [dataclasses.replace(e, layer_density=(0.2, 1 / e.step)) if isinstance(e, Stepped) else e for e in events]
    told += [estimate(step=e.step) for e in events if isinstance(e, Stepped) and e.task == 1]
    one = inside.inside(told, 1, known)
    assert list(one.layers) == list(known)
    assert one.layers.iloc[0].tolist() == pytest.approx([0.2, 0.2])
    made = drawn(one, told)
    assert "Sharpness over the task; at last λₘₐₓ 5, ½ d'Hd of the cut 0.1." in alts(made)
    assert not any("at its cut only" in d["caption"] for d in made)


def test_the_sharpness_is_shown_at_the_look_that_it_came_with_and_where_a_log_axis_can(events):
    steps = [e.step for e in events if isinstance(e, Stepped) and e.task == 1]
    assert inside.inside(events, 1).looks["lambda_max"].isna().all()
    late = steps[-1] + 100
    told = [*events, estimate(step=steps[2] - 1, curvature_term=-1.0), estimate(step=steps[4]), estimate(step=late)]
    looks = inside.inside(told, 1).looks
    assert looks["lambda_max"].notna().to_numpy().nonzero()[0].tolist() == [2, 4]
    assert looks["curvature_term"].dropna().tolist() == [-1.0, 0.1]
    shown = alts(drawn(inside.inside(told, 1), told))
    assert "Sharpness over the task; at last λₘₐₓ 5, ½ d'Hd of the cut 0.1." in shown
    lost = [*events, estimate(step=steps[0], lambda_max=None, curvature_term=-1.0)]
    assert not any("Sharpness" in alt for alt in alts(drawn(inside.inside(lost, 1), lost)))


def estimate(**fields):
    given = {"task": 1, "restricted": False, "lambda_max": 5.0, "curvature_term": 0.1}
    return SharpnessEstimated(**given | {"examples": 12, "products": 4, "converged": True} | fields)


def test_what_a_cut_did_is_a_sentence(events):
    said = inside.cut_said(next(event for event in events if isinstance(event, Pruned)))
    assert said.startswith("At the cut of task 1 the weights moved by $|d|$ = ")
    assert "22" in said
    lucky = dataclasses.replace(next(event for event in events if isinstance(event, Pruned)), actual_rise=-6e-4)
    assert "the loss fell by 6·10⁻⁴ nats" in inside.cut_said(lucky)
