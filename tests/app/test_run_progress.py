import itertools

import pytest
from looked_run import LOOK
from synthetic_run import synthetic_config, synthetic_events
from tiny_runs import events_of, tiny

from app import live
from app.progress import STAGES, Standing, analysis_left, analysis_progress, progress
from esacl.events import Analysing, Cancelled, Loading, RunFinished, RunStarted, Stepped, TaskFinished
from esacl.records import Status


def measured(events, each=0.1, before=4.0):
    """Measurements of a run whose every event takes `each` seconds, after a long time of loading."""
    start = next(i for i, event in enumerate(events, 1) if isinstance(event, RunStarted))
    return [{"events": i, "seconds": before + each * (i - start)} for i in range(start, len(events) + 1)]


@pytest.mark.parametrize("cut", [0.2, 0.5, 1.0])
def test_a_run_only_ever_gets_further(cut):
    config = synthetic_config(sdp={"cut": cut})
    events = synthetic_events(config)
    told = measured(events)
    fractions = [
        progress(config, events[:n], [m for m in told if m["events"] <= n]).fraction for n in range(len(events))
    ]
    steps = [after - before for before, after in itertools.pairwise(fractions)]
    assert min(steps) > -0.05  # the first finished task tells how long training takes, which may move the bar a little
    assert max(fractions) < 1
    assert progress(config, events, told).fraction == 1


def test_the_stage_is_said_in_words(config, events):
    first_step = next(i for i, event in enumerate(events) if isinstance(event, Stepped))
    assert progress(config, events[: first_step + 1], []).stage == "task 1 of 3: training, epoch 1 of 3"
    assert progress(config, events[:1], []).stage == "loading the library"
    assert progress(config, [], []).stage == "starting"
    assert progress(config, events, []).stage == "finished"


def test_the_stages_are_those_of_the_run_in_its_order():
    stages = [e.stage for e in events_of(tiny(LOOK | {"tasks": 1})) if isinstance(e, Analysing)]
    assert list(dict.fromkeys(stages)) == list(STAGES)


def test_the_last_analysis_is_the_one_that_is_followed():
    begin = Analysing(task=0, stage="landscape", done=5, total=20)
    assert analysis_progress([]).stage == "starting"
    assert analysis_progress([begin]) == Standing(0.25, "slicing the landscape")
    assert analysis_progress([begin, Cancelled()]) == Standing(0.0, "starting")
    later = Analysing(task=0, stage="density", done=1, total=4)
    assert analysis_progress([begin, RunFinished(), Loading(what="torch"), later]).fraction == 0.25
    assert analysis_progress([begin, later]).stage == "measuring the whole spectrum"


def test_the_time_left_of_an_analysis_follows_from_its_pace():
    assert analysis_left(0.5, 0.25, 10.0) == pytest.approx(20.0)
    assert analysis_left(0.26, 0.25, 10.0) is None
    assert analysis_left(0.5, 0.25, 0.1) is None


@pytest.mark.parametrize("steps", [3, 4, 25])
def test_the_steps_of_a_stage_are_told_from_the_stages(steps):
    config = synthetic_config(tasks=1)
    story = [e for e in synthetic_events(config) if not isinstance(e, Analysing)]
    story = story[: next(i for i, e in enumerate(story) if isinstance(e, Stepped))]
    fractions = []
    for place, stage in enumerate(STAGES):
        story.append(Analysing(task=0, stage=stage, done=place, total=len(STAGES)))
        begin = progress(config, story, []).fraction
        for step in range(steps):
            story.append(Analysing(task=0, stage=stage, done=step, total=steps))
            fractions.append(progress(config, story, []).fraction)
        assert fractions[-steps] == pytest.approx(begin)
    assert all(before < after for before, after in itertools.pairwise(fractions))


def test_the_time_left_is_about_right_and_does_not_count_loading_again(config, events):
    told = measured(events)
    at = next(i for i, event in enumerate(events, 1) if isinstance(event, TaskFinished))
    stands = progress(config, events[:at], [m for m in told if m["events"] <= at])
    truth = 0.1 * (len(events) - at)
    assert stands.seconds_left == pytest.approx(truth, rel=0.25)


def test_nothing_is_promised_before_anything_is_known(config, events):
    assert progress(config, events[:3], []).seconds_left is None


def test_joint_training_is_one_stretch():
    joint = synthetic_config(method="joint", tasks=1, sparsity=0.0)
    events = synthetic_events(joint)
    assert progress(joint, events[:-1], measured(events)[:-1]).fraction > 0.9


def test_who_waits_is_told_whether_it_waits_for_another_folder():
    assert live._queued(Status("queued", "", 2)) == "Queued, position 2: another run has the device."
    told = live._queued(Status("queued", "", 1, elsewhere=True))
    assert told == "Queued, first in this runs folder: a run of another one has the device."
